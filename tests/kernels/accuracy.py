"""How exact is exact enough: no worse than PyTorch at the same dtype, by a factor."""

from __future__ import annotations

import torch
from torch import Tensor


def assert_as_accurate(
    actual: Tensor, reference: Tensor, truth: Tensor, *, terms: float, factor: float = 2.0
) -> None:
    """`actual` may err at most `factor` times as much as PyTorch does at the same dtype.

    Args:
        actual: what the kernel computed. reference: PyTorch, same dtype. truth: in float64.
        terms: how many products each element sums; rounding walks about sqrt(terms) steps.
    """
    assert actual.shape == truth.shape
    assert actual.dtype == reference.dtype
    if actual.numel() == 0:
        return
    floor = 4 * terms**0.5 * torch.finfo(actual.dtype).eps * truth.abs().max()
    budget = factor * (reference.double() - truth).abs().max() + floor
    error = (actual.double() - truth).abs().max()
    assert error <= budget, f"max error {error:.2e} exceeds budget {budget:.2e}"
