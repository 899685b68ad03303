"""The upsampling layers of PAC-Net and DDF-Up-Net, doubling height and width, to be measured.

A registry of its own (see `repro.bench.measure`). The input x (N, C, H, W) is the coarse one; the
guidance has C channels, as PAC's in Table 2, and the output's resolution, which both layers take.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from repro.bench.cases import Call, Case
from repro.complexity import count
from repro.names import require_known
from repro.nn import DDFUp, PACTransposed
from repro.ops.pac import pac

SCALE = 2
PAC_KERNEL_SIZE = 5  # PAC-Net's; DDF-Up's is the measurement's


class PACOfZeros(PACTransposed):
    """Transposed PAC by its definition: zeros between the samples, then `pac`.

    Every output pixel multiplies all K * K taps, three quarters of them with zeros. It gives what
    `PACTransposed` gives.
    """

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        spread = x.new_zeros(*x.shape[:2], *guidance.shape[2:])
        spread[:, :, :: self.stride, :: self.stride] = x
        return pac(spread, guidance, self.weight.transpose(0, 1).flip(2, 3), self.bias)


class _Unguided(nn.ConvTranspose2d):
    """A transposed convolution, handed a guidance that it does not look at."""

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


def _transposed_convolution(channels: int, kernel_size: int) -> nn.Module:
    return _Unguided(channels, channels, 5, SCALE, padding=2, output_padding=1)


LAYERS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "conv_transpose": _transposed_convolution,
    "pac_up": lambda channels, _: PACTransposed(channels, channels, PAC_KERNEL_SIZE, SCALE),
    "pac_up_zeros": lambda channels, _: PACOfZeros(channels, channels, PAC_KERNEL_SIZE, SCALE),
    "ddf_up": lambda channels, size: DDFUp(channels, SCALE, size, guidance_channels=channels),
}


def _layer(name: str) -> Callable[[Tensor, int], Call]:
    def prepare(x: Tensor, kernel_size: int) -> Call:
        N, C, H, W = x.shape
        layer = LAYERS[name](C, kernel_size).to(x.device, x.dtype).eval()
        guidance = torch.randn(N, C, SCALE * H, SCALE * W, device=x.device, dtype=x.dtype)
        inputs = [x, *layer.parameters()]
        if name != "conv_transpose":
            inputs.append(guidance)
        return Call(lambda: layer(x, guidance), inputs)

    return prepare


CASES: dict[str, Case] = {
    "conv_transpose": Case("pytorch", _layer("conv_transpose")),
    "pac_up": Case("by phase", _layer("pac_up")),
    "pac_up_zeros": Case("unfold", _layer("pac_up_zeros")),
    "ddf_up": Case(None, _layer("ddf_up")),
}


def cases_for(shape: Sequence[int]) -> list[str]:
    """Names of `CASES` whose temporaries fit in a few GiB at this size of the input."""
    N, C, H, W = shape
    unfolded = N * C * H * W * SCALE**2 * PAC_KERNEL_SIZE**2
    return [op for op in CASES if op != "pac_up_zeros" or unfolded <= MOST_UNFOLDED_VALUES]


def layer_macs(op: str, shape: Sequence[int], kernel_size: int = 3) -> int:
    """Multiply-accumulates of one of `LAYERS` on an input of this shape, counted exactly.

    Raises:
        UnknownNameError: no such layer.
    """
    make = LAYERS[require_known("upsampling layer", op, LAYERS)]
    N, C, H, W = shape
    with torch.device("meta"):
        layer = make(C, kernel_size)
    return count(layer, shape, (N, C, SCALE * H, SCALE * W)).macs


# Input of a layer whose output has Table 2's size; Table 2's own layers do not upsample. PAC of
# zeros unfolds 25 copies of the output, several times: it is measured at a quarter of the pixels.
TABLE_2_COARSE, QUARTER, TABLE_2 = "2x256x100x150", "2x256x50x75", "2x256x200x300"
MOST_UNFOLDED_VALUES = 4e8


@dataclass(frozen=True)
class Pair:
    """`op` is to take `goal` times less time and memory than `over` in inference at `shape`."""

    op: str
    over: str
    shape: str
    goal: float = 10.0


PAIRS = (
    Pair("ddf_up", "pac_up", TABLE_2_COARSE),
    Pair("ddf_up", "pac_up_zeros", QUARTER),
    Pair("ddf", "pac", TABLE_2),
)
QUANTITIES = ("median_ms", "peak_mib", "macs")
JUDGED_COLUMNS = ("op", "over", "mode", "shape", "quantity", "times_less", "goal", "met")


def judge(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many times less DDF takes than PAC, wherever the rows have both.

    Args:
        rows: of `repro.bench.measure`, with "macs" added, those of a forward pass in every mode.
    Returns:
        Rows with the keys `JUDGED_COLUMNS`, none for a quantity that was not measured (NaN); "goal"
        and "met" are empty where no goal was set.
    """
    found = {(row["op"], row["mode"], row["shape"]): row for row in rows}
    judged = []
    for pair, (op, mode, shape) in itertools.product(PAIRS, found):
        rival = found.get((pair.over, mode, shape))
        if op != pair.op or rival is None:
            continue
        has_goal = mode == "forward" and shape == pair.shape
        for quantity in QUANTITIES if mode == "forward" else QUANTITIES[:2]:
            ratio = rival[quantity] / found[op, mode, shape][quantity]
            if math.isnan(ratio):
                continue
            row = {"op": op, "over": pair.over, "mode": mode, "shape": shape, "quantity": quantity}
            verdict = "yes" if ratio >= pair.goal else "no"
            row |= {"times_less": ratio, "goal": pair.goal if has_goal else ""}
            judged.append({**row, "met": verdict if has_goal else ""})
    return judged
