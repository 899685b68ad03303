"""DDF-Up-Net: PAC-Net with a DDF-Up in the place of each transposed PAC.

DDF (arXiv 2104.14107), section 6 and Table 7.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.joint_upsampling.encoders import conv_stack, guidance_by_stage
from repro.models.joint_upsampling.inputs import check_inputs, stage_count
from repro.nn import DDFUp


class DDFUpNet(nn.Module):
    """Upsample a depth map by 2 ** k with k DDF-Ups that the image guides.

    Args:
        factor: a power of two, at least 2.
        width: channels of every feature map; a DDF-Up keeps their number.
        guidance_channels: features of the image that a stage predicts its spatial filters from.
        kernel_size: of the DDF-Ups.
        conv_kernel_size: of the convolutions.
        squeeze_ratio, kernel_combine, use_channel: see `repro.nn.DDFUp`.
        use_guidance: with False, there is no image encoder, and the depth's features predict their
            own spatial filters (`rgb` must still come, and changes nothing).
    Shape:
        low (N, 1, h, w), rgb (N, 3, factor * h, factor * w) to (N, 1, factor * h, factor * w).
    Raises:
        ValueError: another factor, other shapes, and what `DDFUp` raises.
    Source: DDF (arXiv 2104.14107), section 6: "k DDF-Up modules" for a factor of 2 ** k in the
        upsampling network of PAC (arXiv 1904.05373).
    Unpublished, and chosen here: everything but that sentence. The convolutions, their widths (32)
        and the guidance's (16 a stage) are PAC-Net's; filters are 3x3, DDF-Up's own default; a ReLU
        follows every stage, as in PAC-Net, and sets the gain of the filter norm; the guidance comes
        at the resolution of a stage's output, where each branch of the DDF-Up takes the pixels of
        its own phase; the channel branch sees the depth's features only.
    """

    def __init__(
        self,
        factor: int,
        *,
        width: int = 32,
        guidance_channels: int = 16,
        kernel_size: int = 3,
        conv_kernel_size: int = 5,
        squeeze_ratio: float = 0.2,
        kernel_combine: str = "mul",
        use_channel: bool = True,
        use_guidance: bool = True,
    ) -> None:
        super().__init__()
        self.factor = factor
        stages = stage_count(factor)

        def stack(*channels: int) -> nn.Sequential:
            return conv_stack(channels, [conv_kernel_size] * (len(channels) - 1))

        self.target = stack(1, width, width, width)
        self.guidance = stack(3, width, width, stages * guidance_channels) if use_guidance else None
        self.upsample = nn.ModuleList(
            DDFUp(
                width,
                2,
                kernel_size,
                guidance_channels=guidance_channels if use_guidance else None,
                squeeze_ratio=squeeze_ratio,
                nonlinearity="relu",
                kernel_combine=kernel_combine,
                use_channel=use_channel,
            )
            for _ in range(stages)
        )
        self.final = stack(width, width, 1)

    def forward(self, low: Tensor, rgb: Tensor) -> Tensor:
        check_inputs(low, rgb, self.factor)
        x = self.target(low)  # (N, C, h, w)
        stages = len(self.upsample)
        shares: list[Tensor | None] = [None] * stages
        if self.guidance is not None:
            shares = list(guidance_by_stage(self.guidance(rgb), stages))
        for upsample, share in zip(self.upsample, shares, strict=True):
            x = F.relu(upsample(x, share))  # (N, C, 2 * h, 2 * w)
        return self.final(x)  # type: ignore[no-any-return]
