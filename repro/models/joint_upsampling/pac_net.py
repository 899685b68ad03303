"""PAC-Net: encoders of depth and guidance, and a transposed PAC for each factor of two.

Pixel-Adaptive Convolutional Neural Networks (arXiv 1904.05373), section 4.1; Table 7 of DDF.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.joint_upsampling.encoders import conv_stack, guidance_by_stage
from repro.models.joint_upsampling.inputs import check_inputs, stage_count
from repro.nn import PACTransposed


class PACNet(nn.Module):
    """Upsample a depth map by 2 ** k with k transposed PACs that the image guides.

    Three 5x5 convolutions see the low-resolution depth and three the image; every stage is a
    transposed PAC and a ReLU; two 5x5 convolutions make the depth.

    Args:
        factor: a power of two, at least 2.
        target_widths: outputs of the convolutions of the depth.
        guidance_widths: of those of the image, without the last, which has `guidance_channels` for
            each stage.
        up_widths: of the stages; None for as many as the depth's last convolution has.
        final_width: of the last but one convolution.
        guidance_channels: features that a stage compares pixels by.
        kernel_size: of all convolutions and PACs.
    Shape:
        low (N, 1, h, w), rgb (N, 3, factor * h, factor * w) to (N, 1, factor * h, factor * w).
    Raises:
        ValueError: another factor, as many widths as there are no stages, other shapes.
    Source: PAC (arXiv 1904.05373), section 4.1, and the sizes in the authors' code: 183 489
        parameters at 4x.
    """

    def __init__(
        self,
        factor: int,
        *,
        target_widths: Sequence[int] = (32, 32, 32),
        guidance_widths: Sequence[int] = (32, 32),
        up_widths: Sequence[int] | None = None,
        final_width: int = 32,
        guidance_channels: int = 16,
        kernel_size: int = 5,
    ) -> None:
        super().__init__()
        self.factor = factor
        stages = stage_count(factor)
        if up_widths is None:
            up_widths = (target_widths[-1],) * stages
        if len(up_widths) != stages:
            raise ValueError(f"factor {factor} has {stages} stages, got up_widths {up_widths}")

        def stack(*channels: int) -> nn.Sequential:
            return conv_stack(channels, [kernel_size] * (len(channels) - 1))

        self.target = stack(1, *target_widths)
        self.guidance = stack(3, *guidance_widths, stages * guidance_channels)
        self.upsample = nn.ModuleList(
            PACTransposed(before, after, kernel_size)
            for before, after in zip((target_widths[-1], *up_widths), up_widths, strict=False)
        )
        self.final = stack(up_widths[-1], final_width, 1)

    def forward(self, low: Tensor, rgb: Tensor) -> Tensor:
        check_inputs(low, rgb, self.factor)
        x = self.target(low)  # (N, C, h, w)
        guidance = guidance_by_stage(self.guidance(rgb), len(self.upsample))
        for upsample, share in zip(self.upsample, guidance, strict=True):
            x = F.relu(upsample(x, share))  # (N, C, 2 * h, 2 * w)
        return self.final(x)  # type: ignore[no-any-return]


# The authors' sizes: about as many parameters as their DJF, 56 323.
_LITE: Mapping[int, Mapping[str, Any]] = {
    4: {
        "target_widths": (12, 16, 22),
        "guidance_widths": (12, 22),
        "up_widths": (12, 16),
        "final_width": 22,
        "guidance_channels": 12,
    },
    8: {
        "target_widths": (12, 16, 16),
        "guidance_widths": (12, 16),
        "up_widths": (12, 16, 16),
        "final_width": 20,
        "guidance_channels": 12,
    },
    16: {
        "target_widths": (8, 16, 16),
        "guidance_widths": (8, 16),
        "up_widths": (8, 16, 16, 16),
        "final_width": 16,
        "guidance_channels": 10,
    },
}


def pac_net_lite(factor: int, **options: Any) -> PACNet:
    """A PAC-Net of about the size of DJF.

    Args:
        factor: as of `PACNet`; sizes for others than 4, 8 and 16 are unpublished: 2 has those of 4
            with one stage less, larger ones those of 16 with more stages.
        options: of `PACNet`, which win.
    Source: PAC (arXiv 1904.05373), section 4.1; the sizes are the authors' code's.
    """
    stages = stage_count(factor)
    sizes = dict(_LITE[min(max(factor, 4), 16)])
    sizes["up_widths"] = (sizes["up_widths"] + (16,) * stages)[:stages]
    return PACNet(factor, **{**sizes, **options})
