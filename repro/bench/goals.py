"""What the CPU kernels are to reach, and whether rows of a benchmark reach it.

All goals are ratios of two rows of one measurement, so that they travel between machines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repro.bench.measure import parse_shape

Row = Mapping[str, Any]

LARGE = "2x256x200x300"  # Table 2 of DDF
SMALL = ("8x64x56x56", "32x16x32x32")
DEEP = ("8x128x28x28", "8x256x14x14")  # later stages of ResNet-50
TINY = "32x512x7x7"


@dataclass(frozen=True)
class Goal:
    """One goal: `op` takes at most `limit` times what `over` takes.

    Attributes:
        over: an op of the same measurement; "features" for peak memory beyond the inputs, in units
            of x.
        over_mode: of `over`, where it is not `mode`.
        shapes: to which it applies; none for all that were measured.
    """

    id: str
    over: str
    limit: float
    kernel_size: int
    mode: str = "forward"
    shapes: tuple[str, ...] = ()
    op: str = "ddf_operator"
    over_mode: str = ""

    def applies(self, shape: str, kernel_size: int) -> bool:
        return kernel_size == self.kernel_size and (not self.shapes or shape in self.shapes)


GOALS = (
    Goal("C1", "copy", 1.8, 3, shapes=(LARGE,), over_mode="forward"),
    Goal("C2", "copy", 3, 3, shapes=SMALL, over_mode="forward"),
    Goal("C3", "copy", 4.5, 5, shapes=(LARGE, *SMALL), over_mode="forward"),
    Goal("C4", "depthwise_operator", 1, 3, shapes=(LARGE, *SMALL)),
    Goal("C4", "depthwise_operator", 1.7, 3, shapes=(TINY,)),
    Goal("C4", "depthwise_operator", 1.6, 5, shapes=(LARGE, *SMALL)),
    Goal("C5", "copy", 5, 3, "backward", (LARGE,), over_mode="forward"),
    Goal("C5", "copy", 7, 3, "backward", SMALL, over_mode="forward"),
    Goal("C6", "ddf_compiled", 1 / 2, 3, "forward_backward", (LARGE, *SMALL)),
    Goal("C6", "ddf_unfold", 1 / 12, 3, "forward_backward", (LARGE, *SMALL, *DEEP)),
    Goal("C7", "features", 1.1, 3, "forward", (LARGE,)),
    Goal("C7", "features", 2.3, 3, "forward_backward", (LARGE,)),
)

COLUMNS = ("goal", "op", "mode", "kernel_size", "shape", "over", "ratio", "limit", "met")


def judge(rows: Sequence[Row], goals: Sequence[Goal] = GOALS) -> list[dict[str, Any]]:
    """Every goal on every shape for which the rows have both sides; keys `COLUMNS`.

    Rows of one op, mode, shape and kernel size: the last one counts.
    """
    found = {(row["op"], row["mode"], row["shape"], row["kernel_size"]): row for row in rows}
    return [judged for goal in goals for judged in _judge(goal, found)]


def _judge(goal: Goal, rows: Mapping[tuple[str, str, str, int], Row]) -> Iterator[dict[str, Any]]:
    for (op, mode, shape, kernel_size), row in rows.items():
        if (op, mode) != (goal.op, goal.mode) or not goal.applies(shape, kernel_size):
            continue
        if goal.over == "features":
            ratio = extra_features(row)
        else:
            other = rows.get((goal.over, goal.over_mode or mode, shape, kernel_size))
            ratio = row["median_ms"] / other["median_ms"] if other else math.nan
        if not math.isnan(ratio):
            yield {
                "goal": goal.id,
                "op": op,
                "mode": mode,
                "kernel_size": kernel_size,
                "shape": shape,
                "over": goal.over,
                "ratio": ratio,
                "limit": goal.limit,
                "met": "yes" if ratio <= goal.limit else "no",
            }


def extra_features(row: Row) -> float:
    """Peak memory of the DDF operation beyond its inputs, in units of the features x.

    What is given counts as input: x, both filters, and, with gradients, that of the output.
    """
    N, C, H, W = parse_shape(row["shape"])
    taps = row["kernel_size"] ** 2
    value_bytes = {"float64": 8, "float32": 4}.get(row["dtype"], 2)
    features = N * C * H * W
    inputs = features + N * C * taps + N * taps * H * W
    if row["mode"] != "forward":
        inputs += features
    return float(row["peak_mib"] * 2**20 / value_bytes - inputs) / features
