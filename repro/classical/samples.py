"""Where the low-resolution samples lie on the high-resolution grid.

Sample i of an axis lies at high-resolution pixel offset + factor * i. An offset of None spreads the
samples so that the first and the last lie on the first and the last pixel ("corners").
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

FloatArray = npt.NDArray[np.floating[Any]]


def sample_positions(size: int, factor: int, offset: float | None) -> npt.NDArray[np.float64]:
    """(size,): the high-resolution coordinate of each sample of an axis."""
    if offset is None:
        return np.linspace(0, factor * size - 1, size)
    return offset + factor * np.arange(size, dtype=np.float64)


def low_coordinates(size: int, factor: int, offset: float | None) -> npt.NDArray[np.float64]:
    """(factor * size,): each high-resolution pixel of an axis, counted in samples from sample 0."""
    pixels = np.arange(factor * size, dtype=np.float64)
    if offset is None:
        return pixels * (size - 1) / (factor * size - 1)
    return (pixels - offset) / factor


def sampling_matrix(
    low_shape: tuple[int, int], factor: int, offset: float | None
) -> sparse.csr_array:
    """(h*w, H*W): takes a flattened high-resolution image to its values at the samples.

    A sample on a pixel takes that pixel; a sample between pixels (offset 3.5, say) interpolates
    the four around it bilinearly.
    """
    rows, columns = (
        _linear_taps(sample_positions(size, factor, offset), factor * size) for size in low_shape
    )
    return sparse.csr_array(sparse.kron(rows, columns, format="csr"))


def _linear_taps(positions: npt.NDArray[np.float64], size: int) -> sparse.csr_array:
    """(len(positions), size): the two pixels around each position, weighted by nearness."""
    first = np.clip(np.floor(positions).astype(np.int64), 0, size - 2)
    part = positions - first
    taps = sparse.csr_array(
        (
            np.stack([1 - part, part], 1).ravel(),
            np.stack([first, first + 1], 1).ravel(),
            np.arange(0, 2 * len(positions) + 1, 2),
        ),
        shape=(len(positions), size),
    )
    taps.eliminate_zeros()
    return taps
