"""Shapes and options on which every implementation of an operator is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class DDFCase:
    """Sizes and options of one call of `ddf`."""

    shape: tuple[int, int, int, int]
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    kernel_combine: str = "mul"
    contiguous: bool = True

    def __str__(self) -> str:
        text = "x".join(map(str, self.shape)) + f"-k{self.kernel_size}"
        text += f"s{self.stride}d{self.dilation}-{self.kernel_combine}"
        return text if self.contiguous else text + "-strided"

    @property
    def options(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "dilation": self.dilation,
            "kernel_combine": self.kernel_combine,
        }

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of x, channel_filter, spatial_filter."""
        batch, channels, height, width = self.shape
        size_out = (-(-height // self.stride), -(-width // self.stride))
        return [
            self.shape,
            (batch, channels, self.kernel_size, self.kernel_size),
            (batch, self.kernel_size**2, *size_out),
        ]

    def make(self, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> list[Tensor]:
        """x, channel_filter, spatial_filter: normal, the same values for every dtype."""
        generator = torch.Generator().manual_seed(seed)
        tensors = []
        for shape in self.shapes:
            tensor = torch.randn(shape, generator=generator, dtype=torch.float64)
            tensor = tensor.to(device=device, dtype=dtype)
            if not self.contiguous:  # same values, memory in another order, with gaps
                tensor = torch.stack([tensor, tensor], -1).transpose(2, 3).contiguous()
                tensor = tensor.transpose(2, 3)[..., 0]
            tensors.append(tensor)
        return tensors


# Small enough for the simulator: H != W, odd sizes, N = 1, C = 1, a channel count that is no
# multiple of anything, images smaller than the kernel, strides and dilations that leave rests.
TINY_CASES = [
    DDFCase((2, 3, 7, 5)),
    DDFCase((2, 3, 7, 5), kernel_combine="add"),
    DDFCase((1, 1, 1, 1)),
    DDFCase((1, 2, 2, 3), kernel_size=5),
    DDFCase((1, 3, 6, 4), kernel_size=1, stride=2),
    DDFCase((2, 2, 7, 6), stride=2),
    DDFCase((1, 3, 5, 8), stride=2, kernel_combine="add"),
    DDFCase((1, 2, 8, 7), stride=3, dilation=2),
    DDFCase((1, 2, 6, 9), dilation=2, kernel_combine="add"),
    DDFCase((1, 2, 9, 8), kernel_size=5, stride=2, dilation=2),
    DDFCase((1, 2, 9, 10), kernel_size=7),
]

# For kernels that run at speed: several blocks of rows, several chunks of channels, wide rows,
# vectors with and without a rest, memory in another order, nothing at all.
DDF_CASES = [
    *TINY_CASES,
    DDFCase((3, 17, 16, 16)),
    DDFCase((1, 33, 8, 8), kernel_combine="add"),
    DDFCase((2, 5, 32, 31)),
    DDFCase((1, 3, 45, 300)),
    DDFCase((1, 2, 50, 299), stride=2, kernel_combine="add"),
    DDFCase((1, 2, 64, 90), kernel_size=5, kernel_combine="add"),
    DDFCase((1, 2, 12, 12), kernel_size=7, dilation=4, kernel_combine="add"),
    DDFCase((1, 2, 13, 12), kernel_size=9),
    DDFCase((2, 4, 9, 11), contiguous=False),
    DDFCase((2, 4, 9, 11), stride=2, kernel_combine="add", contiguous=False),
    DDFCase((0, 3, 8, 8)),
    DDFCase((2, 0, 8, 8)),
]
