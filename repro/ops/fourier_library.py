"""Registration of the Fourier weight operators: `torch.ops.repro.fourier_disjoint_weight` and
`torch.ops.repro.weight_from_basis`, each with a backward op of its own.

As in `repro.ops.library`, whose namespace this extends: what an op does on a device is imported by
the first call on that device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from repro.ops.library import LIBRARY

_FACTORS = "Tensor channel, Tensor filter, Tensor spatial, Tensor local_input, Tensor local_filter"
_SCHEMAS = {
    "fourier_disjoint_weight": f"Tensor spectrum, Tensor group_map, Tensor attention, {_FACTORS}, "
    "int[] weight_shape, int groups",
    "weight_from_basis": f"Tensor basis, Tensor attention, {_FACTORS}, int groups",
}
# Positions of the tensors that have gradients, and how many tensors there are.
_DIFFERENTIABLE = {
    "fourier_disjoint_weight": ((0, 2, 3, 4, 5, 6, 7), 8),
    "weight_from_basis": ((0, 1, 2, 3, 4, 5, 6), 7),
}


def call_fourier_disjoint_weight(*args: Any) -> Tensor:
    """`torch.ops.repro.fourier_disjoint_weight`, typed."""
    out: Tensor = torch.ops.repro.fourier_disjoint_weight.default(*args)
    return out


def call_weight_from_basis(*args: Any) -> Tensor:
    """`torch.ops.repro.weight_from_basis`, typed."""
    out: Tensor = torch.ops.repro.weight_from_basis.default(*args)
    return out


def _spectrum_fake(spectrum: Tensor, group_map: Tensor, attention: Tensor, *rest: Any) -> Tensor:
    weight_shape: Sequence[int] = rest[-2]
    return spectrum.new_empty((attention.shape[0], *weight_shape))


def _basis_fake(basis: Tensor, attention: Tensor, *rest: Any) -> Tensor:
    C_out, K_h, K_w, C_in = basis.shape[1:]
    return basis.new_empty((attention.shape[0], C_out, C_in, K_h, K_w))


def _cpu(name: str) -> Callable[..., Any]:
    def implementation(*args: Any) -> Any:
        from repro.ops.cpu import fourier_disjoint_weight_host

        return getattr(fourier_disjoint_weight_host, name)(*args)

    return implementation


def _cuda(name: str) -> Callable[..., Any]:
    def implementation(*args: Any) -> Any:
        from repro_kernels import fourier_disjoint_weight_host

        return getattr(fourier_disjoint_weight_host, name)(*args)

    return implementation


def _backward_fake(name: str) -> Callable[..., Any]:
    positions, _ = _DIFFERENTIABLE[name]

    def fake(grad_out: Tensor, *args: Any) -> tuple[Tensor, ...]:
        return tuple(args[i].new_empty(args[i].shape) for i in positions)

    return fake


def _register(name: str, fake: Callable[..., Tensor]) -> None:
    positions, tensors = _DIFFERENTIABLE[name]
    backward_name = f"{name}_backward"
    results = ", ".join(["Tensor"] * len(positions))
    LIBRARY.define(f"{name}({_SCHEMAS[name]}) -> Tensor")  # type: ignore[no-untyped-call]
    LIBRARY.define(  # type: ignore[no-untyped-call]
        f"{backward_name}(Tensor grad_out, {_SCHEMAS[name]}) -> ({results})"
    )
    forward_op = getattr(torch.ops.repro, name).default
    backward_op = getattr(torch.ops.repro, backward_name).default

    class Forward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            ctx.save_for_backward(*args[:tensors])
            ctx.options = args[tensors:]
            with torch._C._AutoDispatchBelowAutograd():
                return forward_op(*args)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            found = backward_op(grads[0], *ctx.saved_tensors, *ctx.options)
            every: list[Tensor | None] = [None] * (tensors + len(ctx.options))
            for position, grad in zip(positions, found, strict=True):
                every[position] = grad
            return tuple(every)

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return backward_op(*args)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            raise NotImplementedError(
                f'{name}: the kernels have no second derivative; call it with backend="reference"'
            )

    torch.library.register_fake(f"repro::{name}", fake)
    torch.library.register_fake(f"repro::{backward_name}", _backward_fake(name))
    for op, key, implementation in (
        (name, "CPU", _cpu(name)),
        (backward_name, "CPU", _cpu(backward_name)),
        (name, "CUDA", _cuda(name)),
        (backward_name, "CUDA", _cuda(backward_name)),
        (name, "Autograd", lambda *args: Forward.apply(*args)),
        (backward_name, "Autograd", lambda *args: Backward.apply(*args)),
    ):
        LIBRARY.impl(op, implementation, key)  # type: ignore[no-untyped-call]


_register("fourier_disjoint_weight", _spectrum_fake)
_register("weight_from_basis", _basis_fake)
