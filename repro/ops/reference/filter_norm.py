"""Filter normalisation in plain PyTorch: every filter standardised over its own taps.

Source: DDF (arXiv 2104.14107), Eq. 3, without what is learnt; the authors' `FilterNorm`.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Added to the standard deviation after the root, as in the authors' code.
EPSILON = 1e-10


def standardise(filters: Tensor, scale: float, axis: int = 1) -> Tensor:
    """scale * (filters - mean) / std, mean and unbiased std over the taps along `axis`.

    float16 and bfloat16 are computed in float32.
    """
    wide = filters.float() if filters.dtype in (torch.float16, torch.bfloat16) else filters
    centred, variance = centre(wide, axis)
    return (centred * (scale / deviation(variance))).to(filters.dtype)


def centre(filters: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Filters less their mean, and their unbiased variance: one value along `axis`."""
    centred = filters - filters.mean(axis, keepdim=True)
    # Not Tensor.var: on a CPU it does not vectorise over an inner axis, and takes longer than all
    # the rest here.
    return centred, centred.square().sum(axis, keepdim=True) / (filters.shape[axis] - 1)


def deviation(variance: Tensor) -> Tensor:
    """What filters are divided by.

    A variance below 1e-20 counts as 1e-20, so that a constant filter has a finite gradient.
    """
    return variance.clamp_min(EPSILON**2).sqrt() + EPSILON
