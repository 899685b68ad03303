"""How an operator becomes `torch.ops.repro.*`: schema, shapes, gradients, kernels per device.

Forward and backward are ops of their own, so that torch.compile sees two opaque nodes whose shapes
it knows. What an op does on a device is imported by the first call on that device.

The gradient is an `autograd.Function` under the op's Autograd key: `register_autograd` does the
same, with more Python around each call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

Implementation = Callable[..., Any]

LIBRARY = torch.library.Library("repro", "DEF")  # type: ignore[no-untyped-call]


def define(
    name: str, schema: str, fake: Implementation, implementations: Mapping[str, Implementation]
) -> None:
    """Make `torch.ops.repro.<name>`, without gradients.

    Args:
        schema: arguments and results, as in "(Tensor x, int stride) -> Tensor".
        fake: makes results of the right shape without computing.
        implementations: by dispatch key.
    """
    LIBRARY.define(name + schema)  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"repro::{name}", fake)
    for key, implementation in implementations.items():
        LIBRARY.impl(name, implementation, key)  # type: ignore[no-untyped-call]


def define_with_gradient(
    name: str,
    arguments: str,
    fake: Callable[..., Tensor],
    devices: Mapping[str, tuple[Implementation, Implementation]],
    *,
    constant: Collection[str] = (),
) -> None:
    """Make `torch.ops.repro.<name>`, of one result, and `<name>_backward`, its gradients.

    `<name>_backward` takes the gradient of the result, then all that the op takes, and returns a
    gradient for each tensor, in its shape. It has no gradient itself, and says so.

    Args:
        arguments: of the schema, all tensors before all else.
        fake: makes a result of the right shape without computing.
        devices: by dispatch key, what computes the result, and what its gradients.
        constant: names of the tensors that have no gradient.
    """
    names = [text.split()[1] for text in arguments.split(", ") if text.startswith("Tensor ")]
    tensors = len(names)
    places = [i for i, tensor in enumerate(names) if tensor not in constant]
    backward_name = f"{name}_backward"

    def backward_fake(grad_out: Tensor, *args: Any) -> tuple[Tensor, ...]:
        return tuple(args[i].new_empty(args[i].shape) for i in places)

    forward = {key: functions[0] for key, functions in devices.items()}
    backward = {key: functions[1] for key, functions in devices.items()}
    results = ", ".join(["Tensor"] * len(places))
    define(name, f"({arguments}) -> Tensor", fake, forward)
    define(backward_name, f"(Tensor grad_out, {arguments}) -> ({results})", backward_fake, backward)
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
            for place, grad in zip(places, found, strict=True):
                every[place] = grad
            return tuple(every)

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                return backward_op(*args)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            raise NotImplementedError(
                f"{name}: the kernels have no second derivative; call {name} with "
                'backend="reference"'
            )

    def differentiable(*args: Any) -> Any:
        if torch.is_grad_enabled() and any(args[i].requires_grad for i in places):
            return Forward.apply(*args)
        with torch._C._AutoDispatchBelowAutograd():
            return forward_op(*args)

    LIBRARY.impl(name, differentiable, "Autograd")  # type: ignore[no-untyped-call]
    LIBRARY.impl(backward_name, Backward.apply, "Autograd")  # type: ignore[no-untyped-call]


def imported(module: str, name: str) -> Implementation:
    """A function of a module that its first call imports."""
    found: Implementation | None = None

    def call(*args: Any, **options: Any) -> Any:
        nonlocal found
        if found is None:
            found = getattr(import_module(module), name)
        return found(*args, **options)

    return call
