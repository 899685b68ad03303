"""Call the CPU kernels with PyTorch tensors: layouts, dtypes, and what is not finite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from repro.ops.cpu.ddf import forward_kernel
from repro.ops.cpu.ddf_backward import backward_kernel
from repro.ops.cpu.filter_norm import standardise, standardise_backward_
from repro.ops.cpu.plan import Array, Plan, plan
from repro.ops.cpu.threads import run
from repro.ops.reference.ddf import ddf_backward_reference, ddf_reference


def ddf_forward(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """`torch.ops.repro.ddf` and `ddf_out` on the CPU; half precision is computed in float32."""
    if x.dtype not in (torch.float32, torch.float64):
        tensors = (x.float(), channel_filter.float(), spatial_filter.float())
        result = ddf_forward(*tensors, stride, dilation, kernel_combine, norm_scale)
        return result.to(x.dtype) if out is None else out.copy_(result)
    if out is None:
        out = x.new_empty((*x.shape[:2], *spatial_filter.shape[2:]))
    elif not out.is_contiguous():
        args = (x, channel_filter, spatial_filter, stride, dilation, kernel_combine, norm_scale)
        return out.copy_(ddf_forward(*args))
    if out.numel() == 0:
        return out
    if norm_scale is not None:
        spatial_filter = standardise(spatial_filter, norm_scale)
    planned = plan(x.shape, channel_filter.shape[-1], stride, dilation, x.element_size())
    finite = np.empty(_tasks(x, planned), np.bool_)
    run(
        forward_kernel,
        len(finite),
        _flat(x),
        _flat(_by_slot(channel_filter, planned)),
        _flat(spatial_filter),
        _flat(out),
        finite,
        *planned[:3],
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
    norm_scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`torch.ops.repro.ddf_backward` on the CPU; half precision is computed in float32."""
    if x.dtype not in (torch.float32, torch.float64):
        tensors = (grad_out.float(), x.float(), channel_filter.float(), spatial_filter.float())
        grads = ddf_backward(*tensors, stride, dilation, kernel_combine, norm_scale)
        return grads[0].to(x.dtype), grads[1].to(x.dtype), grads[2].to(x.dtype)
    if grad_out.numel() == 0:
        return (
            x.new_zeros(x.shape),
            torch.zeros_like(channel_filter),
            torch.zeros_like(spatial_filter),
        )
    given = spatial_filter
    if norm_scale is not None:
        spatial_filter = standardise(given, norm_scale)
    kernel_size = channel_filter.shape[-1]
    planned = plan(x.shape, kernel_size, stride, dilation, x.element_size(), by_phase=True)
    # With a stride there may be inputs that no tap reads.
    grad_x = x.new_zeros(x.shape) if stride > 1 else x.new_empty(x.shape)
    grad_channel = x.new_zeros(planned.layout.blocks, *x.shape[:2], len(planned.taps.order))
    grad_spatial = x.new_empty(planned.layout.chunks, *spatial_filter.shape)
    finite = np.empty(_tasks(x, planned), np.bool_)
    run(
        backward_kernel,
        len(finite),
        _flat(grad_out),
        _flat(x),
        _flat(_by_slot(channel_filter, planned)),
        _flat(spatial_filter),
        _flat(grad_x),
        grad_channel.flatten(1).numpy(),
        grad_spatial.flatten(1).numpy(),
        finite,
        *planned[:3],
        _as_flag(kernel_combine),
    )
    by_tap = _by_tap(_sum_parts(grad_channel), planned)
    grads = (grad_x, by_tap.reshape(channel_filter.shape), _sum_parts(grad_spatial))
    for image in _not_finite(finite, len(x)):
        args = (grad_out[image], x[image], channel_filter[image], spatial_filter[image])
        exact = ddf_backward_reference(*args, stride, dilation, kernel_combine)
        for grad, values in zip(grads, exact, strict=True):
            grad[image] = values
    if norm_scale is not None:
        standardise_backward_(grads[2], given, norm_scale)
    return grads


def _tasks(x: Tensor, planned: Plan) -> int:
    return len(x) * planned.layout.blocks * planned.layout.chunks


def _by_slot(channel_filter: Tensor, planned: Plan) -> Tensor:
    """(N, C, slots) from (N, C, K, K): zero in slots without a tap."""
    taps = channel_filter.flatten(2)
    if planned.is_sorted:
        return taps
    return torch.nn.functional.pad(taps, (0, 1))[:, :, planned.taps.order]  # -1 is what is padded


def _by_tap(by_slot: Tensor, planned: Plan) -> Tensor:
    """(N, C, K*K) from (N, C, slots)."""
    if planned.is_sorted:
        return by_slot
    order = planned.taps.order
    return by_slot[:, :, np.argsort(order)[np.count_nonzero(order < 0) :]]


def _sum_parts(parts: Tensor) -> Tensor:
    return parts[0] if len(parts) == 1 else parts.sum(0)


def _flat(tensor: Tensor) -> Array:
    """The memory of a tensor as one row, copied if it is not contiguous."""
    return tensor.detach().contiguous().numpy().reshape(-1)


def _as_flag(kernel_combine: str) -> bool | None:
    return None if kernel_combine == "mul" else True


def _not_finite(finite: Array, images: int) -> Iterator[slice]:
    """Images of which some task wrote a value that is not finite, each as a slice of the batch."""
    if finite.all():
        return
    for n in np.flatnonzero(~finite.reshape(images, -1).all(1)):
        yield slice(n, n + 1)
