"""Adaptive convolutional kernels: the patch under a kernel makes the kernel that filters it.

Adaptive Convolutional Kernels (Zamora Esquivel et al., ICCV Workshops 2019).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn.per_sample import DynamicConv2d, draw_kernels, optional_bias


class AdaptiveConv2d(DynamicConv2d):
    """Filter each channel with kernels that K * K static filters of that channel make per pixel.

    out[c, i] = sum_t tanh((Q_ct * x_c)[i]) * x_c[i + t], t over the K x K taps: quadratic in x at
    small values. Where the channel count changes, a 1x1 convolution follows.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as in
            `torch.nn.Conv2d`. Groups are not defined.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: groups other than 1, and what `DynamicConv2d` raises.
    Source: Adaptive Convolutional Kernels, ICCV Workshops 2019: the input defines the weights of a
        kernel, which is used in a second convolution over the input.
    Deviates: own form of that sentence; we know the paper by its abstract alone. One filter bank
        per channel (K**4 weights), tanh, and the 1x1 convolution are our choices, and so is where
        `adaptive_resnet18` has the layer: the place that gives the printed 11.1 M parameters.
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
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if groups != 1:
            raise ValueError(f"groups must be 1, channels are kept apart already, got {groups}")
        self.make = nn.Conv2d(
            in_channels,
            in_channels * kernel_size**2,
            kernel_size,
            stride,
            padding,
            dilation,
            groups=in_channels,
            bias=False,
        )
        self.pointwise = (
            None
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )
        self.bias = optional_bias(out_channels, wanted=bias)
        # One channel is one convolution with K * K outputs.
        taps = kernel_size**2
        draw_kernels(self.make.weight.view(in_channels, taps, 1, kernel_size, kernel_size))
        if self.pointwise is not None:
            draw_kernels(self.pointwise.weight[None])

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        N, C, taps = x.shape[0], self.in_channels, self.kernel_size**2
        kernels = self.make(x).tanh()  # (N, C * K * K, H_out, W_out)
        size = kernels.shape[2:]
        patches = F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        patches = patches.reshape(N, C, taps, *size)
        out: Tensor = (kernels.reshape(patches.shape) * patches).sum(2)  # (N, C, H_out, W_out)
        if self.pointwise is not None:
            out = self.pointwise(out)
        return out if self.bias is None else out + self.bias[:, None, None]
