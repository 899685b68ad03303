"""The kinds of columns a table is declared from; each makes the cells of one column.

A table declares, for instance, `Exact("params_m", ...), Metric("top1"), Difference("top1")`; rows
come from params.yaml, printed figures from the fact sheet, ours from the results tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from repro.papers import Row, Table, Value
from repro.report.cells import Measured, TableColumn
from repro.report.measurements import PrintedRow, Timing
from repro.report.result_files import BrokenResultError
from repro.report.results import Results
from repro.report.runs import Run, RunFamily
from repro.stats import Estimate, mean_interval, paired_difference


@dataclass(frozen=True)
class Setup:
    """What a column needs besides the row.

    Attributes:
        table: the table as printed.
        results: the tree our figures come from.
        family: the runs its rows stand for; None for a table without training.
        bases: the rows that others are compared with.
        printed: row id -> its network and what was counted for it, where the table prints costs.
    """

    table: Table
    results: Results
    family: RunFamily | None
    bases: tuple[str, ...]
    printed: Mapping[str, PrintedRow] = field(default_factory=dict)

    def base_of(self, row: Row) -> Row:
        """The row that `row` is compared with: the last base at or above it, else the first."""
        order = [other.id for other in self.table.rows]
        above = [base for base in self.bases if order.index(base) <= order.index(row.id)]
        return self.table.row(above[-1] if above else self.bases[0])

    def run(self, row: Row) -> Run:
        """The run behind a row."""
        if self.family is None:
            raise ValueError(f"{self.table.id} declares no runs, but one of its columns needs them")
        return self.results.run(self.family, self.network(row))

    def was_run(self, row: Row) -> bool:
        """Whether the run behind a row is there; a row without training has none to miss."""
        return self.family is None or self.results.has(self.family, self.network(row))

    def network(self, row: Row) -> str:
        """What the runs of a row are called: its system, unless that is the name of several."""
        if self.family is not None and self.family.by_row:
            return row.id
        return self.printed[row.id].network if row.id in self.printed else row.system


class ColumnKind(Protocol):
    """Makes the cells of one column."""

    @property
    def from_runs(self) -> bool:
        """Whether a rerun at another scale may change it; exact counts are the same everywhere."""

    def column(self, table: Table) -> TableColumn:
        """How the column is called and written."""

    def paper(self, row: Row, setup: Setup) -> Value:
        """The paper's figure."""

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        """Our figure; None where the row has none by its nature."""


@dataclass(frozen=True)
class Setting:
    """A column that shows what the paper prints: what was chosen, or what is not measured here."""

    column_id: str
    label: str | None = None
    unit: str | None = None
    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        printed = table.column(self.column_id)
        return TableColumn(printed.id, self.label or printed.label, self.unit)

    def paper(self, row: Row, setup: Setup) -> Value:
        return row.values[self.column_id]

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        return None


@dataclass(frozen=True)
class Exact:
    """A cost of the full-size system, counted exactly.

    Where the table prints costs, it is the one beside the printed cost, with a verdict; elsewhere
    `cost` of costs.json in units of `unit`.
    """

    column_id: str
    cost: str
    label: str
    unit: str
    divisor: float
    digits: int = 3
    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        return TableColumn(self.column_id, self.label, self.unit, self.digits, relative=True)

    def paper(self, row: Row, setup: Setup) -> Value:
        return row.values.get(self.column_id)

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        if row.id not in setup.printed:
            return Measured.counted(setup.results.cost(row.system)[self.cost] / self.divisor)
        beside = setup.printed[row.id].costs.get(self.column_id)
        return None if beside is None else Measured.counted(beside.counted, beside.verdict)


PARAMS = Exact("params_m", "params", "Params", "M", 1e6)
FLOPS = Exact("flops_g", "macs", "FLOPs", "G", 1e9)
ADDED_PARAMS = Exact("params_delta_m", "params", "Added params", "M", 1e6)
ADDED_FLOPS = Exact("flops_delta_g", "macs", "Added FLOPs", "G", 1e9)
BACKBONE_PARAMS = Exact("backbone_params_m", "params", "Params of the backbone", "M", 1e6)
UPSAMPLER_FLOPS = Exact("flops_g", "macs", "FLOPs of the upsamplers", "G", 1e9)


@dataclass(frozen=True)
class Metric:
    """The mean over seeds with its 95 % interval; `key` is its name in metrics.json."""

    column_id: str
    key: str | None = None
    digits: int = 1
    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        printed = table.column(self.column_id)
        return TableColumn(printed.id, printed.label, _unit(printed.unit), self.digits)

    def paper(self, row: Row, setup: Setup) -> Value:
        return row.values[self.column_id]

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        figures = setup.run(row).figures(self.key or self.column_id)
        if not figures:  # every seed broke down
            return None
        return Measured.estimated(mean_interval(list(figures.values())))


