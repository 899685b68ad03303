"""Call the CPU kernels with PyTorch tensors: layouts, blocks, dtypes, and what is not finite."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from repro.ops.checks import output_size
from repro.ops.cpu.ddf import Array, Blocks, backward_kernel, forward_kernel
from repro.ops.cpu.jit import run
from repro.ops.reference.ddf import ddf_backward_reference, ddf_reference

# Of a block's spatial filter: larger blocks have fewer edges, but must stay in the second-level
# cache. Between 64 and 256 KiB times differ by less than a fifth; at 16 KiB they are up to 1.7
# times as long (3 x 3, maps of 32 x 32 to 200 x 300).
BLOCK_BYTES = 128 << 10

# The backward pass needs this many tasks to keep all cores of a large machine busy.
BACKWARD_TASKS = 16


def ddf_forward(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> Tensor:
    """`torch.ops.repro.ddf` on the CPU; half precision is computed in float32."""
    if x.dtype not in (torch.float32, torch.float64):
        tensors = (x.float(), channel_filter.float(), spatial_filter.float())
        return ddf_forward(*tensors, stride, dilation, kernel_combine).to(x.dtype)
    out = x.new_empty((*x.shape[:2], *spatial_filter.shape[2:]))
    if out.numel() == 0:
        return out
    blocks, offsets = plan(x.shape, channel_filter.shape[-1], stride, dilation, x.element_size())
    finite = np.empty(len(x) * blocks.per_image, np.bool_)
    run(
        forward_kernel,
        len(finite),
        _planes(x),
        _planes(channel_filter),
        _planes(spatial_filter),
        _planes(out),
        finite,
        blocks,
        _groups(offsets),
        _as_flag(kernel_combine),
    )
    for image in _not_finite(finite, len(x)):
        out[image] = ddf_reference(
            x[image], channel_filter[image], spatial_filter[image], stride, dilation, kernel_combine
        )
    return out


def ddf_backward(
    grad_out: Tensor,
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """`torch.ops.repro.ddf_backward` on the CPU; half precision is computed in float32."""
    if x.dtype not in (torch.float32, torch.float64):
        tensors = (grad_out.float(), x.float(), channel_filter.float(), spatial_filter.float())
        grads = ddf_backward(*tensors, stride, dilation, kernel_combine)
        return grads[0].to(x.dtype), grads[1].to(x.dtype), grads[2].to(x.dtype)
    grad_x = x.new_zeros(x.shape)
    grad_channel = x.new_zeros(channel_filter.shape)
    if grad_out.numel() == 0:
        return grad_x, grad_channel, x.new_zeros(spatial_filter.shape)
    blocks, offsets = plan(x.shape, channel_filter.shape[-1], stride, dilation, x.element_size())
    # Chunks follow from the shape alone, never from the number of threads: sums keep their order.
    chunks = max(1, min(BACKWARD_TASKS // len(x), blocks.channels // 16))
    grad_spatial = x.new_empty((chunks, *spatial_filter.shape))
    finite = np.empty(len(x) * chunks, np.bool_)
    run(
        backward_kernel,
        len(finite),
        _planes(grad_out),
        _planes(x),
        _planes(channel_filter),
        _planes(spatial_filter),
        _planes(grad_x),
        _planes(grad_channel),
        _planes(grad_spatial),
        finite,
        blocks,
        np.array(offsets),
        _as_flag(kernel_combine),
    )
    grads = (grad_x, grad_channel, grad_spatial[0] if chunks == 1 else grad_spatial.sum(0))
    for image in _not_finite(finite, len(x)):
        args = (grad_out[image], x[image], channel_filter[image], spatial_filter[image])
        exact = ddf_backward_reference(*args, stride, dilation, kernel_combine)
        for grad, values in zip(grads, exact, strict=True):
            grad[image] = values
    return grads


@lru_cache(maxsize=1024)
def plan(
    shape: tuple[int, int, int, int], kernel_size: int, stride: int, dilation: int, value_bytes: int
) -> tuple[Blocks, tuple[np.uintp, ...]]:
    """Blocks for an input of `shape`, and each tap's offset in a tile."""
    _, channels, height, width = shape
    height_out, width_out = output_size(height, stride), output_size(width, stride)
    halo = (kernel_size - 1) * dilation // stride
    pitch = width_out + halo
    most_rows = max(1, BLOCK_BYTES // (kernel_size**2 * pitch * value_bytes))
    count = output_size(height_out, most_rows)
    rows = output_size(height_out, count)
    offsets = []
    for u in range(kernel_size):
        for v in range(kernel_size):
            row, phase_h = divmod(u * dilation, stride)
            column, phase_w = divmod(v * dilation, stride)
            phase = phase_h * stride + phase_w
            offsets.append(np.uintp((phase * (rows + halo) + row) * pitch + column))
    blocks = Blocks(
        channels=channels,
        height=height,
        width=width,
        height_out=height_out,
        width_out=width_out,
        stride=stride,
        padding=dilation * (kernel_size // 2),
        per_image=output_size(height_out, rows),
        rows=rows,
        halo=halo,
        pitch=pitch,
    )
    return blocks, tuple(offsets)


def _groups(offsets: tuple[np.uintp, ...]) -> tuple[tuple[np.uintp, ...], ...]:
    """Taps that one pass takes together: all of 3 x 3, else as much of a kernel row as unrolls.

    LLVM unrolls nine taps; eleven it does not, and they take three times as long as one by one.
    """
    kernel_size = isqrt(len(offsets))
    size = 9 if kernel_size == 3 else max(n for n in (1, 3, 5, 7, 9) if kernel_size % n == 0)
    return tuple(offsets[first : first + size] for first in range(0, len(offsets), size))


def _planes(tensor: Tensor) -> Array:
    """The memory of (..., rows, columns) as (planes, rows * columns), copied if not contiguous."""
    return tensor.detach().contiguous().flatten(0, -3).flatten(1).numpy()


def _as_flag(kernel_combine: str) -> bool | None:
    return None if kernel_combine == "mul" else True


def _not_finite(finite: Array, images: int) -> Iterator[slice]:
    """Images of which some task wrote a value that is not finite, each as a slice of the batch."""
    for n in np.flatnonzero(~finite.reshape(images, -1).all(1)):
        yield slice(n, n + 1)
