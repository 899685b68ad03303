"""DY-Conv: softmax attention over parallel kernels, with a temperature that is annealed.

Dynamic Convolution: Attention over Convolution Kernels (arXiv 1912.03458).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.nn.per_sample import (
    AnnealedConv2d,
    draw_kernels,
    mix,
    optional_bias,
    require_at_least,
    squeezed,
)


class DYConv2d(AnnealedConv2d):
    """Convolve each sample with sum_k softmax(attention(pool(x)) / temperature)_k * kernel_k.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in
            `torch.nn.Conv2d`; a bias is mixed like the kernels.
        kernels: parallel kernels, K of the paper.
        squeeze_ratio: width of the attention's hidden layer relative to in_channels.
        temperature: of the softmax; see `anneal_temperature`.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: kernels < 1, non-positive squeeze_ratio or temperature, and what `DynamicConv2d`
            raises.
    Source: Dynamic Convolution (arXiv 1912.03458), W(x) = sum_k pi_k(x) W_k, pi = softmax(z / t):
        pool, FC to a quarter, ReLU, FC; temperature from 30 to 1 over the first 10 epochs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        kernels: int = 4,
        squeeze_ratio: float = 0.25,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        require_at_least("kernels", kernels, 1)
        hidden = squeezed(in_channels, squeeze_ratio)
        self.temperature = temperature
        self.attention = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, kernels)
        )
        self.weight = nn.Parameter(torch.empty(kernels, *self.kernel_shape))
        self.bias = optional_bias(kernels, out_channels, wanted=bias)
        draw_kernels(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        scores = self.attention(x.mean((2, 3)))  # (N, kernels)
        attention = (scores / self.temperature).softmax(1)
        bias = None if self.bias is None else mix(attention, self.bias)  # (N, C_out)
        return self.convolve(x, mix(attention, self.weight), bias)
