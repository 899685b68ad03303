"""FBS: the fast bilateral solver, smoothness between all pixels that are near and alike.

Barron and Poole, The Fast Bilateral Solver, ECCV 2016. Written out here because the solver of
OpenCV needs Eigen, and opencv-contrib-python-headless 5.0 is built without it.
"""

from __future__ import annotations

import itertools
import operator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from repro.classical.interpolation import bilinear
from repro.classical.samples import sampling_matrix
from repro.classical.weighted_least_squares import DoubleArray, conjugate_gradients

TOLERANCE = 1e-3
BALANCING_STEPS = 10  # as in the authors' code

# ITU-R BT.601 luma, and the two chroma differences, of colours in [0, 1].
_YUV = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


@dataclass(frozen=True)
class BilateralGrid:
    """Pixels gathered into cells of the space (row, column, luma, chroma, chroma).

    Attributes:
        cell: (H*W,) index of each pixel's cell; its one-hot matrix is the paper's splat S.
        blur: (cells, cells) twice the identity for each of the 5 dimensions, plus the neighbours
            in it: the paper's B.
    """

    cell: npt.NDArray[np.int64]
    blur: sparse.csr_array

    def splat(self, pixels: DoubleArray) -> DoubleArray:
        """(cells,): the sum over each cell's pixels."""
        return np.bincount(self.cell, pixels, self.blur.shape[0]).astype(np.float64)

    def balance(self) -> tuple[DoubleArray, DoubleArray]:
        """The diagonals D_n and D_m that make D_n B D_n sum to D_m, the cells' pixel counts.

        Source: "bistochastization" of Barron and Poole's supplement.
        """
        count = self.splat(np.ones(len(self.cell)))
        scale = np.ones_like(count)
        for _ in range(BALANCING_STEPS):
            scale = np.sqrt(scale * count / (self.blur @ scale))
        return scale, scale * (self.blur @ scale)


def bilateral_grid(
    rgb: npt.NDArray[np.uint8], sigma_spatial: float, sigma_colour: float
) -> BilateralGrid:
    """Gather the pixels of rgb, (H, W, 3), into cells of the given sides.

    Raises:
        ValueError: the sides are so small that cells cannot be numbered in 64 bits.
    """
    H, W = rgb.shape[:2]
    luma, *chroma = np.einsum("ij,kj->ik", _YUV, rgb.reshape(-1, 3) / 255)
    colours = (luma, *(plane + 0.5 for plane in chroma))  # all in [0, 1]
    rows, columns = np.divmod(np.arange(H * W), W)
    axes = [(axis, sigma_spatial) for axis in (rows, columns)]
    axes += [(plane, sigma_colour) for plane in colours]
    # A mixed-radix number names each cell; one unused digit keeps neighbours from wrapping over.
    digits = [np.floor(axis / side).astype(np.int64) for axis, side in axes]
    *radices, cells = itertools.accumulate(
        (int(digit.max()) + 2 for digit in digits), operator.mul, initial=1
    )
    if cells >= 2**63:
        raise ValueError(
            f"sigma_spatial {sigma_spatial} and sigma_colour {sigma_colour} are too small for "
            f"{H}x{W} pixels: {cells} cells"
        )
    name = sum(radix * digit for radix, digit in zip(radices, digits, strict=True))
    names, cell = np.unique(name, return_inverse=True)
    pairs = [_pairs(names, radix) for radix in radices]
    lower, upper = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    every = np.arange(len(names))
    blur = sparse.coo_array(
        (
            np.repeat([2.0 * len(axes), 1.0], [len(names), 2 * len(lower)]),
            (np.r_[every, lower, upper], np.r_[every, upper, lower]),
        ),
        shape=(len(names), len(names)),
    )
    return BilateralGrid(cell.ravel(), blur.tocsr())


def _pairs(
    names: npt.NDArray[np.int64], step: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of all names that differ by `step`: the lower ones and the upper ones."""
    position = np.searchsorted(names, names + step)
    lower = np.flatnonzero(names[np.minimum(position, len(names) - 1)] == names + step)
    return lower, position[lower]


def bilateral_solver(
    low: npt.NDArray[np.float32],
    rgb: npt.NDArray[np.uint8],
    factor: int,
    offset: float | None,
    *,
    sigma_spatial: float,
    sigma_colour: float,
    smoothness: float,
    confidence: float,
) -> npt.NDArray[np.float32]:
    """Minimise smoothness / 2 sum_ij W_ij (x_i - x_j)^2 + sum_i c_i (x_i - t_i)^2, W bistochastic.

    With one value y per cell, x = S'y, that is
    (smoothness (D_m - D_n B D_n) + diag(S c)) y = S (c t): t are the samples, with c = 1, and at
    every pixel, with c = confidence / factor^2, the bilinear interpolation.

    Args:
        low: (h, w).
        rgb: (H, W, 3).
        sigma_spatial: side of a cell in pixels.
        sigma_colour: side of a cell in luma and in chroma, of colours in [0, 1].
        smoothness: the paper's lambda.
        confidence: of the interpolation of all pixels around a sample together, beside 1 of the
            sample itself; above 0.
    Returns:
        (H, W), constant in every cell.
    Source: Barron and Poole, ECCV 2016, Eq. 1 and its form in bilateral space.
    Deviates: one sigma for luma and chroma. Targets and confidences of upsampling are ours; a
        sample between pixels counts as one of the four around it, bilinearly. Preconditioned with
        the diagonal alone. The edges of the cells are not smoothed afterwards.
    """
    grid = bilateral_grid(rgb, sigma_spatial, sigma_colour)
    interpolated = bilinear(low, rgb, factor, offset).ravel().astype(np.float64)
    sampling = sampling_matrix(low.shape, factor, offset)
    each = confidence / factor**2
    weight = sampling.T @ np.ones(low.size) + each
    weighted = sampling.T @ low.ravel().astype(np.float64) + each * interpolated

    scale, mass = grid.balance()
    scaling = sparse.diags_array(scale)
    matrix = smoothness * (sparse.diags_array(mass) - scaling @ grid.blur @ scaling)
    matrix = sparse.csr_array(matrix + sparse.diags_array(grid.splat(weight)))
    right = grid.splat(weighted)
    start = right / grid.splat(weight)
    cells = conjugate_gradients(matrix, right, start, tolerance=TOLERANCE)
    return cells[grid.cell].reshape(rgb.shape[:2]).astype(np.float32)
