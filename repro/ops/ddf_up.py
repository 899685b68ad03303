"""DDF-Up's operation: one DDF for each sub-pixel, and the pixel shuffle, as one operator."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.ops.backends import choose
from repro.ops.checks import check_ddf
from repro.ops.ddf import under_autocast
from repro.ops.library import call_ddf, write_ddf
from repro.ops.reference import ddf_reference
from repro.ops.registration import define_with_gradient

Grads = tuple[Tensor, Tensor, Tensor]


def ddf_up(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    scale_factor: int,
    *,
    dilation: int = 1,
    kernel_combine: str = "mul",
    norm_scale: float | None = None,
    backend: str | None = None,
) -> Tensor:
    """Filter each pixel once for each of its sub-pixels.

    out[:, :, i::s, j::s] = ddf(x, channel_filter[:, :, b], spatial_filter[:, b]), b = i * s + j. On
    CUDA one kernel does it where 36 taps of a pixel suffice (s = 2 with K = 3); elsewhere it is
    composed of `ddf`.

    Args:
        x: (N, C, H, W), floating point.
        channel_filter: (N, C, s*s, K, K), K odd.
        spatial_filter: (N, s*s, K*K, H, W).
        scale_factor: s, at least 1.
        dilation, kernel_combine, norm_scale, backend: see `ddf`.
    Returns:
        (N, C, s*H, s*W), dtype of x.
    Raises:
        ValueError, TypeError: as of `ddf`; the message gives what was expected and what came.
    Source: DDF (arXiv 2104.14107), section 6, Fig. 5.
    """
    x, channel_filter, spatial_filter = under_autocast(x, channel_filter, spatial_filter)
    args = (x, channel_filter, spatial_filter, scale_factor, dilation, kernel_combine, norm_scale)
    check_ddf_up(*args)
    if choose("ddf_up", backend, x) == "reference":
        return _compose(ddf_reference, *args)
    out: Tensor = torch.ops.repro.ddf_up.default(*args)
    return out


def check_ddf_up(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    scale_factor: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> None:
    """Raise ValueError or TypeError unless the arguments of `ddf_up` fit together."""
    if isinstance(scale_factor, bool) or not isinstance(scale_factor, int) or scale_factor < 1:
        raise ValueError(f"scale_factor must be an int of at least 1, got {scale_factor!r}")
    for name, tensor, axis in (
        ("channel_filter", channel_filter, 2),
        ("spatial_filter", spatial_filter, 1),
    ):
        if tensor.dim() != 5 or tensor.shape[axis] != scale_factor**2:
            raise ValueError(
                f"{name} must have 5 dimensions, with scale_factor ** 2 = {scale_factor**2} as "
                f"number {axis}, got shape {tuple(tensor.shape)}"
            )
    options = (1, dilation, kernel_combine, norm_scale)
    check_ddf(x, channel_filter[:, :, 0], spatial_filter[:, 0], *options)


def _compose(
    implementation: Any,
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    scale_factor: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> Tensor:
    """By any implementation of `ddf`."""
    options = (1, dilation, kernel_combine, norm_scale)
    outs = [
        implementation(x, channel_filter[:, :, b], spatial_filter[:, b], *options)
        for b in range(scale_factor**2)
    ]
    return F.pixel_shuffle(torch.stack(outs, 2).flatten(1, 2), scale_factor)  # (N, C, s*H, s*W)


def _compose_backward(
    grad_out: Tensor,
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    scale_factor: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> Grads:
    """The gradients by the op `ddf_backward`, branch after branch."""
    grad_x = torch.zeros_like(x, memory_format=torch.contiguous_format)
    grad_channel = channel_filter.new_empty(channel_filter.shape)
    grad_spatial = spatial_filter.new_empty(spatial_filter.shape)
    for b in range(scale_factor**2):
        grads = torch.ops.repro.ddf_backward.default(
            grad_out[:, :, b // scale_factor :: scale_factor, b % scale_factor :: scale_factor],
            x,
            channel_filter[:, :, b],
            spatial_filter[:, b],
            1,
            dilation,
            kernel_combine,
            norm_scale,
        )
        grad_x += grads[0]
        grad_channel[:, :, b], grad_spatial[:, b] = grads[1], grads[2]
    return grad_x, grad_channel, grad_spatial


def _forward_cpu(
    x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, scale_factor: int, *options: Any
) -> Tensor:
    """Branch after branch into its sub-pixels: no stack of branches, and no shuffled copy of it."""
    N, C, H, W = x.shape
    out = x.new_empty((N, C, scale_factor * H, scale_factor * W))
    branch = x.new_empty((N, C, H, W))
    for b in range(scale_factor**2):
        write_ddf(branch, x, channel_filter[:, :, b], spatial_filter[:, b], 1, *options)
        out[:, :, b // scale_factor :: scale_factor, b % scale_factor :: scale_factor] = branch
    return out


def _forward_cuda(*args: Any) -> Tensor:
    from repro_kernels import host

    x, channel_filter, _, scale_factor, dilation = args[:5]
    if host.ddf_up_fits(x, channel_filter.shape[-1], scale_factor, dilation):
        out: Tensor = host.ddf_up_forward(*args)
        return out
    return _compose(call_ddf, *args)


def _backward_cuda(*args: Any) -> Grads:
    from repro_kernels import host

    _, x, channel_filter, _, scale_factor, dilation = args[:6]
    if host.ddf_up_fits(x, channel_filter.shape[-1], scale_factor, dilation):
        grads: Grads = host.ddf_up_backward(*args)
        return grads
    return _compose_backward(*args)


def _forward_fake(x: Tensor, *args: Any) -> Tensor:
    scale_factor = args[2]
    batch, channels, height, width = x.shape
    return x.new_empty((batch, channels, scale_factor * height, scale_factor * width))


define_with_gradient(
    "ddf_up",
    "Tensor x, Tensor channel_filter, Tensor spatial_filter, int scale_factor, int dilation, "
    "str kernel_combine, float? norm_scale=None",
    _forward_fake,
    {"CPU": (_forward_cpu, _compose_backward), "CUDA": (_forward_cuda, _backward_cuda)},
)
