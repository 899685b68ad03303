"""`torch.ops.repro.ddf`, its gradients, and the same into memory that is there already."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from repro.ops.checks import check_no_overlap
from repro.ops.registration import define, define_with_gradient, imported

_ARGUMENTS = (
    "Tensor x, Tensor channel_filter, Tensor spatial_filter, int stride, int dilation, "
    "str kernel_combine, float? norm_scale=None"
)
_forward_cpu = imported("repro.ops.cpu.host", "ddf_forward")
_forward_cuda = imported("repro_kernels.host", "ddf_forward")


def call_ddf(*args: Any) -> Tensor:
    """`torch.ops.repro.ddf`, typed."""
    out: Tensor = torch.ops.repro.ddf.default(*args)
    return out


def write_ddf(out: Tensor, *args: Any) -> Tensor:
    """`torch.ops.repro.ddf_out`, typed; returns `out`."""
    torch.ops.repro.ddf_out.default(*args, out=out)
    return out


def _fake(x: Tensor, channel_filter: Tensor, spatial_filter: Tensor, *options: Any) -> Tensor:
    return x.new_empty((*x.shape[:2], *spatial_filter.shape[2:]))


def _out_fake(*args: Any, out: Tensor) -> None:
    pass


def _out_cpu(*args: Any, out: Tensor) -> None:
    check_no_overlap(out, *args[:3])
    _forward_cpu(*args, out=out)


def _out_cuda(*args: Any, out: Tensor) -> None:
    check_no_overlap(out, *args[:3])
    out.copy_(_forward_cuda(*args))


define_with_gradient(
    "ddf",
    _ARGUMENTS,
    _fake,
    {
        "CPU": (_forward_cpu, imported("repro.ops.cpu.host", "ddf_backward")),
        "CUDA": (_forward_cuda, imported("repro_kernels.host", "ddf_backward")),
    },
)
define(
    "ddf_out",
    f"({_ARGUMENTS}, *, Tensor(a!) out) -> ()",
    _out_fake,
    {"CPU": _out_cpu, "CUDA": _out_cuda},
)
