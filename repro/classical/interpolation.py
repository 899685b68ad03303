"""Bilinear and bicubic interpolation: what an upsampler that ignores the image reaches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from repro.data.low_resolution import interpolate


def bilinear(
    low: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8], factor: int, offset: float | None
) -> npt.NDArray[np.float32]:
    """Interpolate between the four samples around each pixel, edges repeated; `rgb` is unused."""
    return _interpolate(low, factor, offset, "bilinear")


def bicubic(
    low: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8], factor: int, offset: float | None
) -> npt.NDArray[np.float32]:
    """Interpolate cubically between sixteen samples, edges repeated; `rgb` is unused."""
    return _interpolate(low, factor, offset, "bicubic")


def _interpolate(
    low: npt.NDArray[np.float32], factor: int, offset: float | None, mode: str
) -> npt.NDArray[np.float32]:
    high = interpolate(torch.from_numpy(low)[None, None], factor, offset=offset, mode=mode)
    result: npt.NDArray[np.float32] = high[0, 0].numpy()
    return result
