"""MRF: a Markov random field whose depth is smooth except where the image is not.

Diebel and Thrun, An Application of Markov Random Fields to Range Sensing, NIPS 2005.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repro.classical.interpolation import bilinear
from repro.classical.samples import sampling_matrix
from repro.classical.weighted_least_squares import (
    fit_samples,
    grid_laplacian,
    neighbour_distances,
)

# Weight that is left of an edge whose colours differ without bound: a region without a sample must
# not float. Less costs iterations (1e-4: 185 instead of 101 at a sigma_colour of 0.04).
LEAST_WEIGHT = 1e-2

TOLERANCE = 1e-4


def mrf(
    low: npt.NDArray[np.float32],
    rgb: npt.NDArray[np.uint8],
    factor: int,
    offset: float | None,
    *,
    data_weight: float,
    sigma_colour: float,
) -> npt.NDArray[np.float32]:
    """The most probable depth: sum over samples of data_weight (u_i - low_i)^2, plus sum over
    neighbours of w_ij (u_i - u_j)^2, w_ij = exp(-|rgb_i - rgb_j|^2 / (2 sigma_colour^2)), is least.

    Args:
        low: (h, w).
        rgb: (H, W, 3).
        data_weight: how much a sample is trusted; the paper's k.
        sigma_colour: colour difference, of colours in [0, 1], that weakens smoothing; the paper's
            constant c is 1 / (2 sigma_colour^2).
    Returns:
        (H, W).
    Source: Diebel and Thrun, NIPS 2005, the potentials Psi and Phi; no values for k and c there.
    Deviates: no w_ij is below LEAST_WEIGHT; a sample between pixels is compared with their
        bilinear interpolation; solved by conjugate gradients, as theirs, to TOLERANCE.
    """
    down, right = (
        LEAST_WEIGHT + (1 - LEAST_WEIGHT) * np.exp(-distance / (2 * sigma_colour**2))
        for distance in neighbour_distances(rgb.astype(np.float32) / 255)
    )
    depth = fit_samples(
        grid_laplacian(down, right),
        sampling_matrix(low.shape, factor, offset),
        low,
        data_weight=data_weight,
        start=bilinear(low, rgb, factor, offset),
        tolerance=TOLERANCE,
    )
    return depth.astype(np.float32)
