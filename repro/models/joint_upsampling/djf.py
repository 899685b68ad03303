"""DJF and DJF+: deep joint filters of an enlarged depth map and its image.

Deep Joint Image Filtering (Li et al., ECCV 2016), and Joint Image Filtering with Deep Convolutional
Networks (arXiv 1710.04200, TPAMI 2019); Table 7 of DDF.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.data.low_resolution import interpolate
from repro.models.joint_upsampling.encoders import conv_stack
from repro.models.joint_upsampling.inputs import check_inputs, stage_count

KERNEL_SIZES = (9, 1, 5)
BRANCH_WIDTHS = (96, 48, 1)
JOINT_WIDTHS = (64, 32)


class DJF(nn.Module):
    """Enlarge the depth, make one feature map of it and one of the image, and filter both together.

    Args:
        factor: a power of two, at least 2.
        residual: add the enlarged depth to the result: DJF+.
        offset: where the first low-resolution sample lies, in pixels of the output; None for
            (factor - 1) // 2, where the sampling "centre" takes it.
        mode: of the enlargement, "bicubic" as in the papers or "bilinear".
    Shape:
        low (N, 1, h, w), rgb (N, 3, factor * h, factor * w) to (N, 1, factor * h, factor * w).
    Raises:
        ValueError: another factor, other shapes.
    Source: Li et al. (ECCV 2016), Fig. 2; with `residual`, the skip connection of arXiv 1710.04200.
        The sizes are those that PAC compares with (arXiv 1904.05373): kernels 9, 1, 5, widths 96,
        48, 1 in both branches and 64, 32, 1 after them; 56 323 parameters.
    Deviates: every convolution keeps the size. The papers' shrink it; PAC pads by 2, 2, 2 in the
        branches, to the same size in the end.
    """

    def __init__(
        self,
        factor: int,
        *,
        residual: bool = False,
        offset: float | None = None,
        mode: str = "bicubic",
    ) -> None:
        super().__init__()
        stage_count(factor)  # refuses what is no power of two
        self.factor = factor
        self.residual = residual
        self.offset = (factor - 1) // 2 if offset is None else offset
        self.mode = mode
        self.target = conv_stack((1, *BRANCH_WIDTHS), KERNEL_SIZES)
        self.guidance = conv_stack((3, *BRANCH_WIDTHS), KERNEL_SIZES)
        self.joint = conv_stack((2, *JOINT_WIDTHS, 1), KERNEL_SIZES)

    def forward(self, low: Tensor, rgb: Tensor) -> Tensor:
        check_inputs(low, rgb, self.factor)
        enlarged = interpolate(low, self.factor, offset=self.offset, mode=self.mode)
        both = torch.cat([self.target(enlarged), self.guidance(rgb)], 1)  # (N, 2, H, W)
        out: Tensor = self.joint(both)  # (N, 1, H, W)
        return enlarged + out if self.residual else out
