"""Shapes and options on which every implementation of the Fourier weight operators is tried."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from repro.ops.frequency_groups import frequency_groups
from repro.ops.reference.fourier_disjoint_weight import Modulation, disjoint_basis


@dataclass(frozen=True)
class FourierCase:
    """Sizes of one call; `weight_shape` is (C_out, C_in of a convolution group, K_h, K_w)."""

    weight_shape: tuple[int, int, int, int]
    batch: int = 2
    kernel_num: int = 4
    copies: int = 1
    groups: int = 1
    width: int = 3
    factors: tuple[str, ...] = ("channel", "filter", "spatial", "local")

    def __str__(self) -> str:
        text = "x".join(map(str, self.weight_shape)) + f"-n{self.batch}g{self.kernel_num}"
        text += f"p{self.copies}c{self.groups}w{self.width}"
        return text if len(self.factors) == 4 else f"{text}-{'+'.join(self.factors) or 'none'}"

    @property
    def matrix(self) -> tuple[int, int]:
        C_out, C_in, K_h, K_w = self.weight_shape
        return C_out * K_h, C_in * K_w

    def group_map(self, device: str = "cpu") -> Tensor:
        return frequency_groups(*self.matrix, self.kernel_num).to(device)

    def make(self, dtype: torch.dtype, device: str = "cpu", seed: int = 0) -> list[Tensor]:
        """Spectrum, attention and factors: the same values for every dtype, float32 exactly."""
        C_out, C_in, K_h, K_w = self.weight_shape
        rows, columns = self.matrix
        shapes = {
            "spectrum": (self.copies, rows, columns // 2 + 1, 2),
            "attention": (self.batch, self.copies, self.kernel_num),
            "channel": (self.batch, self.groups * C_in),
            "filter": (self.batch, C_out),
            "spatial": (self.batch, K_h * K_w),
            "local": (self.batch, self.groups * C_in),
            "local_filter": (C_out * K_h * K_w, self.width),
        }
        generator = torch.Generator().manual_seed(seed)
        tensors = []
        for name, shape in shapes.items():
            values = torch.randn(shape, generator=generator)
            if name in ("spectrum", "attention", *self.factors) or (
                name == "local_filter" and "local" in self.factors
            ):
                tensors.append(values.to(device=device, dtype=dtype))
        return tensors

    def modulation(self, factors: list[Tensor]) -> Modulation:
        """The factors of `make`, by their names."""
        found = dict.fromkeys(Modulation._fields)
        names = [name.replace("local", "local_input") for name in self.factors]
        names += ["local_filter"] * ("local" in self.factors)
        found.update(zip(names, factors, strict=True))
        return Modulation(**found)

    def basis(self, spectrum: Tensor) -> Tensor:
        """(B, C_out, K_h, K_w, C_in), as `weight_from_basis` takes it."""
        group_map = self.group_map(spectrum.device.type)
        weights = disjoint_basis(spectrum, group_map, self.weight_shape, self.kernel_num)
        return weights.permute(0, 1, 3, 4, 2).contiguous()


# All kernel sizes, odd and even matrices, group counts that do not divide, one group, one sample,
# several copies, every factor alone and none, convolution groups and depth-wise filters.
FOURIER_CASES = [
    FourierCase((4, 3, 3, 3)),
    FourierCase((1, 1, 1, 1), batch=1, kernel_num=1, width=1),
    FourierCase((2, 4, 1, 1), kernel_num=3, width=5),
    FourierCase((3, 2, 5, 5), batch=1, kernel_num=7),
    FourierCase((2, 3, 7, 7), kernel_num=5),
    FourierCase((3, 5, 1, 3), kernel_num=6),
    FourierCase((3, 5, 3, 1), kernel_num=6),
    FourierCase((4, 3, 3, 3), copies=2, batch=3),
    FourierCase((6, 2, 3, 3), groups=3, width=5),
    FourierCase((6, 1, 3, 3), groups=6, width=5),
    FourierCase((4, 3, 3, 3), factors=()),
    FourierCase((4, 3, 3, 3), factors=("channel",)),
    FourierCase((4, 3, 3, 3), factors=("filter", "spatial")),
    FourierCase((4, 3, 3, 3), factors=("local",)),
]
# Wide enough for whole vectors and rests, many groups, more output channels than tasks.
LARGE_CASES = [
    FourierCase((40, 37, 3, 3), batch=3, kernel_num=64, width=5),
    FourierCase((24, 64, 1, 1), batch=5, kernel_num=13, copies=2, width=5),
    FourierCase((64, 16, 3, 3), batch=2, kernel_num=9, groups=4, width=7),
]
