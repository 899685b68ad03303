"""A run that meets NaN or infinity stops, and names the module it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class NonFiniteError(RuntimeError):
    """Loss or gradients became NaN or infinite.

    Attributes:
        step: optimiser steps taken before the one that failed.
        cause: what was the first to be bad, in words; it names the module.
        history: the epochs that were completed.
    """

    def __init__(
        self, message: str, *, step: int, cause: str, history: list[dict[str, Any]]
    ) -> None:
        super().__init__(message)
        self.step, self.cause, self.history = step, cause, history


def find_cause(
    model: nn.Module,
    batch: Any,
    losses: Callable[[], Mapping[str, Tensor]],
    backward: Callable[[Mapping[str, Tensor]], None],
) -> str:
    """Run a failed step again, watching every module, and say what was the first to be bad.

    The order of blame follows the computation: batch, parameters, modules forward, loss, modules
    backward, gradients of parameters. The model's gradients and running statistics are changed.

    Args:
        model: the network, with the parameters it had before the step.
        batch: what it was given.
        losses: computes the losses of that batch; the caller has put the random generators back.
        backward: differentiates their sum.
    """
    for where, tensor in _tensors(batch, "batch"):
        if not _finite(tensor):
            return f"{where} holds {_what(tensor)} before the network sees it"
    for name, parameter in model.named_parameters():
        if not _finite(parameter):
            return f"parameter {name} holds {_what(parameter)}"
    for parameter in model.parameters():
        parameter.grad = None
    with _Watch(model) as watch:
        parts = losses()
        if watch.forward_cause is not None:
            return watch.forward_cause
        for loss, part in parts.items():
            if not _finite(part):
                return f"{loss} is {_what(part)}, though every module's output is finite"
        backward(parts)
    if watch.backward_cause is not None:
        return watch.backward_cause
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not _finite(parameter.grad):
            return f"the gradient of parameter {name} holds {_what(parameter.grad)}"
    return "not found again: the repeated step was finite, so the failure is not deterministic"


class _Watch:
    """Hooks on every module that note the first bad output and the first bad gradient."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[RemovableHandle] = []
        self.forward_cause: str | None = None
        self.backward_cause: str | None = None

    def __enter__(self) -> _Watch:
        for name, module in self._model.named_modules():
            label = f"{name or 'the network'} ({type(module).__name__})"
            self._handles.append(module.register_forward_pre_hook(self._before(label)))
            self._handles.append(module.register_forward_hook(self._after(label)))
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, label: str) -> Callable[[nn.Module, Any], Any]:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            # An alias per use: where a tensor feeds two modules, each has a gradient of its own.
            return tuple(self._aliased(label, value) for value in inputs)

        return hook

    def _aliased(self, label: str, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.requires_grad:
            return value
        alias = value.view_as(value)
        self._watch_gradient(alias, f"the backward pass of {label} returns")
        return alias

    def _after(self, label: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, outputs: Any) -> None:
            for _, tensor in _tensors(outputs, "output"):
                if self.forward_cause is None and not _finite(tensor):
                    self.forward_cause = f"the output of {label} holds {_what(tensor)}"
                if tensor.requires_grad:
                    self._watch_gradient(tensor, f"what follows {label} sends back")

        return hook

    def _watch_gradient(self, tensor: Tensor, source: str) -> None:
        def note(gradient: Tensor) -> None:
            if self.backward_cause is None and not _finite(gradient):
                self.backward_cause = f"{source} a gradient that holds {_what(gradient)}"

        tensor.register_hook(note)  # type: ignore[no-untyped-call]


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested lists, tuples and mappings, with the path to it."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _tensors(item, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{name}[{index}]")


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor.detach()).all())


def _what(tensor: Tensor) -> str:
    detached = tensor.detach()
    return "NaN" if bool(torch.isnan(detached).any()) else "infinity"
