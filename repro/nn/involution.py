"""Involution: per-pixel filters shared by the channels of a group, a special case of DDF.

Involution: Inverting the Inherence of Convolution for Visual Recognition (arXiv 2103.06255).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn.ddf import filter_by_heads, require_odd
from repro.nn.per_sample import require_at_least


class Involution(nn.Module):
    """Filter each pixel with K x K filters predicted there, one for each group of channels.

    It is the DDF operation with a channel filter of ones and as many heads as groups; what differs
    is how the filters are predicted (two 1x1 convolutions, no filter norm).

    Args:
        in_channels: C, of input and output.
        kernel_size: K, odd.
        stride, dilation: as in `torch.nn.Conv2d`; the padding is dilation * (K // 2).
        groups: G of the paper; groups of channels that share a filter.
        squeeze: r of the paper; the first 1x1 convolution has in_channels // squeeze outputs.
    Shape:
        (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)).
    Raises:
        ValueError: even kernel_size; groups that do not divide in_channels; a squeeze larger than
            in_channels; an input without C channels.
    Source: Involution (arXiv 2103.06255), section 3: Y = sum over (u, v) of
        H[i, j, u, v, group(k)] * X[i + u, j + v, k], H = W_1 sigma(W_0 X) with batch norm and ReLU.
    Deviates: with a stride, averages of the last, incomplete windows count too, so that any H and W
        will do; the authors' code needs multiples of the stride.
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: int = 7,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        squeeze: int = 4,
    ) -> None:
        super().__init__()
        require_odd("kernel_size", kernel_size)
        require_at_least("squeeze", squeeze, 1)
        require_at_least("in_channels", in_channels, squeeze)
        if groups < 1 or in_channels % groups:
            raise ValueError(f"groups must divide in_channels={in_channels}, got {groups}")
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.dilation = dilation
        self.groups = groups
        mid = in_channels // squeeze
        self.predict = nn.Sequential(
            nn.Conv2d(in_channels, mid, 1, bias=False),
            nn.BatchNorm2d(mid),
            nn.ReLU(),
            nn.Conv2d(mid, groups * kernel_size**2, 1),
        )

    def filters(self, x: Tensor) -> Tensor:
        """(N, groups * K * K, H_out, W_out): the spatial filters of the DDF that this is."""
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        if self.stride > 1:
            x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        filters: Tensor = self.predict(x)
        return filters

    def forward(self, x: Tensor) -> Tensor:
        filters = self.filters(x)
        ones = x.new_ones(x.shape[0], self.in_channels, self.kernel_size, self.kernel_size)
        return filter_by_heads(
            x, ones, filters, heads=self.groups, stride=self.stride, dilation=self.dilation
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"dilation={self.dilation}, groups={self.groups}"
        )