@dataclass(frozen=True)
class Difference:
    """The difference to the base row, paired by seed, with its 95 % interval."""

    column_id: str
    key: str | None = None
    digits: int = 1
    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        printed = table.column(self.column_id)
        label, name = f"Δ {printed.label}", f"{printed.id}_difference"
        return TableColumn(name, label, "points", self.digits, derived=True, signed=True)

    def paper(self, row: Row, setup: Setup) -> Value:
        base = setup.base_of(row)
        mine, reference = row.values[self.column_id], base.values[self.column_id]
        if row.id == base.id or not isinstance(mine, int | float):
            return None
        if not isinstance(reference, int | float):
            return None
        return round(mine - reference, 6)  # 79.1 - 77.2 is 1.8999999999999915

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        base = setup.base_of(row)
        if row.id == base.id:
            return None
        key = self.key or self.column_id
        estimate = difference(setup.run(row), setup.run(base), key)
        return None if estimate is None else Measured.estimated(estimate)


@dataclass(frozen=True)
class Seeds:
    """How many seeds finished, of how many: a seed whose training broke down has no figure."""

    key: str
    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        return TableColumn("seeds", "Seeds", digits=0)

    def paper(self, row: Row, setup: Setup) -> Value:
        return None

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        run = setup.run(row)
        finished, tried = len(run.figures(self.key)), len(run.seeds)
        return Measured(finished if finished == tried else f"{finished} of {tried}")


@dataclass(frozen=True)
class Largest:
    """The largest figure over seeds, where one bad run is what matters."""

    key: str
    label: str
    digits: int = 1
    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        return TableColumn(self.key, self.label, digits=self.digits)

    def paper(self, row: Row, setup: Setup) -> Value:
        return None

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        figures = setup.run(row).figures(self.key)
        return Measured(max(figures.values())) if figures else None


@dataclass(frozen=True)
class Timed:
    """A figure of the benchmark: the median with the 20th and 80th percentile, or peak memory."""

    column_id: str
    unit: str
    latency: bool
    digits: int = 1
    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        printed = table.column(self.column_id)
        return TableColumn(printed.id, printed.label, self.unit, self.digits)

    def paper(self, row: Row, setup: Setup) -> Value:
        return row.values[self.column_id]

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        return timed(setup.results.timing(row.id), latency=self.latency)


@dataclass(frozen=True)
class Ratio:
    """A figure of the benchmark over that of another row; ratios travel between machines."""

    column_id: str
    over: str
    latency: bool
    digits: int = 2
    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        label = f"{table.column(self.column_id).label} / {table.row(self.over).name}"
        name = f"{self.column_id}_over_{self.over}"
        return TableColumn(name, label, "×", self.digits, derived=True)

    def paper(self, row: Row, setup: Setup) -> Value:
        mine, other = row.values[self.column_id], setup.table.row(self.over).values[self.column_id]
        if not isinstance(mine, int | float) or not isinstance(other, int | float):
            return None
        return round(mine / other, 6)

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        if row.id == self.over:
            return Measured.counted(1.0)
        other = setup.results.timing(self.over)
        return ratio(setup.results.timing(row.id), other, latency=self.latency)


def difference(run: Run, base: Run, key: str, confidence: float = 0.95) -> Estimate | None:
    """`key` of a run minus that of its base, paired by seed, over the seeds that finished in both.

    Raises:
        BrokenResultError: the two were not run with the same seeds.
    """
    if set(run.seeds) != set(base.seeds):
        raise BrokenResultError(
            f"{run.method} was run with the seeds {sorted(run.seeds)} but {base.method} with "
            f"{sorted(base.seeds)}; a paired difference needs the same ones"
        )
    mine, reference = run.figures(key), base.figures(key)
    common = mine.keys() & reference.keys()
    if not common:
        return None
    return paired_difference(
        {s: mine[s] for s in common}, {s: reference[s] for s in common}, confidence
    )


def timed(timing: Timing, *, latency: bool) -> Measured:
    """An op's latency with its 20th and 80th percentile, or its peak memory."""
    if latency:
        return Measured(timing.median_ms, timing.p20_ms, timing.p80_ms)
    return Measured.counted(timing.peak_mib)


def ratio(mine: Timing, other: Timing, *, latency: bool) -> Measured:
    """One op's figure over another's.

    The interval of a latency ratio is the widest that the percentiles allow, 20th over 80th to 80th
    over 20th: cautious, since both were timed in the same rounds.
    """
    if not latency:
        return Measured.counted(mine.peak_mib / other.peak_mib)
    return Measured(
        mine.median_ms / other.median_ms, mine.p20_ms / other.p80_ms, mine.p80_ms / other.p20_ms
    )


def _unit(unit: str | None) -> str | None:
    return "%" if unit in ("percent", "AP x100") else unit
