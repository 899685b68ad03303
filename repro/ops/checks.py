"""Refuse arguments that do not belong together, saying what was expected and what came."""

from __future__ import annotations

import math

from torch import Tensor

KERNEL_COMBINES = ("mul", "add")


def output_size(size: int, stride: int) -> int:
    """Outputs along an axis of `size` inputs: as Conv2d with "same" padding, rounded up."""
    return -(-size // stride)


def check_ddf(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> None:
    """Raise ValueError or TypeError unless the arguments of `ddf` fit together."""
    if kernel_combine not in KERNEL_COMBINES:
        raise ValueError(f'kernel_combine must be "mul" or "add", got {kernel_combine!r}')
    _check_positive(stride=stride, dilation=dilation)
    tensors = {"x": x, "channel_filter": channel_filter, "spatial_filter": spatial_filter}
    for name, tensor in tensors.items():
        if tensor.dim() != 4:
            raise ValueError(f"{name} must have 4 dimensions, got shape {tuple(tensor.shape)}")
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {tensor.dtype}")
    for name, tensor in tensors.items():
        if tensor.dtype != x.dtype:
            raise TypeError(f"{name} must be {x.dtype} like x, got {tensor.dtype}")
        if tensor.device != x.device:
            raise ValueError(f"{name} must be on {x.device} like x, got {tensor.device}")
    _check_shapes(x, channel_filter, spatial_filter, stride)
    if norm_scale is not None:
        _check_norm_scale(norm_scale, channel_filter.shape[-1])


def check_out(out: Tensor, x: Tensor, spatial_filter: Tensor, *, needs_grad: bool) -> None:
    """Raise ValueError or TypeError unless `out` can take the result of `ddf`, whose arguments fit.

    Args:
        needs_grad: whether autograd would have to record the call.
    """
    if needs_grad:
        raise ValueError(
            "out= cannot be differentiated, but an argument requires grad; call within "
            "torch.no_grad(), or without out="
        )
    expected = (*x.shape[:2], *spatial_filter.shape[2:])
    if out.shape != expected:
        raise ValueError(f"out must be {tuple(expected)}, got {tuple(out.shape)}")
    if out.dtype != x.dtype:
        raise TypeError(f"out must be {x.dtype} like x, got {out.dtype}")
    if out.device != x.device:
        raise ValueError(f"out must be on {x.device} like x, got {out.device}")


def check_no_overlap(
    out: Tensor, x: Tensor, channel_filter: Tensor, spatial_filter: Tensor
) -> None:
    """Raise ValueError if writing `out` would change what is still to be read, or written."""
    if any(step == 0 and size > 1 for step, size in zip(out.stride(), out.shape, strict=True)):
        raise ValueError(f"out must have memory for each value, got strides {out.stride()}")
    tensors = {"x": x, "channel_filter": channel_filter, "spatial_filter": spatial_filter}
    first, last = _extent(out)
    for name, tensor in tensors.items():
        start, stop = _extent(tensor)
        if start < last and first < stop:
            raise ValueError(f"out must not overlap {name} in memory")


def _extent(tensor: Tensor) -> tuple[int, int]:
    """Address of the first byte that belongs to a tensor, and of the first behind it."""
    start = tensor.data_ptr()
    if tensor.numel() == 0:
        return start, start
    reach = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (reach + 1) * tensor.element_size()


def _check_shapes(x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, stride: int) -> None:
    batch, channels, height, width = x.shape
    if height == 0 or width == 0:
        raise ValueError(f"x must have at least one pixel, got shape {tuple(x.shape)}")
    rows, columns = channel_filter.shape[2:]
    if rows != columns or rows % 2 == 0:
        raise ValueError(
            f"channel_filter must be square with an odd side, got {rows} x {columns} taps"
        )
    if channel_filter.shape[:2] != x.shape[:2]:
        raise ValueError(
            f"channel_filter must be {(batch, channels, rows, rows)}, got "
            f"{tuple(channel_filter.shape)} for x {tuple(x.shape)}"
        )
    expected = (batch, rows * rows, output_size(height, stride), output_size(width, stride))
    if spatial_filter.shape != expected:
        raise ValueError(
            f"spatial_filter must be {expected}, got {tuple(spatial_filter.shape)} "
            f"for x {tuple(x.shape)}, {rows} x {rows} taps and stride={stride}"
        )


def _check_norm_scale(norm_scale: float, kernel_size: int) -> None:
    if isinstance(norm_scale, bool) or not isinstance(norm_scale, (int, float)):
        raise TypeError(
            f"norm_scale must be a float or None, got {type(norm_scale).__name__} {norm_scale!r}"
        )
    if not 0 < norm_scale < math.inf:
        raise ValueError(f"norm_scale must be positive and finite, got {norm_scale}")
    if kernel_size == 1:
        raise ValueError("norm_scale needs filters of 3 x 3 taps at least, got 1 x 1")


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {type(value).__name__} {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
