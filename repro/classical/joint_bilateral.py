"""JBU: joint bilateral upsampling, pixel-adaptive convolution of samples on an empty grid.

Kopf, Cohen, Lischinski and Uyttendaele, Joint Bilateral Upsampling, SIGGRAPH 2007.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repro.classical.samples import low_coordinates, sampling_matrix

RADIUS = 2  # in samples: the paper's window of 5x5


def joint_bilateral(
    low: npt.NDArray[np.float32],
    rgb: npt.NDArray[np.uint8],
    factor: int,
    offset: float | None,
    *,
    sigma_spatial: float,
    sigma_colour: float,
) -> npt.NDArray[np.float32]:
    """out_p = sum over samples q of w_pq low_q / sum over q of w_pq, with
    w_pq = exp(-|p - q|^2 / (2 sigma_spatial^2)) exp(-|rgb_p - rgb_q|^2 / (2 sigma_colour^2)),
    over the samples less than 2.5 sample spacings away on both axes.

    It is two calls of `repro.ops.pac`, with rgb / sigma_colour as the guidance and the spatial
    Gaussian as the weight: on the samples spread over an otherwise empty high-resolution grid,
    divided by the same on ones in their places. Here the empty places are skipped, which saves
    factor^2 of the work.

    Args:
        low: (h, w).
        rgb: (H, W, 3).
        sigma_spatial: in sample spacings; the paper takes 0.5.
        sigma_colour: of colours in [0, 1]; the paper sets it by application.
    Returns:
        (H, W).
    Source: Kopf et al., SIGGRAPH 2007, Eq. 3.
    Deviates: the colour of a sample between pixels is interpolated bilinearly. Weights are taken
        relative to the largest of a pixel, so that no colour leaves a pixel without one.
    """
    h, w = low.shape
    H, W = rgb.shape[:2]
    guide = np.ascontiguousarray((rgb.astype(np.float32) / 255).transpose(2, 0, 1))  # (3, H, W)
    sampling = sampling_matrix(low.shape, factor, offset).astype(np.float32)
    colours = np.stack([sampling @ plane.ravel() for plane in guide]).reshape(3, h, w)
    rows, row_logs = _window(h, factor, offset, sigma_spatial)
    columns, column_logs = _window(w, factor, offset, sigma_spatial)

    taps = [(u, v) for u in range(len(rows)) for v in range(len(columns))]
    logs = np.empty((len(taps), H, W), np.float32)
    for log, (u, v) in zip(logs, taps, strict=True):
        difference = colours[:, rows[u]][:, :, columns[v]] - guide  # (3, H, W)
        np.square(difference, out=difference).sum(0, out=log)
        log *= -1 / (2 * sigma_colour**2)
        log += row_logs[u][:, None]
        log += column_logs[v]
    weights = np.exp(np.subtract(logs, logs.max(0), out=logs), out=logs)
    total = weights.sum(0)
    for weight, (u, v) in zip(weights, taps, strict=True):
        weight *= low[rows[u]][:, columns[v]]
    result: npt.NDArray[np.float32] = weights.sum(0) / total
    return result


def _window(
    size: int, factor: int, offset: float | None, sigma: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each pixel of an axis the 5 samples around it and the logarithms of their weights.

    Returns:
        Two of (5, factor * size); the weight of a sample that is out of reach or of the image is 0.
    """
    coordinates = low_coordinates(size, factor, offset)
    nearest = np.clip(np.rint(coordinates), 0, size - 1).astype(np.int64)
    samples = nearest + np.arange(-RADIUS, RADIUS + 1)[:, None]
    distance = np.abs(samples - coordinates)
    reached = (samples >= 0) & (samples < size) & (distance < RADIUS + 0.5)
    logs = np.where(reached, -(distance**2) / (2 * sigma**2), -np.inf)
    return np.clip(samples, 0, size - 1), logs.astype(np.float32)
