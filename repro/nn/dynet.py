"""DyNet: each output channel's kernel is a fusion of its own group of fixed kernels.

DyNet: Dynamic Convolution for Accelerating Convolutional Neural Networks (arXiv 2004.10694).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.nn.per_sample import DynamicConv2d, draw_kernels, optional_bias, require_at_least


class DyNet2d(DynamicConv2d):
    """Convolve with w_t = sum_i coefficient_ti * w_ti for every output channel t.

    The coefficients come from the pooled input by FC to a quarter, FC, sigmoid. Other mixtures
    (`CondConv2d`, `DYConv2d`) share one coefficient between all output channels.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in
            `torch.nn.Conv2d`; the bias is static.
        kernels: g_t of the paper, fixed kernels per output channel.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: kernels < 1, and what `DynamicConv2d` raises.
    Source: DyNet (arXiv 2004.10694), section 3.2, Eq. 1, Fig. 3; section 3.3 for the two FCs of its
        ResNets and g_t = 6.
    Deviates: each layer predicts from its own input; in the paper one prediction, from a block's
        input, serves the layers of the block. Kernels are fused in training too; the paper fuses
        the outputs there (its Eq. 2), which is the same.
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
        kernels: int = 6,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        require_at_least("kernels", kernels, 1)
        hidden = max(1, in_channels // 4)
        self.predict = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.Linear(hidden, kernels * out_channels)
        )
        self.weight = nn.Parameter(torch.empty(kernels, *self.kernel_shape))
        self.bias = optional_bias(out_channels, wanted=bias)
        draw_kernels(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        kernels = self.weight.shape[0]
        coefficients = self.predict(x.mean((2, 3))).sigmoid()
        coefficients = coefficients.reshape(x.shape[0], kernels, self.out_channels)
        fused = torch.einsum("nko,kocuv->nocuv", coefficients, self.weight)
        return self.convolve(x, fused, self.bias)
