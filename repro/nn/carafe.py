"""CARAFE: upsampling with one normalised filter per output pixel, a special case of DDF-Up.

CARAFE: Content-Aware ReAssembly of FEatures (arXiv 1905.02188); Table 6 of DDF.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from repro.nn.ddf import require_odd
from repro.nn.per_sample import require_at_least
from repro.ops import carafe


class CARAFE(nn.Module):
    """Upsample by weighted sums of K x K neighbours, the weights predicted for each output pixel.

    The operation is `repro.ops.carafe`: that of `DDFUp` with channel filters of one everywhere.
    What differs more is how the filters are predicted: a 1x1 convolution to mid_channels, one of
    encoder_size x encoder_size, and a softmax over the taps.

    Args:
        in_channels: C, of input and output.
        scale_factor: any integer of at least 1.
        kernel_size: K of the reassembly (k_up), odd.
        encoder_size: side of the encoder's convolution (k_encoder), odd.
        mid_channels: C_m of the paper.
    Shape:
        (N, C, H, W) to (N, C, scale_factor * H, scale_factor * W).
    Raises:
        ValueError: an even size; a count below 1; an input without C channels.
    Source: CARAFE (arXiv 1905.02188), section 3: kernel prediction and reassembly, with its
        settings k_up = 5, k_encoder = 3, C_m = 64. The start is that of the authors' code: the
        encoder draws so small that every filter begins as nearly an average of its neighbours.
    """

    def __init__(
        self,
        in_channels: int,
        scale_factor: int = 2,
        kernel_size: int = 5,
        encoder_size: int = 3,
        mid_channels: int = 64,
    ) -> None:
        super().__init__()
        require_at_least("in_channels", in_channels, 1)
        require_at_least("scale_factor", scale_factor, 1)
        require_at_least("mid_channels", mid_channels, 1)
        require_odd("kernel_size", kernel_size)
        require_odd("encoder_size", encoder_size)
        self.in_channels = in_channels
        self.scale_factor = scale_factor
        self.kernel_size = kernel_size
        taps = scale_factor**2 * kernel_size**2
        self.compress = nn.Conv2d(in_channels, mid_channels, 1)
        self.encode = nn.Conv2d(mid_channels, taps, encoder_size, padding=encoder_size // 2)
        nn.init.xavier_uniform_(self.compress.weight)
        nn.init.normal_(self.encode.weight, std=0.001)
        for conv in (self.compress, self.encode):
            nn.init.zeros_(cast(Tensor, conv.bias))

    def filters(self, x: Tensor) -> Tensor:
        """(N, scale_factor ** 2, K * K, H, W): a filter for each sub-pixel, of sum 1."""
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        encoded = self.encode(self.compress(x))  # (N, K*K * scale_factor**2, H, W)
        shape = (x.shape[0], self.kernel_size**2, self.scale_factor**2, *x.shape[2:])
        filters: Tensor = encoded.reshape(shape).softmax(1).transpose(1, 2)
        return filters

    def forward(self, x: Tensor) -> Tensor:
        return carafe(x, self.filters(x), self.scale_factor)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, scale_factor={self.scale_factor}, kernel_size={self.kernel_size}"
        )
