"""KernelWarehouse: kernels assembled from mixtures of cells that many layers share.

KernelWarehouse: Rethinking the Design of Dynamic Convolution (arXiv 2406.07879).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from repro.nn.per_sample import (
    AnnealedConv2d,
    PooledBatchNorm,
    draw_attention,
    draw_kernels,
    optional_bias,
    require_at_least,
    squeezed,
)


class Warehouse(nn.Module):
    """The cells that the layers of one group share: (M, c_out, c_in).

    A cell is one position of a block of channels; its channels are the greatest common divisors of
    the layers', and there are `budget` cells for each place that a cell fills.

    Args:
        kernels: (out_channels, in_channels / groups, K) of every layer that will share.
        budget: b of the paper, the number of parameters relative to static kernels.
    Raises:
        ValueError: budget < 1, or no kernels.
    Source: KernelWarehouse (arXiv 2406.07879), kernel partition and warehouse sharing; the authors'
        `Warehouse_Manager` with spatial partition and all ratios 1.
    Deviates: whole budgets only; the paper also has 1/2 and 1/4.
    """

    def __init__(self, kernels: Sequence[tuple[int, int, int]], budget: int = 1) -> None:
        super().__init__()
        require_at_least("budget", budget, 1)
        require_at_least("number of kernels", len(kernels), 1)
        self.budget = budget
        out_channels = math.gcd(*(kernel[0] for kernel in kernels))
        in_channels = math.gcd(*(kernel[1] for kernel in kernels))
        places = sum(out * inp * K**2 // (out_channels * in_channels) for out, inp, K in kernels)
        self.cells = nn.Parameter(torch.empty(budget * places, out_channels, in_channels))
        draw_kernels(self.cells[..., None, None])

    def extra_repr(self) -> str:
        M, out_channels, in_channels = self.cells.shape
        return f"{M} cells of {out_channels} x {in_channels}, budget={self.budget}"


class KWConv2d(AnnealedConv2d):
    """Convolve each sample with a kernel whose every cell is a mixture of the warehouse's cells.

    Each place of the kernel has its own attention over all M cells and a zero cell, normalised by
    the sum of absolute values. The temperature t blends in the start, t * one_hot + (1 - t) *
    attention, where every place owns one cell.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in
            `torch.nn.Conv2d`; the bias is static.
        warehouse: shared with other layers; None makes one for this layer alone.
        first_cell: the first cell that the places of this layer own.
        budget: of its own warehouse.
        squeeze_ratio: width of the attention's hidden layer relative to in_channels; at least 16.
        temperature: from 0 to 1; see `anneal_temperature` (from 1 down to 0).
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: a warehouse whose cells do not tile the kernel or end too early; a temperature
            outside 0 to 1; and what `DynamicConv2d` and `Warehouse` raise.
    Source: KernelWarehouse (arXiv 2406.07879), w_i = sum_j alpha_ij e_j with the contrasting-driven
        attention alpha_ij = t * beta_ij + (1 - t) * z_ij / sum_p |z_ip|; the authors' `KWConv2d`,
        with its zero cell and 1e-3 in the denominator.
    Deviates: a training batch of one, see `PooledBatchNorm`.
    """

    temperatures = (1.0, 0.0)
    owned: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        warehouse: Warehouse | None = None,
        first_cell: int = 0,
        budget: int = 1,
        squeeze_ratio: float = 1 / 16,
        temperature: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        filters = in_channels // groups
        if warehouse is None:
            warehouse = Warehouse([(out_channels, filters, kernel_size)], budget)
        M, c_out, c_in = warehouse.cells.shape
        if out_channels % c_out or filters % c_in:
            raise ValueError(
                f"cells of {c_out} x {c_in} do not tile a kernel of {out_channels} x {filters}"
            )
        self.places = kernel_size**2 * (out_channels // c_out) * (filters // c_in)
        if first_cell < 0 or first_cell + self.places * warehouse.budget > M:
            raise ValueError(
                f"first_cell must leave {self.places * warehouse.budget} of {M} cells, "
                f"got {first_cell}"
            )
        self.temperature = temperature
        self.warehouse = warehouse
        hidden = squeezed(in_channels, squeeze_ratio, least=16)
        self.attention = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False),
            PooledBatchNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, self.places * (M + 1)),
        )
        owned = first_cell + warehouse.budget * torch.arange(self.places)
        self.register_buffer("owned", owned, persistent=False)
        self.bias = optional_bias(out_channels, wanted=bias)
        draw_attention(self.attention)

    def check_temperature(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"temperature must be between 0 and 1, got {value}")

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        N, K = x.shape[0], self.kernel_size
        cells = self.warehouse.cells
        M, c_out, c_in = cells.shape
        scores = self.attention(x.mean((2, 3))).reshape(N, self.places, M + 1)
        attention = scores / (scores.abs().sum(2, keepdim=True) + 1e-3)
        attention = (1 - self.temperature) * attention[..., :M]  # the last cell is zero
        if self.temperature > 0:
            start = nn.functional.one_hot(self.owned, M)  # (places, M)
            attention = attention + self.temperature * start
        kernels = attention.reshape(-1, M) @ cells.flatten(1)  # (N * places, c_out * c_in)
        tiles = (self.out_channels // c_out, self.in_channels // self.groups // c_in)
        kernels = kernels.reshape(N, K * K, *tiles, c_out, c_in)
        kernels = kernels.permute(0, 2, 4, 3, 5, 1)  # (N, tiles, c_out, tiles, c_in, K*K)
        return self.convolve(x, kernels.reshape(N, *self.kernel_shape), self.bias)


class KWLinear(nn.Module):
    """A drop-in for `torch.nn.Linear`: a 1 x 1 `KWConv2d` over the tokens of each sample.

    Args:
        in_features, out_features, bias: as in `torch.nn.Linear`.
        options: those of `KWConv2d`.
    Shape:
        (N, ..., in_features) to (N, ..., out_features).
    Raises:
        ValueError: an input of another shape; what `KWConv2d` raises.
    Source: the authors' `KWLinear`.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, **options: Any
    ) -> None:
        super().__init__()
        self.conv = KWConv2d(in_features, out_features, 1, bias=bias, **options)

    @classmethod
    def from_linear(cls, linear: nn.Linear, **options: Any) -> Self:
        """A layer that can stand where `linear` stands; it draws its own start."""
        wanted = linear.bias is not None
        return cls(linear.in_features, linear.out_features, wanted, **options)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2:
            raise ValueError(f"expected (N, ..., in_features), got {tuple(x.shape)}")
        tokens = x.reshape(x.shape[0], -1, 1, x.shape[-1]).permute(0, 3, 1, 2)  # (N, C, T, 1)
        out: Tensor = self.conv(tokens).permute(0, 2, 3, 1)  # (N, T, 1, C_out)
        return out.reshape(*x.shape[:-1], self.conv.out_channels)
