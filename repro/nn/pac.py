"""PAC: a convolution reweighted at every pixel by a guidance, and its transposed form.

Pixel-Adaptive Convolutional Neural Networks (arXiv 1904.05373), Eq. 3; Tables 2 and 7 of DDF.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from repro.nn.ddf import require_odd
from repro.ops.pac import pac, pac_transposed


class PAC(nn.Module):
    """Convolve with a static filter times a Gaussian of guidance differences.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, bias: as in `torch.nn.Conv2d`; the
            padding is dilation * (K // 2).
        rows_per_chunk: see `repro.ops.pac.pac`; None makes all rows at once.
    Shape:
        x (N, in_channels, H, W), guidance (N, any, H, W) to
        (N, out_channels, ceil(H / stride), ceil(W / stride)). Without a guidance x is its own.
    Raises:
        ValueError: even kernel_size; shapes that disagree.
    Source: PAC (arXiv 1904.05373), Eq. 3, fixed Gaussian kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
        rows_per_chunk: int | None = None,
    ) -> None:
        super().__init__()
        require_odd("kernel_size", kernel_size)
        self.stride = stride
        self.dilation = dilation
        self.rows_per_chunk = rows_per_chunk
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as `torch.nn.Conv2d` starts."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, guidance: Tensor | None = None) -> Tensor:
        return pac(
            x,
            x if guidance is None else guidance,
            self.weight,
            self.bias,
            stride=self.stride,
            dilation=self.dilation,
            rows_per_chunk=self.rows_per_chunk,
        )

    def extra_repr(self) -> str:
        out_channels, in_channels, kernel_size, _ = self.weight.shape
        return (
            f"{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={self.stride}, "
            f"dilation={self.dilation}, bias={self.bias is not None}"
        )


class PACTransposed(nn.Module):
    """Upsample with a static filter times a Gaussian of guidance differences.

    Args:
        in_channels, out_channels, kernel_size, stride, bias: as in `torch.nn.ConvTranspose2d`; the
            padding is K // 2, and the guidance's size decides the output's.
        normalise: see `repro.ops.pac.pac_transposed`; the authors' networks do not.
    Shape:
        x (N, in_channels, H, W), guidance (N, any, H_out, W_out) to
        (N, out_channels, H_out, W_out); H_out is stride * H, or up to stride - 1 less.
    Raises:
        ValueError: kernel_size even or below stride; shapes that disagree.
    Source: PAC (arXiv 1904.05373), section 3, fixed Gaussian kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 5,
        stride: int = 2,
        bias: bool = True,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        require_odd("kernel_size", kernel_size)
        if not 1 <= stride <= kernel_size:
            raise ValueError(f"stride must be from 1 to kernel_size={kernel_size}, got {stride}")
        self.stride = stride
        self.normalise = normalise
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as `torch.nn.ConvTranspose2d` starts."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        return pac_transposed(
            x, guidance, self.weight, self.bias, stride=self.stride, normalise=self.normalise
        )

    def extra_repr(self) -> str:
        in_channels, out_channels, kernel_size, _ = self.weight.shape
        return (
            f"{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={self.stride}, "
            f"bias={self.bias is not None}, normalise={self.normalise}"
        )
