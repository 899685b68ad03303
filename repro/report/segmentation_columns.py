"""The columns of semantic segmentation that no other table has."""

from __future__ import annotations

from dataclasses import dataclass

from repro.papers import Row, Table, Value
from repro.report.cells import Measured, TableColumn
from repro.report.class_areas import miou_difference
from repro.report.columns import Difference, Metric, Setup

# Metric of metrics.json -> its column. Only some rows are measured with several scales.
SINGLE, MULTI = "miou", "miou_ms"


@dataclass(frozen=True)
class MiouDifference(Difference):
    """Mean IoU less the base row's, with an interval over images and seeds; see `repro.stats`."""

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        base = setup.base_of(row)
        metric = self.key or self.column_id
        if row.id == base.id or setup.family is None or not measured_with(setup, row, metric):
            return None
        networks = setup.network(row), setup.network(base)
        found = miou_difference(setup.results, setup.family, *networks, metric)
        return None if found is None else Measured.estimated(found)


@dataclass(frozen=True)
class MultiScale(Metric):
    """Mean IoU over several scales; none where the run asked for no such inference."""

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        if not measured_with(setup, row, self.key or self.column_id):
            return None
        return super().measure(row, setup)


@dataclass(frozen=True)
class Standing:
    """Where the paper's figure of a row comes from, since not all could be read in the paper."""

    from_runs: bool = False

    def column(self, table: Table) -> TableColumn:
        return TableColumn("standing", "The paper's mIoU is")

    def paper(self, row: Row, setup: Setup) -> Value:
        single = setup.table.columns[-1].id if setup.table.id != "table2" else "miou_ss"
        if row.values[single] is None:
            return "not known"
        return "second-hand" if row.source == "secondary_notes" else "printed"

    def measure(self, row: Row, setup: Setup) -> Measured | None:
        return None


def measured_with(setup: Setup, row: Row, metric: str) -> bool:
    """Whether the run behind a row has that metric."""
    return metric in setup.run(row).values
