"""From depth to its low resolution and back, saying where each sample lies.

Papers that print one number for "bicubic at 4x" mean different things: which pixel of a cell the
low resolution keeps (`SAMPLINGS`), and where the upsampler believes that pixel lay (`ALIGNMENTS`).
Where the two disagree the whole image is shifted, and the error is the shift's. Positions are
indices of high-resolution pixels: sample i lies at offset + i * factor.
"""

from __future__ import annotations

from functools import cache, reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.names import require_known

SAMPLINGS = ("centre", "last", "area", "bicubic")
"""What the low resolution holds of each factor x factor cell.

centre: pixel (factor-1)//2 of the cell, as in PAC's public code; last: its last pixel; area: the
mean of the cell; bicubic: cubic filter (a = -1/2) stretched by the factor, as Pillow and MATLAB do.
"""

ALIGNMENTS = ("exact", "half_pixel", "origin", "corners")
"""Where an upsampler believes the samples lie.

exact: where they do; half_pixel: in the middle of the cells, as most image libraries; origin: the
first one on the first pixel; corners: the first and last ones on the first and last pixels.
"""

MODES = ("nearest", "bilinear", "bicubic")


def sample_offset(sampling: str, factor: int) -> float:
    """High-resolution index of the first sample; -0.5 would be the image's edge.

    Raises:
        UnknownNameError: no such sampling.
        ValueError: the factor is below 2.
    """
    require_known("sampling", sampling, SAMPLINGS)
    _check_factor(factor)
    if sampling == "centre":
        return (factor - 1) // 2
    if sampling == "last":
        return factor - 1
    return (factor - 1) / 2


def alignment_offset(alignment: str, sampling: str, factor: int) -> float | None:
    """Where an upsampler of this alignment puts the first sample; None for corners.

    Raises:
        UnknownNameError: no such alignment or sampling.
        ValueError: the factor is below 2.
    """
    require_known("alignment", alignment, ALIGNMENTS)
    if alignment == "exact":
        return sample_offset(sampling, factor)
    require_known("sampling", sampling, SAMPLINGS)
    _check_factor(factor)
    return {"half_pixel": (factor - 1) / 2, "origin": 0.0, "corners": None}[alignment]


def downsample(depth: Tensor, factor: int, sampling: str = "centre") -> Tensor:
    """Low-resolution depth.

    Args:
        depth: (N, 1, H, W), floating point; NaN is unknown. H and W are multiples of the factor.
        factor: high-resolution pixels per low-resolution pixel along each axis, from 2.
        sampling: one of SAMPLINGS.
    Returns:
        (N, 1, H / factor, W / factor), dtype of depth. NaN where the sampled pixel is unknown
        (centre, last), or more than half of the cell is (area, bicubic). Otherwise area takes the
        mean of what is known, and bicubic gives unknown pixels the nearest known depth: its filter
        is so wide that at 16x a few scattered holes would leave nothing known.
    Raises:
        UnknownNameError: no such sampling.
        ValueError: another shape, an integer dtype, or a size that the factor does not divide; see
            `repro.data.rgbd.crop_to_multiple`.
    """
    require_known("sampling", sampling, SAMPLINGS)
    _check_image("depth", depth)
    _check_factor(factor)
    height, width = depth.shape[2:]
    if height % factor or width % factor:
        raise ValueError(
            f"depth must have sides that are multiples of {factor}, got {height} x {width}; "
            "crop_to_multiple cuts a pair"
        )
    if sampling == "area":
        return _cell_means(depth, factor)
    if sampling == "bicubic":
        return _filtered(depth, factor)
    first = int(sample_offset(sampling, factor))
    return depth[:, :, first::factor, first::factor].contiguous()


def interpolate(
    low: Tensor, factor: int, *, offset: float | None, mode: str = "bilinear"
) -> Tensor:
    """Upsample without guidance; beyond the outermost samples the edge is repeated.

    Args:
        low: (N, 1, h, w), floating point; NaN spreads, see `fill_holes`.
        factor: high-resolution pixels per low-resolution pixel along each axis, from 2.
        offset: high-resolution index of the first sample; None puts the first and last samples on
            the first and last pixels.
        mode: "bilinear"; "bicubic", Keys' a = -1/2 as in MATLAB and Pillow, where PyTorch and
            OpenCV take -3/4; "nearest", in a tie the later sample.
    Returns:
        (N, 1, factor * h, factor * w), dtype of low; differentiable.
    Raises:
        UnknownNameError: no such mode.
        ValueError: another shape or an integer dtype.
    """
    _check_image("low", low)
    for dim in (3, 2):
        indices, weights = _taps(low.shape[dim], factor, offset, mode)
        shape = (-1, 1) if dim == 2 else (-1,)
        # Taps are gathered, not multiplied as a matrix: TF32 would round depth to 1/1000 of it.
        gathered = (
            low.index_select(dim, index.to(low.device)) * weight.to(low).view(shape)
            for index, weight in zip(indices, weights, strict=True)
        )
        low = reduce(torch.add, gathered)
    return low


