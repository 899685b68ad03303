"""Smooth an image over its grid, held to samples: the solve under MRF and under Ham et al.

minimise over u: data_weight |P u - low|^2 + sum over neighbours (i, j) of w_ij (u_i - u_j)^2, with
P the sampling matrix. Where it is least, (data_weight P'P + L) u = data_weight P' low, L the
Laplacian of the grid; with every w_ij > 0 this is symmetric and positive definite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray = npt.NDArray[np.floating[Any]]
DoubleArray = npt.NDArray[np.float64]

MAX_ITERATIONS = 5000  # at 480x640 and factor 8, 240 reach a millionth of the first residual


def neighbour_distances(image: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Squared differences of each pixel to the one below it and to the one on its right.

    Args:
        image: (H, W) or (H, W, C); channels are summed.
    Returns:
        (H-1, W) and (H, W-1).
    """
    planes = image.reshape(*image.shape[:2], -1)
    down = np.square(planes[1:] - planes[:-1]).sum(2)
    right = np.square(planes[:, 1:] - planes[:, :-1]).sum(2)
    return down, right


def grid_laplacian(down: FloatArray, right: FloatArray) -> sparse.dia_array:
    """(H*W, H*W) Laplacian of the grid of 4-neighbours: u'Lu sums w_ij (u_i - u_j)^2 over edges.

    Args:
        down: (H-1, W), weight of the edge from a pixel to the one below it.
        right: (H, W-1), weight of the edge from a pixel to the one on its right.
    """
    H, W = right.shape[0], down.shape[1]
    below, beside = np.zeros((H, W)), np.zeros((H, W))
    below[:-1], beside[:, :-1] = down, right
    degree = below + beside
    degree[1:] += down
    degree[:, 1:] += right
    # SciPy keeps an entry at its column: those above the diagonal move right by their distance.
    lower = [-below.ravel(), -beside.ravel()]
    diagonals = [*lower, degree.ravel(), np.roll(lower[1], 1), np.roll(lower[0], W)]
    return sparse.dia_array((np.stack(diagonals), [-W, -1, 0, 1, W]), shape=(H * W, H * W))


def fit_samples(
    laplacian: sparse.dia_array,
    sampling: sparse.csr_array,
    low: FloatArray,
    *,
    data_weight: float,
    start: FloatArray,
    tolerance: float,
) -> DoubleArray:
    """Minimise data_weight |P u - low|^2 + u'Lu, from `start`.

    Args:
        laplacian: (H*W, H*W), L.
        sampling: (h*w, H*W), P.
        low: (h, w).
        start: (H, W).
        tolerance: as of `conjugate_gradients`.
    Returns:
        (H, W).
    """
    matrix = laplacian + data_weight * sparse.dia_array(sampling.T @ sampling)
    right = data_weight * (sampling.T @ low.ravel().astype(np.float64))
    u = conjugate_gradients(
        matrix, right, start.ravel().astype(np.float64), tolerance=tolerance
    )  # (H*W,)
    return u.reshape(start.shape)


def conjugate_gradients(
    matrix: Any, right: DoubleArray, start: DoubleArray, *, tolerance: float
) -> DoubleArray:
    """Solve matrix u = right from `start`, preconditioned with the matrix's diagonal.

    Args:
        matrix: sparse, symmetric, positive definite.
        tolerance: stop when the residual is at most this part of its first size. It is measured
            after division by the root of the diagonal, so that pixels all of whose edges are weak
            count as much as any other.
    Raises:
        ArithmeticError: not there within MAX_ITERATIONS.
    """
    inverse_diagonal = 1 / matrix.diagonal()
    u = start.copy()
    residual = right - matrix @ u
    scaled = inverse_diagonal * residual
    direction = scaled.copy()
    error = _dot(residual, scaled)
    # Within rounding of the right side nothing is left to reduce: a constant depth, say.
    target = max(tolerance**2 * error, 1e-26 * _dot(right, inverse_diagonal * right))
    for _ in range(MAX_ITERATIONS):
        if error <= target:
            return u
        image = matrix @ direction
        step = error / _dot(direction, image)
        u += step * direction
        residual -= step * image
        np.multiply(inverse_diagonal, residual, out=scaled)
        previous, error = error, _dot(residual, scaled)
        direction *= error / previous
        direction += scaled
    raise ArithmeticError(
        f"conjugate gradients: residual {(error / target) ** 0.5 * tolerance:.1e} of the first "
        f"after {MAX_ITERATIONS} iterations, asked for {tolerance:.1e}"
    )


def _dot(a: DoubleArray, b: DoubleArray) -> float:
    # Not a @ b: BLAS splits the sum over its threads, whose number would then change the last
    # bits; on two busy cores waking them took 24 ms, and this 0.5 (307,200 elements).
    return float(np.einsum("i,i->", a, b))
