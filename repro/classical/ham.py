"""Ham et al.: smoothness weighted by the image (static) and by the depth itself (dynamic).

Ham, Cho and Ponce, Robust Image Filtering Using Joint Static and Dynamic Guidance, CVPR 2015.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repro.classical.interpolation import bilinear
from repro.classical.samples import sampling_matrix
from repro.classical.weighted_least_squares import (
    DoubleArray,
    FloatArray,
    fit_samples,
    grid_laplacian,
    neighbour_distances,
)

STEPS = 5
TOLERANCE = 1e-2  # of each step's solve; a tenth of it moves the RMSE on NYU by at most 0.01 cm

# As in the MRF: a region without a sample must not float.
LEAST_WEIGHT = 1e-2


def ham(
    low: npt.NDArray[np.float32],
    rgb: npt.NDArray[np.uint8],
    factor: int,
    offset: float | None,
    *,
    data_weight: float,
    sigma_colour: float,
    sigma_depth: float,
) -> npt.NDArray[np.float32]:
    """Lower sum over samples of data_weight (u_i - low_i)^2 + sum over neighbours of
    g(rgb_i - rgb_j, sigma_colour) * 2 sigma_depth^2 (1 - g(u_i - u_j, sigma_depth)),
    g(x, s) = exp(-|x|^2 / (2 s^2)): Welsch's function, which stops growing at a depth edge.

    Each step replaces Welsch's function by the parabola that touches it from above at the present
    depth, whose weight is g(u_i - u_j, sigma_depth), and solves for the least; no step raises the
    energy. The first takes every dynamic weight as 1.

    Args:
        low: (h, w).
        rgb: (H, W, 3).
        data_weight: how much a sample is trusted; 1 / lambda of the paper.
        sigma_colour: colour difference, of colours in [0, 1], that weakens smoothing; the paper's
            mu is 1 / (2 sigma_colour^2).
        sigma_depth: the same for depths, scaled so that `low` spans [0, 1]; the paper's nu is
            1 / (2 sigma_depth^2).
    Returns:
        (H, W).
    Source: Ham, Cho and Ponce, CVPR 2015, sections 3 and 4; data term at the samples only and
        start from a constant as in the authors' code for depth upsampling.
    Deviates: 5 steps (authors' code 20), each by conjugate gradients to TOLERANCE; colours in RGB
        (authors' code: Lab); every edge keeps LEAST_WEIGHT of its smoothness; a sample between
        pixels is compared with their bilinear interpolation.
    """
    start = bilinear(low, rgb, factor, offset)
    least, span = float(low.min()), float(low.max() - low.min())
    if span == 0:
        return start
    unit_low = (low.astype(np.float64) - least) / span
    unit = (start.astype(np.float64) - least) / span
    static = _likeness(rgb.astype(np.float32) / 255, sigma_colour)
    sampling = sampling_matrix(low.shape, factor, offset)
    weights = static
    for _ in range(STEPS):
        down, right = (LEAST_WEIGHT + (1 - LEAST_WEIGHT) * weight for weight in weights)
        unit = fit_samples(
            grid_laplacian(down, right),
            sampling,
            unit_low,
            data_weight=data_weight,
            start=unit,
            tolerance=TOLERANCE,
        )
        weights = _product(static, _likeness(unit, sigma_depth))
    return (least + span * unit).astype(np.float32)


def _likeness(image: FloatArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    down, right = neighbour_distances(image)
    return np.exp(-down / (2 * sigma**2)), np.exp(-right / (2 * sigma**2))


def _product(
    a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]
) -> tuple[DoubleArray, DoubleArray]:
    return a[0] * b[0], a[1] * b[1]
