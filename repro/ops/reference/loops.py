"""Equation 2 of DDF as it is written: one output at a time, one tap at a time."""

from __future__ import annotations

from itertools import product

from torch import Tensor


def ddf_loops(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int = 1,
    dilation: int = 1,
    kernel_combine: str = "mul",
) -> Tensor:
    """DDF in nested loops, for a few pixels: independent of every other implementation.

    Returns:
        (N, C, H_out, W_out)
    """
    kernel_size = channel_filter.shape[-1]
    radius = kernel_size // 2
    out = x.new_zeros((*x.shape[:2], *spatial_filter.shape[2:]))
    for n, c, row, column in product(*map(range, out.shape)):
        for u, v in product(range(kernel_size), repeat=2):
            h = row * stride + (u - radius) * dilation
            w = column * stride + (v - radius) * dilation
            if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]:
                channel = channel_filter[n, c, u, v]
                spatial = spatial_filter[n, u * kernel_size + v, row, column]
                tap = channel * spatial if kernel_combine == "mul" else channel + spatial
                out[n, c, row, column] += tap * x[n, c, h, w]
    return out
