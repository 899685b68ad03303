"""Compare an implementation of DDF with others that share no code with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from repro.ops.ddf import ddf
from repro.ops.reference.ddf import ddf_unfold


@dataclass(frozen=True)
class Check:
    """One comparison: how far two results lie apart, and how far rounding may drive them.

    Attributes:
        id: unique among the checks of a run.
        what: for a reader, what was compared with what.
    """

    id: str
    what: str
    max_abs_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """NaN passes nothing."""
        return self.max_abs_error <= self.tolerance


def compare(id: str, what: str, actual: Tensor, expected: Tensor, *, terms: int) -> Check:
    """Hold `actual` against `expected`, both in the dtype of `actual`.

    Args:
        terms: how many products each element sums: rounding walks about sqrt(terms) steps of the
            dtype's epsilon, relative to the largest element.
    """
    scale = expected.abs().max().item() if expected.numel() else 0.0
    error = (actual - expected).abs().max().item() if actual.numel() else 0.0
    tolerance = 4 * terms**0.5 * torch.finfo(actual.dtype).eps * scale
    return Check(id, what, error, tolerance)


def verify_ddf(
    tensors: tuple[Tensor, Tensor, Tensor], name: str, *, backend: str | None = None, **options: Any
) -> list[Check]:
    """The operator and its three gradients against autograd through the unfolded image.

    Args:
        tensors: x, channel_filter, spatial_filter; float64 leaves the tightest tolerance.
        name: starts the id of each check.
        backend, options: as of `ddf`.
    """
    inputs = [tensor.detach().requires_grad_() for tensor in tensors]
    out = ddf(inputs[0], inputs[1], inputs[2], backend=backend, **options)
    grad_out = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    grads = _gradients(lambda *args: ddf(*args, backend=backend, **options), inputs, grad_out)
    expected_grads = _gradients(lambda *args: ddf_unfold(*args, **options), inputs, grad_out)
    expected = ddf_unfold(inputs[0], inputs[1], inputs[2], **options)
    taps = inputs[2].shape[1]
    terms = (taps, out.shape[2] * out.shape[3], out.shape[1])
    checks = [compare(f"{name}_forward", "output, unfolded image", out, expected, terms=taps)]
    for of, grad, other, count in zip(
        ("x", "channel_filter", "spatial_filter"), grads, expected_grads, terms, strict=True
    ):
        what = f"gradient of {of}, autograd through the unfolded image"
        checks.append(compare(f"{name}_grad_{of}", what, grad, other, terms=count))
    return checks


def _gradients(
    function: Callable[..., Tensor], inputs: list[Tensor], grad_out: Tensor
) -> tuple[Tensor, ...]:
    return torch.autograd.grad(function(*inputs), inputs, grad_out)
