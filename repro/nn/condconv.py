"""CondConv: a mixture of expert kernels, mixed for every sample by sigmoid routing.

CondConv: Conditionally Parameterized Convolutions for Efficient Inference (arXiv 1904.04971).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.nn.per_sample import DynamicConv2d, draw_kernels, mix, optional_bias, require_at_least


class CondConv2d(DynamicConv2d):
    """Convolve each sample with sum_e sigmoid(route(pool(x)))_e * kernel_e.

    With groups = in_channels it is the depth-wise form (DwCondConv in DDF's Table 4).

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in
            `torch.nn.Conv2d`.
        experts: kernels to mix, E.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: experts < 1, and what `DynamicConv2d` raises.
    Source: CondConv (arXiv 1904.04971), section 3: W = sum_e alpha_e W_e with
        alpha = sigmoid(pool(x) R).
    Deviates: the routing has a bias, as timm's has; the paper writes only a matrix. Each expert has
        a bias of its own if there is one (`CondConv2d` of timm too).
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
        experts: int = 8,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        require_at_least("experts", experts, 1)
        self.route = nn.Linear(in_channels, experts)
        self.weight = nn.Parameter(torch.empty(experts, *self.kernel_shape))
        self.bias = optional_bias(experts, out_channels, wanted=bias)
        draw_kernels(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        routing = self.route(x.mean((2, 3))).sigmoid()  # (N, E)
        bias = None if self.bias is None else mix(routing, self.bias)  # (N, C_out)
        return self.convolve(x, mix(routing, self.weight), bias)