def interpolation_matrix(
    size: int, factor: int, *, offset: float | None, mode: str = "bilinear"
) -> Tensor:
    """`interpolate` along one axis, (factor * size, size) float64: out = rows @ low @ columns.T."""
    indices, weights = _taps(size, factor, offset, mode)
    matrix = torch.zeros(factor * size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, indices.T.contiguous(), weights.T.contiguous())


def fill_holes(depth: NDArray[np.floating]) -> tuple[NDArray[np.floating], int]:
    """Give each unknown pixel the depth of the nearest known one.

    Args:
        depth: (H, W), NaN where unknown.
    Returns:
        The filled depth, dtype of depth, and how many pixels were filled.
    Raises:
        ValueError: nothing is known.
    """
    unknown = np.isnan(depth)
    count = int(unknown.sum())
    if not count:
        return depth, 0
    if count == depth.size:
        raise ValueError(f"depth of {depth.shape} pixels has no known one to fill its holes from")
    from scipy.ndimage import distance_transform_edt  # slow to import

    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return depth[tuple(nearest)], count


@cache
def _taps(size: int, factor: int, offset: float | None, mode: str) -> tuple[Tensor, Tensor]:
    """Along one axis, samples and float64 weights of each output pixel: (taps, factor * size)."""
    require_known("mode", mode, MODES)
    _check_factor(factor)
    pixels = torch.arange(factor * size, dtype=torch.float64)
    if offset is None:
        position = pixels * ((size - 1) / (factor * size - 1))
    else:
        position = (pixels - offset) / factor
    if mode == "nearest":
        samples = (position + 0.5).floor()[None]
        weights = torch.ones_like(samples)
    else:
        reach = 1 if mode == "bilinear" else 2
        samples = position.floor() + torch.arange(1 - reach, reach + 1)[:, None]
        distance = (position - samples).abs()
        weights = 1 - distance if mode == "bilinear" else _cubic(distance)
    return samples.long().clamp(0, size - 1), weights


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic (IEEE ASSP 1981, Eq. 15) with a = -1/2, at distances in samples."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))


def _cells(depth: Tensor, factor: int) -> Tensor:
    """(N, 1, h, factor, w, factor): the pixels of each cell."""
    number, _, height, width = depth.shape
    return depth.reshape(number, 1, height // factor, factor, width // factor, factor)


def _mostly_unknown(depth: Tensor, factor: int) -> Tensor:
    """(N, 1, h, w): whether more than half of a cell is unknown."""
    return 2 * _cells(depth, factor).isnan().sum((3, 5)) > factor**2


def _cell_means(depth: Tensor, factor: int) -> Tensor:
    means = _cells(depth, factor).nanmean((3, 5))
    return means.masked_fill(_mostly_unknown(depth, factor), torch.nan)


def _filtered(depth: Tensor, factor: int) -> Tensor:
    """Bicubic with a filter as wide as the factor asks; at the edges the rest of it is rescaled."""
    rows, columns = (_reduction(size, factor).to(depth.device) for size in depth.shape[2:])
    filled = depth.to(torch.float64, copy=True)
    for index in depth.isnan().any((1, 2, 3)).nonzero().flatten().tolist():
        image = filled[index, 0].cpu().numpy()
        if not np.isnan(image).all():
            filled[index, 0] = torch.from_numpy(fill_holes(image)[0]).to(depth.device)
    low = (rows @ filled @ columns.T).to(depth.dtype)
    return low.masked_fill(_mostly_unknown(depth, factor), torch.nan)


@cache
def _reduction(size: int, factor: int) -> Tensor:
    """Weights of the reduction along one axis: (size / factor, size) float64, rows sum to 1."""
    centres = torch.arange(size // factor, dtype=torch.float64) * factor + (factor - 1) / 2
    weights = _cubic((centres[:, None] - torch.arange(size)).abs() / factor)
    return weights / weights.sum(1, keepdim=True)


def _check_image(name: str, image: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 1 or not image.is_floating_point():
        raise ValueError(
            f"{name} must be (N, 1, height, width), floating point, got {tuple(image.shape)} "
            f"{image.dtype}"
        )


def _check_factor(factor: int) -> None:
    if factor < 2:
        raise ValueError(f"factor must be at least 2, got {factor}")
