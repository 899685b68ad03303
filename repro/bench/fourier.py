"""The weights of FDConv: what is timed side by side, and what the CPU kernels are to reach.

Ops, each behind "fdconv_weight_" in a row:

    copy           into memory that is there already, of as many values as there are weights
    irfft2         the inverse FFT alone, of spectra that are there already
    materialised   the steps of the authors' pipeline in PyTorch, every factor at full size
    per_sample     the CPU kernels, with a transform per sample
    basis          the CPU kernels from parallel weights: kept ones in "forward" (evaluation), made
                   anew where there are gradients, or more of them than the layer keeps; only where
                   it may keep them, or takes them
    layer          whichever of the two FDConv takes, by the batch and the number of groups
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from repro.bench.cases import MODES, Call, Step, as_step
from repro.bench.goals import Goal, Row, judge
from repro.nn.fourier_weight import FourierWeight
from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
from repro.ops.frequency_groups import frequency_groups
from repro.ops.reference.fourier_disjoint_weight import (
    Modulation,
    disjoint_basis,
    fourier_disjoint_weight_materialised,
)

PREFIX = "fdconv_weight_"
BACKENDS = {"per_sample": "cpu", "basis": "cpu", "layer": "cpu"}

_OURS, _THEIRS = f"{PREFIX}layer", f"{PREFIX}materialised"
TIME_GOALS = tuple(
    Goal("C8", _THEIRS, limit, kernel_size, mode, op=_OURS)
    for kernel_size in (1, 3)
    for mode, limit in (("forward", 1 / 8), ("forward_backward", 1 / 2))
)
# Times the weights that are returned, those included.
MOST_MEMORY = 1.5


class Size(NamedTuple):
    """A convolution, a batch, and a number of frequency groups."""

    out_channels: int
    in_channels: int
    kernel_size: int
    batch: int
    kernel_num: int

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.out_channels, self.in_channels, self.kernel_size, self.kernel_size

    @property
    def weights_mib(self) -> float:
        """Of the whole batch, in float32."""
        return self.batch * math.prod(self.weight_shape) * 4 / 2**20

    def __str__(self) -> str:
        return "x".join(map(str, self))


def parse_size(text: str) -> Size:
    """Size(256, 64, 1, 16, 4) from "256x64x1x16x4".

    Raises:
        ValueError: not five positive sizes joined by x.
    """
    sizes = text.split("x")
    if len(sizes) != 5 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ValueError(
            "size must be outputs x inputs x kernel size x batch x groups, such as "
            f"256x256x3x16x64, got {text!r}"
        )
    return Size(*map(int, sizes))


def taken(size: Size, mode: str) -> str:
    """Which form the layer takes: "basis" or "per_sample"."""
    return "basis" if _layer(size, mode)._takes_basis(size.batch) else "per_sample"


def steps(size: Size, mode: str, ops: Sequence[str] | None = None) -> dict[str, Step]:
    """What to time of one size, by op without its prefix; "layer" is one of the others.

    Args:
        mode: one of `repro.bench.cases.MODES`.
        ops: None for all that there are in this mode.
    Raises:
        ValueError: unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    calls = _calls(size, mode)
    chosen = calls if ops is None else {op: calls[op] for op in ops}
    return {op: as_step(call(), mode) for op, call in chosen.items()}


def judge_weights(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Every goal on every size that there are rows of; keys as `repro.bench.goals.COLUMNS`."""
    judged = judge(rows, TIME_GOALS)
    for row in rows:
        if row["op"] == _OURS and row["mode"] == "forward" and not math.isnan(row["peak_mib"]):
            ratio = row["peak_mib"] / parse_size(row["shape"]).weights_mib
            judged.append(
                {
                    "goal": "C8",
                    **{name: row[name] for name in ("op", "mode", "kernel_size", "shape")},
                    "over": "weights",
                    "ratio": ratio,
                    "limit": MOST_MEMORY,
                    "met": "yes" if ratio <= MOST_MEMORY else "no",
                }
            )
    return judged


def _layer(size: Size, mode: str) -> FourierWeight:
    """The layer that has such weights, on "meta": its rule looks at sizes, and at being trained."""
    with torch.device("meta"):
        layer = FourierWeight(size.weight_shape, 1, kernel_num=size.kernel_num, min_channels=1)
    layer.dft_weight.requires_grad_(mode != "forward")
    return layer.train(mode != "forward")


def _calls(size: Size, mode: str) -> dict[str, Callable[[], Call]]:
    torch.manual_seed(0)
    layer = _layer(size, mode)
    N, shape = size.batch, size.weight_shape
    C_out, C_in, K, _ = shape
    rows, width = C_out * K, C_in * K
    groups = frequency_groups(rows, width, size.kernel_num)
    spectrum = torch.randn(1, rows, width // 2 + 1, 2)
    attention = torch.rand(N, 1, size.kernel_num)
    modulation = Modulation(
        torch.rand(N, C_in),
        torch.rand(N, C_out),
        torch.rand(N, K * K),
        torch.randn(N, C_in),
        0.1 * torch.randn(C_out * K * K, 5),
    )
    inputs = [spectrum, attention, *(factor for factor in modulation if factor is not None)]

    def make_basis() -> Tensor:
        basis = disjoint_basis(spectrum, groups, shape, size.kernel_num)
        return basis.permute(0, 1, 3, 4, 2).contiguous()

    def from_basis(basis: Tensor) -> Tensor:
        return weight_from_basis(basis, attention.flatten(1), modulation)

    def basis() -> Call:
        if not layer._may_keep_basis():
            return Call(lambda: from_basis(make_basis()), inputs)
        kept = make_basis()
        return Call(lambda: from_basis(kept), inputs)

    def copy() -> Call:
        weights = torch.randn(N, *shape)
        target = torch.empty_like(weights)
        return Call(lambda: target.copy_(weights))

    def irfft2() -> Call:
        spectra = torch.randn(N, rows, width // 2 + 1, dtype=torch.complex64)
        return Call(lambda: torch.fft.irfft2(spectra, s=(rows, width)))

    args = (spectrum, groups, attention, shape, modulation)
    calls = {
        "copy": copy,
        "irfft2": irfft2,
        "materialised": lambda: Call(lambda: fourier_disjoint_weight_materialised(*args), inputs),
        "per_sample": lambda: Call(lambda: fourier_disjoint_weight(*args), inputs),
        "basis": basis,
    }
    if not (layer._may_keep_basis() or layer._takes_basis(N)):
        del calls["basis"]
    if mode != "forward":
        del calls["copy"], calls["irfft2"]
    return calls
