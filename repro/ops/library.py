"""Registration with PyTorch: schemas, shapes, gradients and kernels of `torch.ops.repro.*`.

Forward and backward are ops of their own, so that torch.compile sees two opaque nodes whose shapes
it knows. What an op does on a device is imported by the first call on that device.

The gradient is an `autograd.Function` under the op's Autograd key: `register_autograd` does the
same, with more Python around each call.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from repro.ops.checks import check_no_overlap

Grads = tuple[Tensor, Tensor, Tensor]

LIBRARY = torch.library.Library("repro", "DEF")  # type: ignore[no-untyped-call]
LIBRARY.define(  # type: ignore[no-untyped-call]
    "ddf(Tensor x, Tensor channel_filter, Tensor spatial_filter, int stride, int dilation, "
    "str kernel_combine) -> Tensor"
)
LIBRARY.define(  # type: ignore[no-untyped-call]
    "ddf_out(Tensor x, Tensor channel_filter, Tensor spatial_filter, int stride, int dilation, "
    "str kernel_combine, *, Tensor(a!) out) -> ()"
)
LIBRARY.define(  # type: ignore[no-untyped-call]
    "ddf_backward(Tensor grad_out, Tensor x, Tensor channel_filter, Tensor spatial_filter, "
    "int stride, int dilation, str kernel_combine) -> (Tensor, Tensor, Tensor)"
)


def call_ddf(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> Tensor:
    """`torch.ops.repro.ddf`, typed."""
    out: Tensor = torch.ops.repro.ddf.default(
        x, channel_filter, spatial_filter, stride, dilation, kernel_combine
    )
    return out


def write_ddf(out: Tensor, x: Tensor, *args: Any) -> Tensor:
    """`torch.ops.repro.ddf_out`, typed; returns `out`."""
    torch.ops.repro.ddf_out.default(x, *args, out=out)
    return out


def _ddf_fake(x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, *options: Any) -> Tensor:
    return x.new_empty((*x.shape[:2], *spatial_filter.shape[2:]))


def _ddf_out_fake(*args: Any, out: Tensor) -> None:
    pass


def _ddf_backward_fake(
    grad_out: Tensor, x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, *options: Any
) -> Grads:
    return (
        x.new_empty(x.shape),
        channel_filter.new_empty(channel_filter.shape),
        spatial_filter.new_empty(spatial_filter.shape),
    )


def _ddf_cpu(*args: Any) -> Tensor:
    from repro.ops.cpu.host import ddf_forward

    return ddf_forward(*args)


def _ddf_out_cpu(*args: Any, out: Tensor) -> None:
    from repro.ops.cpu.host import ddf_forward

    check_no_overlap(out, *args[:3])
    partial(ddf_forward, out=out)(*args)


def _ddf_backward_cpu(*args: Any) -> Grads:
    from repro.ops.cpu.host import ddf_backward

    return ddf_backward(*args)


def _ddf_cuda(*args: Any) -> Tensor:
    from repro_kernels.host import ddf_forward

    out: Tensor = ddf_forward(*args)
    return out


def _ddf_out_cuda(*args: Any, out: Tensor) -> None:
    check_no_overlap(out, *args[:3])
    out.copy_(_ddf_cuda(*args))


def _ddf_backward_cuda(*args: Any) -> Grads:
    from repro_kernels.host import ddf_backward

    grads: Grads = ddf_backward(*args)
    return grads


class _DDF(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        ctx.save_for_backward(*args[:3])
        ctx.options = args[3:]
        with torch._C._AutoDispatchBelowAutograd():
            return call_ddf(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (
            *torch.ops.repro.ddf_backward.default(grads[0], *ctx.saved_tensors, *ctx.options),
            *(None for _ in ctx.options),
        )


def _ddf_autograd(*args: Any) -> Any:
    return _DDF.apply(*args)


class _DDFBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return torch.ops.repro.ddf_backward.default(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError(
            'ddf: the kernels have no second derivative; call ddf with backend="reference"'
        )


def _ddf_backward_autograd(*args: Any) -> Any:
    return _DDFBackward.apply(*args)


torch.library.register_fake("repro::ddf", _ddf_fake)
torch.library.register_fake("repro::ddf_out", _ddf_out_fake)
torch.library.register_fake("repro::ddf_backward", _ddf_backward_fake)
for _op, _key, _implementation in (
    ("ddf", "CPU", _ddf_cpu),
    ("ddf_out", "CPU", _ddf_out_cpu),
    ("ddf_backward", "CPU", _ddf_backward_cpu),
    ("ddf", "CUDA", _ddf_cuda),
    ("ddf_out", "CUDA", _ddf_out_cuda),
    ("ddf_backward", "CUDA", _ddf_backward_cuda),
    ("ddf", "Autograd", _ddf_autograd),
    ("ddf_backward", "Autograd", _ddf_backward_autograd),
):
    LIBRARY.impl(_op, _implementation, _key)  # type: ignore[no-untyped-call]
