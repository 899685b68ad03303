"""CARAFE's reassembly in plain PyTorch, from its definition.

Source: CARAFE (arXiv 1905.02188), Eq. 3.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


def carafe_reference(x: Tensor, spatial_filter: Tensor, scale_factor: int) -> Tensor:
    """Weight the K x K neighbours of every pixel once for each of its sub-pixels.

    Arguments are those of `repro.ops.carafe`, already checked.

    Returns:
        (N, C, s*H, s*W)
    """
    N, C, H, W = x.shape
    taps = spatial_filter.shape[2]
    kernel_size = round(taps**0.5)
    padded = F.pad(x, [kernel_size // 2] * 4)
    places = product(range(kernel_size), repeat=2)
    patches = torch.stack([padded[:, :, u : u + H, v : v + W] for u, v in places], 2)
    out = torch.einsum("ncthw,nbthw->nchbw", patches, spatial_filter)  # (N, C, H, s*s, W)
    out = out.reshape(N, C, H, scale_factor, scale_factor, W).transpose(4, 5)
    return out.reshape(N, C, scale_factor * H, scale_factor * W)
