"""WeightNet: a small network on pooled features writes the kernel of every sample.

WeightNet: Revisiting the Design Space of Weight Networks (arXiv 2007.11823).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.nn.per_sample import DynamicConv2d, kernel_std, optional_bias, require_at_least


class WeightNet2d(DynamicConv2d):
    """Convolve each sample with a kernel from pool, FC, FC, sigmoid and a grouped FC.

    With groups = in_channels = out_channels it is the depth-wise form (DwWeightNet in DDF's Table
    4), whose grouped FC has one group for each channel.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in
            `torch.nn.Conv2d`; the bias is static.
        gates: M of the paper: sigmoids per output channel.
        gate_groups: G of the paper: groups of the grouped FC per output channel. M / G weights make
            each value of a kernel; a single one only scales it.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: gate_groups that do not divide gates or the values of one filter; groups that
            are neither 1 nor depth-wise; and what `DynamicConv2d` raises.
    Source: WeightNet (arXiv 2007.11823), kernel = grouped_fc(sigmoid(fc(fc(pool(x))))); the
        authors' `WeightNet` and `WeightNet_DW`, M = G = 2.
    Deviates: the first FC, to max(16, in_channels // 16), belongs to the layer; in the authors'
        ShuffleNetV2 the layers of a block share it.
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
        gates: int = 2,
        gate_groups: int = 2,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        require_at_least("gates", gates, 1)
        require_at_least("gate_groups", gate_groups, 1)
        depthwise = in_channels == groups == out_channels and groups > 1
        if groups > 1 and not depthwise:
            raise ValueError(
                f"groups must be 1 or the channel count, got {groups} for {in_channels} inputs and "
                f"{out_channels} outputs"
            )
        values = in_channels // groups * kernel_size**2  # of one filter
        if gates % gate_groups or (not depthwise and values % gate_groups):
            raise ValueError(
                f"gate_groups must divide gates={gates} and the {values} values of a filter, "
                f"got {gate_groups}"
            )
        hidden = max(16, in_channels // 16)
        per_group = gates // gate_groups
        fc_groups = out_channels if depthwise else gate_groups * out_channels
        self.squeeze = nn.Linear(in_channels, hidden)
        self.gate = nn.Linear(hidden, per_group * fc_groups)
        # Of the grouped FC: what each of its groups makes from its `per_group` gates.
        self.weight = nn.Parameter(
            torch.empty(fc_groups, out_channels * values // fc_groups, per_group)
        )
        self.bias = optional_bias(out_channels, wanted=bias)
        nn.init.normal_(self.weight, std=kernel_std(out_channels, kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        gates = self.gate(self.squeeze(x.mean((2, 3)))).sigmoid()  # (N, per_group * groups)
        gates = gates.reshape(x.shape[0], self.weight.shape[0], -1)
        kernels = torch.einsum("ngi,goi->ngo", gates, self.weight)  # (N, groups, values)
        kernels = kernels.reshape(x.shape[0], *self.kernel_shape)
        return self.convolve(x, kernels, self.bias)
