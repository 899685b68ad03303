"""Errors of upsampled depth: which pixels count, and what is averaged.

The protocol of PAC's public code is the default: a border of 6 pixels is left out, the root mean
square is taken within each image, and the mean over the images ("per_image"). The other convention
of the literature, the root of the mean over all pixels of all images ("pooled"), is larger wherever
images differ. Errors are in stored units (NYU: metres); the caller scales them by `unit_scale`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.names import require_known

BORDER = 6
CONVENTIONS = ("per_image", "pooled")
EDGE_THRESHOLD = 0.1
"""Relative jump that makes an edge: the band then holds a tenth of the pixels of NYU Depth V2, and
its 8-bit depth steps by as much only nearer than 0.4 m."""


def counted(
    truth: ArrayLike, *, border: int = BORDER, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """The pixels that an error counts: known, inside the border, and in the mask.

    Args:
        truth: (H, W), NaN where unknown.
        border: pixels left out along each side.
        mask: (H, W) of the pixels that may count; None is all.
    Returns:
        (H, W).
    Raises:
        ValueError: another shape, a mask of another size, a negative border.
    """
    depth = np.asarray(truth)
    if depth.ndim != 2 or (mask is not None and mask.shape != depth.shape):
        raise ValueError(
            f"truth must be (H, W) and the mask of its size, got {depth.shape} and "
            f"{None if mask is None else mask.shape}"
        )
    if border < 0:
        raise ValueError(f"border must not be negative, got {border}")
    inside = np.zeros(depth.shape, dtype=np.bool_)
    height, width = depth.shape
    inside[border : height - border, border : width - border] = True
    inside &= ~np.isnan(depth)
    return inside if mask is None else inside & np.asarray(mask, np.bool_)


def error_map(prediction: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Prediction minus truth, (H, W) float64; NaN where the truth is unknown.

    Raises:
        ValueError: sizes differ, or the prediction is not finite where the truth is known.
    """
    predicted, depth = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != depth.shape or depth.ndim != 2:
        raise ValueError(
            f"prediction and truth must be (H, W) alike, got {predicted.shape} and {depth.shape}"
        )
    wrong = int((~np.isfinite(predicted) & ~np.isnan(depth)).sum())
    if wrong:
        raise ValueError(f"the prediction is not finite at {wrong} pixels whose depth is known")
    return np.where(np.isnan(depth), np.nan, predicted - depth)


def rmse(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    border: int = BORDER,
    mask: NDArray[np.bool_] | None = None,
) -> float:
    """Root mean square error over the `counted` pixels of one image, in stored units.

    Returns:
        NaN where no pixel counts: an image may have no depth edge, and so no edge band.
    Raises:
        ValueError: as `counted` and `error_map`.
    """
    errors = error_map(prediction, truth)[counted(truth, border=border, mask=mask)]
    return float(np.sqrt(np.mean(errors**2))) if errors.size else float("nan")


def edge_band(
    truth: ArrayLike, *, radius: int = 3, threshold: float = EDGE_THRESHOLD
) -> NDArray[np.bool_]:
    """The band around depth discontinuities, where upsampling is hard.

    A pixel lies on a discontinuity if the farthest known depth of its 3 x 3 neighbourhood exceeds
    the nearest by more than `threshold` times the nearest. The ratio has no unit, so one threshold
    serves metres and disparities; surfaces seen at a slant stay below it.

    Args:
        truth: (H, W), above zero; NaN where unknown, which is neither near nor far.
        radius: the band reaches this many pixels from a discontinuity, in squares.
        threshold: relative jump.
    Returns:
        (H, W).
    Raises:
        ValueError: another shape, a negative radius, a threshold that is not above zero.
    """
    from scipy.ndimage import maximum_filter, minimum_filter  # slow to import

    depth = np.asarray(truth, np.float64)
    if depth.ndim != 2 or radius < 0 or threshold <= 0:
        raise ValueError(
            f"need truth (H, W), radius from 0 and a threshold above 0, got {depth.shape}, "
            f"{radius} and {threshold}"
        )
    unknown = np.isnan(depth)
    farthest = maximum_filter(np.where(unknown, -np.inf, depth), 3, mode="nearest")
    nearest = minimum_filter(np.where(unknown, np.inf, depth), 3, mode="nearest")
    edges = farthest > (1 + threshold) * nearest
    band: NDArray[np.bool_] = maximum_filter(edges, 2 * radius + 1, mode="constant", cval=False)
    return band


def summarise(
    per_image: Sequence[float], pixels: Sequence[int], convention: str = "per_image"
) -> float:
    """One error for a dataset.

    Args:
        per_image: RMSE of each image.
        pixels: how many pixels counted in each; an image without any is left out.
        convention: "per_image", the mean of the RMSE; or "pooled", the root of the mean squared
            error over all counted pixels.
    Raises:
        UnknownNameError: no such convention.
        ValueError: lengths differ, no image has a counted pixel, or an image with counted pixels
            has no finite error.
    """
    require_known("convention", convention, CONVENTIONS)
    errors, counts = np.asarray(per_image, np.float64), np.asarray(pixels, np.int64)
    if errors.shape != counts.shape or errors.ndim != 1:
        raise ValueError(f"need one count an error, got {counts.shape} and {errors.shape}")
    used = counts > 0
    if not used.any():
        raise ValueError(f"none of the {len(errors)} images has a pixel that counts")
    errors, counts = errors[used], counts[used]
    if not np.isfinite(errors).all():
        raise ValueError(f"{int((~np.isfinite(errors)).sum())} errors are not finite")
    if convention == "pooled":
        return float(np.sqrt(np.average(errors**2, weights=counts)))
    return float(errors.mean())
