"""DDF and DDF-Up on PyTorch tensors on a GPU: what a call is, and the plan that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from repro_kernels.choice import Call, why_not_up
from repro_kernels.launch import Launch, check_tensors, launch, prepare
from repro_kernels.plan import plan_backward, plan_forward
from repro_kernels.storage import STORAGES

FORWARD_TENSORS = ("x", "channel_filter", "spatial_filter", "out")
BACKWARD_TENSORS = (
    "grad_out",
    "x",
    "channel_filter",
    "spatial_filter",
    "grad_x",
    "grad_channel",
    "grad_spatial",
)


def ddf_forward(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
    form: str | None = None,
) -> Tensor:
    """`torch.ops.repro.ddf` on CUDA: (N, C, H_out, W_out).

    Args:
        form: one of `choice.FORMS`; None takes the fastest that takes the call.
    Raises:
        ValueError: `form` cannot take the call; tensors on several devices or of several dtypes, or
            of one that no kernel takes.
        MissingToolchainError: there is no driver, or no compiler.
    """
    given = (x.contiguous(), channel_filter.contiguous(), spatial_filter.contiguous())
    if stride == 1:
        out = torch.empty_like(given[0])  # the shape is not built anew
    else:
        out = x.new_empty((*x.shape[:2], *spatial_filter.shape[2:]))
    options = (stride, dilation, kernel_combine, norm_scale)
    _run(FORWARD_TENSORS, (*given, out), given[1], *options, form)
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
    form: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`torch.ops.repro.ddf_backward` on CUDA: gradients of the three tensors, each in its shape.

    Args, Raises: see `ddf_forward`.
    """
    given = (grad_out, x, channel_filter, spatial_filter)
    return _backward(given, stride, dilation, kernel_combine, norm_scale, form)


def ddf_up_fits(x: Tensor, kernel_size: int, scale_factor: int, dilation: int) -> bool:
    """Whether the fused kernels of DDF-Up take a call."""
    shape = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    dtype = str(x.dtype).removeprefix("torch.")
    return why_not_up(Call(shape, kernel_size, "", dtype, 1, dilation, True, scale_factor)) is None


def ddf_up_forward(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    scale_factor: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> Tensor:
    """`torch.ops.repro.ddf_up` on CUDA, where `ddf_up_fits`: (N, C, s*H, s*W)."""
    given = (x.contiguous(), channel_filter.contiguous(), spatial_filter.contiguous())
    batch, channels, height, width = x.shape
    out = x.new_empty((batch, channels, scale_factor * height, scale_factor * width))
    options = (1, dilation, kernel_combine, norm_scale)
    _run(FORWARD_TENSORS, (*given, out), given[1], *options, None, scale_factor)
    return out


def ddf_up_backward(
    grad_out: Tensor,
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    scale_factor: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`torch.ops.repro.ddf_up_backward` on CUDA, where `ddf_up_fits`: the three gradients."""
    given = (grad_out, x, channel_filter, spatial_filter)
    return _backward(given, 1, dilation, kernel_combine, norm_scale, None, scale_factor)


def _backward(given: Sequence[Tensor], *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the last three of `given`; `options` are those of `_run`, from stride on."""
    given = [tensor.contiguous() for tensor in given]
    grads = torch.empty_like(given[1]), torch.empty_like(given[2]), torch.empty_like(given[3])
    _run(BACKWARD_TENSORS, (*given, *grads), given[2], *options)
    return grads


def _run(
    names: tuple[str, ...],
    tensors: tuple[Tensor, ...],
    channel_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
    norm_scale: float | None,
    form: str | None,
    scale_factor: int = 1,
) -> None:
    x = tensors[names.index("x")]
    device = check_tensors(names, tensors, x)
    pointers = [tensor.data_ptr() for tensor in tensors]
    align = 4 * x.element_size()
    aligned = not any(pointer % align for pointer in pointers)
    ready, scratch = _prepared(
        names,
        x.shape,
        channel_filter.shape[-1],
        kernel_combine,
        x.dtype,
        stride,
        dilation,
        aligned,
        norm_scale,
        form,
        scale_factor,
        device,
    )
    # Held until the launch: a tensor that is gone lends its memory to the next.
    held = [torch.empty(shape, dtype=dtype, device=device) for shape, dtype in scratch]
    pointers += [tensor.data_ptr() for tensor in held]
    launch(ready, pointers, device)


@lru_cache(maxsize=4096)
def _prepared(
    names: tuple[str, ...],
    shape: torch.Size,
    kernel_size: int,
    kernel_combine: str,
    dtype: torch.dtype,
    stride: int,
    dilation: int,
    aligned: bool,
    norm_scale: float | None,
    form: str | None,
    scale_factor: int,
    device: torch.device,
) -> tuple[tuple[Launch, ...], tuple[tuple[tuple[int, ...], torch.dtype], ...]]:
    """Launches of a call, and its scratch: tensors of which shapes and dtypes."""
    dtype_name = str(dtype).removeprefix("torch.")
    if dtype_name not in STORAGES:
        raise ValueError(f"x must be one of {', '.join(STORAGES)}, got {dtype_name}")
    call = Call(
        (shape[0], shape[1], shape[2], shape[3]),
        kernel_size,
        kernel_combine,
        dtype_name,
        stride,
        dilation,
        aligned,
        scale_factor,
        norm_scale or 0.0,
    )
    plan = (plan_forward if names is FORWARD_TENSORS else plan_backward)(call, form)
    ready = tuple(prepare(step, (*names, *plan.scratch), device) for step in plan.steps)
    sum_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    scratch = tuple(
        (size, sum_dtype if name == "parts" else dtype) for name, size in plan.scratch.items()
    )
    return ready, scratch
