"""A feature pyramid network whose top-down path doubles its maps in a way of one's choice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from repro.models.detection.upsamplers import UPSAMPLERS
from repro.names import require_known


class UpsamplingFPN(FeaturePyramidNetwork):  # type: ignore[misc]  # no types
    """torchvision's FPN, with an upsampler of its own before each addition.

    Args:
        in_channels: of the backbone's maps, finest first, each about half as large as the last.
        channels: of the pyramid's maps.
        upsampler: a name of `UPSAMPLERS`.
    Shape:
        a mapping of names to (N, in_channels[i], H_i, W_i) to one of the same names, and "pool" for
        every other pixel of the coarsest, to (N, channels, H_i, W_i).
    Raises:
        UnknownNameError: no such upsampler.
        ValueError: a map is more than one pixel off the double of the next.
    Source: FPN (arXiv 1612.03144), and DDF (arXiv 2104.14107), Table 6: the three upsamplings by 2.
    Deviates: a map that is not the exact double of the next gets the doubled one cut off at the
        bottom and right, or, where strides round down, its last row and column repeated. With
        "nearest" and strides that round up it is exactly torchvision's. Padded to multiples of 32
        (what torchvision's transform does), every map is an exact double.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, upsampler: str = "nearest"
    ) -> None:
        super().__init__(list(in_channels), channels, extra_blocks=LastLevelMaxPool())
        make = UPSAMPLERS[require_known("upsampler", upsampler, UPSAMPLERS)]
        self.upsamplers = nn.ModuleList(make(channels) for _ in in_channels[1:])

    def forward(self, x: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        names, maps = list(x), list(x.values())
        laterals = [block(map_) for block, map_ in zip(self.inner_blocks, maps, strict=True)]
        merged = laterals[-1:]
        for lateral, upsampler in zip(laterals[-2::-1], reversed(self.upsamplers), strict=True):
            height, width = lateral.shape[-2:]
            merged.insert(0, lateral + fitted(upsampler(merged[0]), height, width))
        results = [block(map_) for block, map_ in zip(self.layer_blocks, merged, strict=True)]
        results, names = self.extra_blocks(results, maps, names)
        return OrderedDict(zip(names, results, strict=True))


def fitted(x: Tensor, height: int, width: int) -> Tensor:
    """A doubled map (N, C, H, W) as (N, C, height, width), which is at most one pixel off.

    Raises:
        ValueError: it is more than one pixel off.
    """
    missing = (height - x.shape[2], width - x.shape[3])
    if missing == (0, 0):
        return x
    if max(map(abs, missing)) > 1:
        raise ValueError(
            f"a map of {height} x {width} cannot be added to one that doubles to "
            f"{x.shape[2]} x {x.shape[3]}: they are more than one pixel apart"
        )
    x = x[:, :, :height, :width]
    for axis in (2, 3):
        if missing[axis - 2] == 1:
            x = torch.cat([x, x.narrow(axis, x.shape[axis] - 1, 1)], axis)
    return x
