"""The full dynamic filter: a complete convolution kernel for every pixel.

The costly original that DDF decouples. DDF (arXiv 2104.14107), section 4.1 and Table 1, after
Dynamic Filter Networks (arXiv 1605.09673).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn.ddf import require_odd


class DyFilter(nn.Module):
    """Predict a C x C x K x K filter per pixel with one 1x1 convolution, and apply it.

    For Table 1, at a few channels: the prediction has C**3 * K**2 weights and the filters of a map
    of n pixels n * C**2 * K**2 values (2.3 GB at C = 64 for one 128 x 128 map).

    Args:
        in_channels: C, of input and output.
        kernel_size: K, odd.
        bias: of the predicting convolution; Table 1's formula has none.
    Shape:
        (N, C, H, W) to (N, C, H, W).
    Raises:
        ValueError: even kernel_size, or an input without C channels.
    Source: DDF (arXiv 2104.14107), section 4.1: "a lightweight filter prediction branch with a
        single 1 x 1 convolution layer".
    """

    def __init__(self, in_channels: int, kernel_size: int = 3, bias: bool = False) -> None:
        super().__init__()
        require_odd("kernel_size", kernel_size)
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.predict = nn.Conv2d(in_channels, in_channels**2 * kernel_size**2, 1, bias=bias)

    def filters(self, x: Tensor) -> Tensor:
        """(N, C, C * K * K, H * W): a filter for every output channel and pixel."""
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        C = self.in_channels
        predicted: Tensor = self.predict(x)  # (N, C*C*K*K, H, W)
        return predicted.reshape(x.shape[0], C, C * self.kernel_size**2, x.shape[2] * x.shape[3])

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.kernel_size, padding=self.kernel_size // 2)  # (N, C*K*K, H*W)
        out = torch.einsum("ncpl,npl->ncl", self.filters(x), patches)
        return out.reshape(x.shape)
