"""DMSG: the high frequencies of a depth map, upsampled with the image's features at every scale.

Depth Map Super-Resolution by Deep Multi-Scale Guidance (Hui et al., ECCV 2016), MSG-Net; Table 7 of
DDF.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.data.low_resolution import interpolate
from repro.models.joint_upsampling.inputs import check_inputs, stage_count

# ITU-R BT.601: luma of red, green and blue.
LUMA = (0.299, 0.587, 0.114)


class DMSG(nn.Module):
    """Upsample what a blur takes from the depth, guided at every scale, and add the blurred depth.

    The image's luma, without its blur and stretched to [0, 1], goes down a pyramid of convolutions
    and max pools. The depth without its blur goes up: a transposed convolution for each factor of
    two, then the image's features of that scale are concatenated and fused.

    Args:
        factor: a power of two, at least 2.
        offset: where the first low-resolution sample lies, in pixels of the output; None for
            (factor - 1) // 2, where the sampling "centre" takes it.
        mode: how the blurred depth is enlarged, "bicubic" as in the paper or "bilinear".
    Shape:
        low (N, 1, h, w), rgb (N, 3, factor * h, factor * w) to (N, 1, factor * h, factor * w).
    Raises:
        ValueError: another factor, other shapes.
    Source: Hui et al. (ECCV 2016), sections 3.1 and 3.2.
    Unpublished or not to be found, and chosen here: one PReLU slope a channel; a linear
        reconstruction; a 3x3 box as the blur of both; the sizes, which follow public
        re-implementations (image: 7x7 of 49, then 5x5 of 32; depth: 5x5 of 64, then 5x5 of 32; a
        transposed convolution, a fusion and a convolution a scale, and one more before the
        reconstruction). The authors' trained networks were not run.
    """

    def __init__(self, factor: int, *, offset: float | None = None, mode: str = "bicubic") -> None:
        super().__init__()
        stages = stage_count(factor)
        self.factor = factor
        self.offset = (factor - 1) // 2 if offset is None else offset
        self.mode = mode
        self.luma = nn.Sequential(_conv(1, 49, 7), _conv(49, 32))
        self.pyramid = nn.ModuleList(
            nn.Sequential(_conv(32, 32), nn.MaxPool2d(3, 2, padding=1)) for _ in range(stages - 1)
        )
        self.extract = _conv(1, 64)
        self.upsample = nn.ModuleList(_double(64 if i == 0 else 32, 32) for i in range(stages))
        self.fuse = nn.ModuleList(
            nn.Sequential(_conv(64, 32), _conv(32, 32)) for _ in range(stages)
        )
        self.reconstruct = nn.Sequential(_conv(32, 32), nn.Conv2d(32, 1, 5, padding=2))

    def forward(self, low: Tensor, rgb: Tensor) -> Tensor:
        check_inputs(low, rgb, self.factor)
        scales = [self.luma(_stretch(_details(_luma(rgb))))]  # (N, 32, H, W)
        for level in self.pyramid:
            scales.append(level(scales[-1]))  # (N, 32, H / 2, W / 2)
        details = _details(low)
        x = self.extract(details)  # (N, 64, h, w)
        for upsample, fuse in zip(self.upsample, self.fuse, strict=True):
            x = fuse(torch.cat([upsample(x), scales.pop()], 1))  # (N, 32, 2 * h, 2 * w)
        blurred = interpolate(low - details, self.factor, offset=self.offset, mode=self.mode)
        out: Tensor = self.reconstruct(x)  # (N, 1, H, W)
        return blurred + out


def _conv(in_channels: int, out_channels: int, kernel_size: int = 5) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    return nn.Sequential(conv, nn.PReLU(out_channels))


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.ConvTranspose2d(in_channels, out_channels, 5, stride=2, padding=2, output_padding=1)
    return nn.Sequential(conv, nn.PReLU(out_channels))


def _luma(rgb: Tensor) -> Tensor:
    """(N, 1, H, W)."""
    return (rgb * rgb.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def _details(x: Tensor) -> Tensor:
    """What a 3x3 box takes away; the border is repeated."""
    return x - F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _stretch(x: Tensor) -> Tensor:
    """Each image to [0, 1]; a constant one to 0."""
    least, most = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    return (x - least) / (most - least).clamp_min(torch.finfo(x.dtype).eps)
