"""The columns of joint depth upsampling: errors in the unit of the run, and their differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from repro.papers import Row, Table, Value
from repro.report.cells import Measured, TableColumn
from repro.report.columns import Setup
from repro.report.depth_errors import (
    PAPER_UNIT,
    error_difference,
    error_key,
    factors_of,
    unit_of,
)
from repro.report.result_files import BrokenResultError, MissingResultError, shown
from repro.report.runs import Run
from repro.stats import mean_interval


@dataclass(frozen=True)
class DepthColumn:
    """What all columns here know: the factor, and in which unit each side of a cell is.

    Attributes:
        factor: of upsampling; None for the only one of the runs, which the heading then names.
        edge: the band around the depth's edges alone.
    """

    factor: int | None = None
    edge: bool = False
    digits: int = 2
    from_runs: bool = True

    @property
    def printed_id(self) -> str:
        """The column of the paper that prints this; there is none for `edge`."""
        if self.factor is None:
            return "edge_rmse" if self.edge else "rmse"
        return error_key(self.factor, edge=self.edge)

    def column(self, table: Table) -> TableColumn:
        """How the column is called and written."""
        label = "RMSE at edges" if self.edge else "RMSE"
        label += "" if self.factor is None else f", {self.factor}×"
        return TableColumn(self.printed_id, label, digits=self.digits)

    def side_units(self, setup: Setup, beside: Setup | None) -> Mapping[str, str]:
        """The unit of each side of a cell, and the factor where the column does not name it."""
        printed = any(column.id == self.printed_id for column in setup.table.columns)
        units = {"paper": PAPER_UNIT} if printed and self.factor is not None else {}
        for side, own in (("ours", setup), ("published", beside)):
            run = None if own is None else _any_run(own)
            if run is not None:
                factor = "" if self.factor is not None else f"{only_factor(run)}×, "
                units[side] = factor + unit_of(run)
        return units

    def factor_of(self, run: Run) -> int | None:
        """The factor this column shows of a run; None where it was not run at that factor."""
        if self.factor is None:
            return only_factor(run)
        return self.factor if self.factor in factors_of(run) else None


@dataclass(frozen=True)
class DepthError(DepthColumn):
    """The error over the test images: its mean over seeds with Student's interval."""

    def paper(self, row: Row, setup: Setup) -> Value:
        return row.values.get(self.printed_id)

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        run = setup.run(row)
        factor = self.factor_of(run)
        if factor is None:
            return None
        figures = list(run.figures(error_key(factor, edge=self.edge)).values())
        if not figures:  # every seed broke down
            return None
        if run.deterministic:
            return Measured.counted(figures[0])
        return Measured.estimated(mean_interval(figures))


@dataclass(frozen=True)
class DepthDifference(DepthColumn):
    """The error less the base row's, with an interval over images and seeds; see `repro.stats`."""

    def column(self, table: Table) -> TableColumn:
        plain = super().column(table)
        name, label = f"{plain.id}_difference", f"Δ {plain.label}"
        return TableColumn(name, label, digits=self.digits, derived=True, signed=True)

    def paper(self, row: Row, setup: Setup) -> Value:
        base = setup.base_of(row)
        mine, other = row.values.get(self.printed_id), base.values.get(self.printed_id)
        if row.id == base.id or not isinstance(mine, int | float):
            return None
        if not isinstance(other, int | float):
            return None
        return round(mine - other, 6)

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        base = setup.base_of(row)
        factor = self.factor_of(setup.run(row))
        if row.id == base.id or factor is None or setup.family is None:
            return None
        networks = setup.network(row), setup.network(base)
        found = error_difference(
            setup.results, setup.family, *networks, factor=factor, edge=self.edge
        )
        return None if found is None else Measured.estimated(found)


@dataclass(frozen=True)
class UpsamplerCost:
    """A cost of the trained networks, counted exactly at 480 x 640; other methods have none.

    Attributes:
        cost: "params" or "macs" of costs.json.
        factor: see `DepthColumn`.
    """

    cost: str
    label: str
    unit: str
    divisor: float
    factor: int | None = None
    digits: int = 1
    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        at = "" if self.factor is None else f"_x{self.factor}"
        label = self.label if self.factor is None else f"{self.label}, {self.factor}×"
        return TableColumn(f"{self.cost}{at}", label, self.unit, self.digits)

    def paper(self, row: Row, setup: Setup) -> Value:
        return None

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        run = setup.run(row)
        if run.deterministic:
            return None
        factor = only_factor(run) if self.factor is None else self.factor
        entry = setup.results.cost(f"{setup.network(row)}_x{factor}")
        return Measured.counted(entry[self.cost] / self.divisor)


@dataclass(frozen=True)
class TrainedSeeds:
    """How many seeds finished at every factor, of how many; none of a method without training."""

    from_runs: bool = True

    def column(self, table: Table) -> TableColumn:
        return TableColumn("seeds", "Seeds", digits=0)

    def paper(self, row: Row, setup: Setup) -> Value:
        return None

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        run = setup.run(row)
        if run.deterministic:
            return None
        finished = min(len(run.figures(error_key(factor))) for factor in factors_of(run))
        return Measured(
            finished if finished == len(run.seeds) else f"{finished} of {len(run.seeds)}"
        )


def only_factor(run: Run) -> int:
    """The one factor of a run.

    Raises:
        BrokenResultError: it has several, or none.
    """
    factors = factors_of(run)
    if len(factors) != 1:
        raise BrokenResultError(f"{shown(run.path)} must have one factor, got {factors}")
    return factors[0]


def _any_run(setup: Setup) -> Run | None:
    """A run of any row; all have one unit. None where no row was run."""
    for row in setup.table.rows:
        try:
            return setup.run(row)
        except MissingResultError:
            continue
    return None
