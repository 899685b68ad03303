"""The columns of Table 1: each printed formula beside what was counted on the built layer.

Notebook 10 writes `results/<scale>/ddf_operator/complexity.json`:

    {"counts": [{"system": "ddf",        # a row of Table 1: conv, dwconv, dyfilter or ddf
                 "channels": 256,        # c, both in and out
                 "kernel_size": 3,       # k
                 "squeeze_ratio": 0.2,   # sigma; null where the layer has none
                 "pixels": 3136,         # n of one image
                 "params": 132864,       # weights alone: Table 1 leaves out biases and norm scales
                 "macs": 14450688,       # one image, MAC = 1
                 "filter_values": 30528  # generated filter values of one image; null where static
                }, ...]}

The table prints one size; the slopes are fitted to all channel counts (or pixel counts) in the file
at that size's other settings. A slope of 1 means linear growth, 2 quadratic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from repro.papers import Row, Table, Value
from repro.report.cells import Measured, TableColumn
from repro.report.columns import Setup
from repro.report.formulas import evaluate
from repro.report.measurements import Count
from repro.report.result_files import MissingResultError


@dataclass(frozen=True)
class Size:
    """The size at which Table 1's formulas are evaluated and its layers counted."""

    channels: int = 256
    kernel_size: int = 3
    squeeze_ratio: float = 0.2
    pixels: int = 3136  # 56 x 56, the first stage of a ResNet at 224 x 224

    def fits(self, count: Count, *, free: str | None = None) -> bool:
        """Whether a count was made at this size, whatever the setting named `free` is."""
        settings = ("channels", "kernel_size", "pixels", "squeeze_ratio")
        return all(
            getattr(count, name) in (getattr(self, name), None) for name in settings if name != free
        )


SIZE = Size()


def predicted(formula: str, count: Count | Size) -> float:
    """A printed formula at the size of a count."""
    return evaluate(
        formula,
        n=count.pixels,
        c=count.channels,
        k=count.kernel_size,
        sigma=count.squeeze_ratio or 0.0,
    )


def at_size(counts: Sequence[Count], system: str, size: Size = SIZE) -> Count:
    """The count of one system at one size.

    Raises:
        MissingResultError: notebook 10 did not count it.
    """
    for count in counts:
        if count.system == system and size.fits(count):
            return count
    raise MissingResultError(
        f"complexity.json has no count of {system!r} at {size}; run notebook 10 with that size"
    )


def sweep(
    counts: Sequence[Count], system: str, over: Literal["channels", "pixels"], size: Size = SIZE
) -> list[Count]:
    """The counts of one system along one axis, smallest first; the other settings are `size`'s."""
    found = [c for c in counts if c.system == system and size.fits(c, free=over)]
    return sorted(found, key=lambda count: getattr(count, over))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of log(y) against log(x): the exponent of a power law.

    Raises:
        MissingResultError: fewer than two different x.
    """
    if len({x for x, _ in points}) < 2:
        raise MissingResultError(f"a slope needs two sizes, got {len(points)}; run notebook 10")
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return rise / sum((x - mean_x) ** 2 for x in xs)


@dataclass(frozen=True)
class Formula:
    """A formula as printed."""

    column_id: str
    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        return TableColumn(f"{self.column_id}_formula", table.column(self.column_id).label)

    def paper(self, row: Row, setup: Setup) -> Value:
        return row.values[self.column_id]

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        return None


@dataclass(frozen=True)
class Counted:
    """A quantity at one size: the formula's value, where it is one, and the layer's count."""

    column_id: str
    label: str
    count: Callable[[Count], int | None]
    unit: str | None = None
    divisor: float = 1.0
    evaluated: bool = True  # a big-O formula fixes no constant, so it has no value to compare with
    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        return TableColumn(
            f"{self.column_id}_count",
            self.label,
            self.unit,
            digits=0 if self.divisor == 1 else 1,
            derived=True,
            relative=self.evaluated,
            paper_word="formula",
        )

    def paper(self, row: Row, setup: Setup) -> Value:
        formula = row.values[self.column_id]
        if not self.evaluated or not isinstance(formula, str):
            return None
        return predicted(formula, SIZE) / self.divisor

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        counted = self.count(at_size(setup.results.counts(), row.system))
        return None if counted is None else Measured.counted(counted / self.divisor)


@dataclass(frozen=True)
class Slope:
    """How fast the time cost grows along one axis: the formula's exponent and the counted MACs'."""

    column_id: str
    label: str
    over: Literal["channels", "pixels"]
    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        name = f"{self.column_id}_slope_{self.over}"
        return TableColumn(name, self.label, digits=2, derived=True, paper_word="formula")

    def paper(self, row: Row, setup: Setup) -> Value:
        # big-O leaves the constants out, so its exponent is the one it has on large images.
        large = replace(SIZE, pixels=10**9)
        larger = replace(large, **{self.over: 2 * getattr(large, self.over)})
        formula = str(row.values[self.column_id])
        return round(math.log2(predicted(formula, larger) / predicted(formula, large)), 2)

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        counts = sweep(setup.results.counts(), row.system, self.over)
        return Measured.counted(slope([(getattr(c, self.over), c.macs) for c in counts]))
