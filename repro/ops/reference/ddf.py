"""DDF in plain PyTorch: the truth that every kernel is measured against.

Source: DDF (arXiv 2104.14107), Eq. 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from repro.ops.reference.filter_norm import standardise


def ddf_reference(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> Tensor:
    """Add up one filter tap at a time, over the outputs whose tap lies inside the image.

    A tap outside the image is left out, not multiplied by zero: a NaN in such a tap must not reach
    the output. Arguments are those of `repro.ops.ddf`, already checked.

    Returns:
        (N, C, H_out, W_out)
    """
    if norm_scale is not None:
        spatial_filter = standardise(spatial_filter, norm_scale)
    kernel_size = channel_filter.shape[-1]
    height_out, width_out = spatial_filter.shape[-2:]
    out = x.new_zeros((*x.shape[:2], height_out, width_out))
    for tap in taps_inside(x, channel_filter, spatial_filter, stride, dilation):
        channel_tap = channel_filter[:, :, tap.u, tap.v, None, None]  # (N, C, 1, 1)
        spatial_tap = spatial_filter[:, tap.u * kernel_size + tap.v, None, *tap.outputs]
        taps = combine(channel_tap, spatial_tap, kernel_combine)  # (N, C, rows, columns)
        out = out + pad(taps * x[:, :, *tap.inputs], tap.margin(height_out, width_out))
    return out


def ddf_backward_reference(
    grad_out: Tensor,
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The three gradients of `ddf_reference`, for where autograd is not at hand.

    Returns:
        gradients of x, channel_filter and spatial_filter, each of the shape of its tensor
    """
    kernel_size = channel_filter.shape[-1]
    grad_x = torch.zeros_like(x)
    grad_channel = torch.zeros_like(channel_filter)
    grad_spatial = torch.zeros_like(spatial_filter)
    for tap in taps_inside(x, channel_filter, spatial_filter, stride, dilation):
        t = tap.u * kernel_size + tap.v
        grad = grad_out[:, :, *tap.outputs]  # (N, C, rows, columns)
        product = grad * x[:, :, *tap.inputs]
        channel_tap = channel_filter[:, :, tap.u, tap.v, None, None]  # (N, C, 1, 1)
        spatial_tap = spatial_filter[:, t, None, *tap.outputs]  # (N, 1, rows, columns)
        if kernel_combine == "mul":
            grad_x[:, :, *tap.inputs] += channel_tap * spatial_tap * grad
            grad_channel[:, :, tap.u, tap.v] = (product * spatial_tap).sum((2, 3))
            grad_spatial[:, t, *tap.outputs] = (product * channel_tap).sum(1)
        else:
            grad_x[:, :, *tap.inputs] += (channel_tap + spatial_tap) * grad
            grad_channel[:, :, tap.u, tap.v] = product.sum((2, 3))
            grad_spatial[:, t, *tap.outputs] = product.sum(1)
    return grad_x, grad_channel, grad_spatial


def combine(channel_taps: Tensor, spatial_taps: Tensor, kernel_combine: str) -> Tensor:
    """What each output is weighted with: the product or the sum of the two filters' taps."""
    return channel_taps * spatial_taps if kernel_combine == "mul" else channel_taps + spatial_taps


class Tap(NamedTuple):
    """A filter tap, the outputs for which it lies inside the image, and the inputs they read."""

    u: int
    v: int
    outputs: tuple[slice, slice]
    inputs: tuple[slice, slice]

    def margin(self, height_out: int, width_out: int) -> tuple[int, int, int, int]:
        """Outputs left, right, above and below of `outputs`, as `pad` takes them."""
        rows, columns = self.outputs
        return columns.start, width_out - columns.stop, rows.start, height_out - rows.stop


def taps_inside(
    x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, stride: int, dilation: int
) -> Iterator[Tap]:
    """The taps that lie inside the image for at least one output."""
    kernel_size = channel_filter.shape[-1]
    sizes = list(zip(x.shape[-2:], spatial_filter.shape[-2:], strict=True))
    for u in range(kernel_size):
        for v in range(kernel_size):
            offsets = [(tap - kernel_size // 2) * dilation for tap in (u, v)]
            rows, columns = (
                _range_inside(offset, *size, stride)
                for offset, size in zip(offsets, sizes, strict=True)
            )
            if rows and columns:
                outputs = (_as_slice(rows, 1, 0), _as_slice(columns, 1, 0))
                inputs = (
                    _as_slice(rows, stride, offsets[0]),
                    _as_slice(columns, stride, offsets[1]),
                )
                yield Tap(u, v, outputs, inputs)


def _range_inside(offset: int, size: int, size_out: int, stride: int) -> range:
    """The outputs o with 0 <= o * stride + offset < size."""
    return range(max(0, -(offset // stride)), min(size_out, (size - 1 - offset) // stride + 1))


def _as_slice(outputs: range, stride: int, offset: int) -> slice:
    """o * stride + offset for all o of `outputs`."""
    first, last = outputs[0] * stride + offset, outputs[-1] * stride + offset
    return slice(first, last + 1, stride)


def ddf_unfold(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int = 1,
    dilation: int = 1,
    kernel_combine: str = "mul",
    norm_scale: float | None = None,
) -> Tensor:
    """DDF as attention over an unfolded image (Figure 3): what most re-implementations run.

    Stores the K*K patches and K*K combined taps of every pixel and channel; it is here to be
    compared with and timed against.

    Returns:
        (N, C, H_out, W_out)
    """
    batch, channels, kernel_size, _ = channel_filter.shape
    taps = kernel_size * kernel_size
    if norm_scale is not None:
        spatial_filter = standardise(spatial_filter, norm_scale)
    height_out, width_out = spatial_filter.shape[-2:]
    patches = torch.nn.functional.unfold(
        x, kernel_size, dilation=dilation, padding=dilation * (kernel_size // 2), stride=stride
    ).view(batch, channels, taps, height_out, width_out)
    channel_taps = channel_filter.reshape(batch, channels, taps, 1, 1)
    spatial_taps = spatial_filter[:, None]  # (N, 1, K*K, H_out, W_out)
    attention = combine(channel_taps, spatial_taps, kernel_combine)  # (N, C, K*K, H_out, W_out)
    return (attention * patches).sum(2)  # (N, C, H_out, W_out)
