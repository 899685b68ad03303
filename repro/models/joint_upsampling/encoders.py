"""Plain convolution stacks, and a guidance handed out stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def conv_stack(channels: Sequence[int], kernel_sizes: Sequence[int]) -> nn.Sequential:
    """Convolutions that keep the size, with ReLU between them and none after the last.

    Args:
        channels: of the input, then of each output.
        kernel_sizes: one for each convolution, odd.
    """
    layers: list[nn.Module] = []
    for i, size in enumerate(kernel_sizes):
        if i:
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(channels[i], channels[i + 1], size, padding=size // 2))
    return nn.Sequential(*layers)


def guidance_by_stage(guidance: Tensor, stages: int) -> list[Tensor]:
    """Each stage's share of the guidance's channels, at the resolution of the stage's output.

    Args:
        guidance: (N, stages * G, H, W), H and W multiples of 2 ** stages.
    Returns:
        For stage i from 0, (N, G, H / 2**j, W / 2**j), j = stages - 1 - i: bilinear with half-pixel
        centres, which at these ratios is the mean of the two by two central pixels of each cell.
    Source: PAC (arXiv 1904.05373), section 4.1; DDF does not say.
    """
    H, W = guidance.shape[2:]
    shares = []
    for i, share in enumerate(guidance.chunk(stages, 1)):
        ratio = 2 ** (stages - 1 - i)
        if ratio > 1:
            share = F.interpolate(share, (H // ratio, W // ratio), mode="bilinear")
        shares.append(share)
    return shares
