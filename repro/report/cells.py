"""What a table holds: one kind of cell, in columns that know how their figures are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from repro.papers import Value
from repro.stats import Estimate


@dataclass(frozen=True)
class Measured:
    """A figure of ours and how sure it is.

    Attributes:
        value: the figure; text where a column holds text.
        low: lower end of its interval; None when there is none (a single run).
        high: upper end.
        n: how many runs it rests on.
        exact: it was counted, not sampled; `low` and `high` equal `value`.
        verdict: how a counted cost compares with the printed one: "exact" (to the printed digit),
            "within 2 %" or "differs"; None where nothing is printed.
    """

    value: Value
    low: float | None = None
    high: float | None = None
    n: int | None = None
    exact: bool = False
    verdict: str | None = None

    @classmethod
    def counted(cls, value: float, verdict: str | None = None) -> Measured:
        """A figure without any chance in it."""
        return cls(value, value, value, exact=True, verdict=verdict)

    @classmethod
    def estimated(cls, estimate: Estimate) -> Measured:
        """A mean over seeds with its interval."""
        return cls(estimate.mean, estimate.low, estimate.high, estimate.n)

    def brief(self) -> str:
        """The figure to three or four digits, with its interval if it was sampled."""
        if not isinstance(self.value, int | float):
            return str(self.value)
        if self.exact:
            return f"{self.value:.4g}"
        if self.low is None or self.high is None:
            return f"{self.value:.3g} (one run)"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Cell:
    """One quantity of one row: as printed in the paper, as published with this project, as run."""

    paper: Value = None
    published: Measured | None = None
    ours: Measured | None = None

    @property
    def ours_verdict(self) -> str | None:
        """How our count compares with the paper's figure; see `Measured`."""
        return self.ours.verdict if self.ours else None

    @property
    def relative(self) -> float | None:
        """How far our figure lies from the paper's, relative to the paper's."""
        ours = self.ours.value if self.ours else None
        if not _is_number(self.paper) or not _is_number(ours) or not self.paper:
            return None
        return float(ours) / float(self.paper) - 1  # type: ignore[arg-type]


@dataclass(frozen=True)
class TableColumn:
    """A column and how its figures are written.

    Attributes:
        digits: decimals of our figures; the paper's have as many as it prints, unless `derived`.
        derived: the paper's side follows from printed figures (a difference, a ratio).
        signed: a difference: always with its sign.
        relative: our figures are exact counts, so their distance from the paper's is shown.
        paper_word: what the paper's side is called; Table 1 prints formulas, which we evaluate.
        side_units: side -> unit, where ours may be measured in another unit than the paper's.
    """

    id: str
    label: str
    unit: str | None = None
    digits: int = 1
    derived: bool = False
    signed: bool = False
    relative: bool = False
    paper_word: str = "paper"
    side_units: Mapping[str, str] = field(default_factory=dict)

    def heading(self, sides: Sequence[str]) -> str:
        """The label with its unit, if all of `sides` share it."""
        units = {self._unit(side) for side in sides}
        unit = units.pop() if len(units) == 1 else None
        return f"{self.label} ({unit})" if unit else self.label

    def side(self, side: str, sides: Sequence[str]) -> str:
        """What one of `sides` is called, with its unit if another has another."""
        word = self.paper_word if side == "paper" else side
        shared = len({self._unit(other) for other in sides}) == 1
        return word if shared else f"{word} ({self._unit(side)})"

    def side_id(self, side: str) -> str:
        """The id of the column, with the unit of a side that may have one of its own."""
        unit = self.side_units.get(side, "").replace("×", "x")
        return f"{self.id}_{re.sub(r'[^A-Za-z0-9]+', '_', unit)}" if unit else self.id

    def _unit(self, side: str) -> str | None:
        return self.side_units.get(side, self.unit)


@dataclass(frozen=True)
class TableRow:
    """A row, its cells in the order of the table's columns."""

    id: str
    name: str
    system: str
    cells: tuple[Cell, ...]
    base: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table of a paper, regenerated.

    Attributes:
        id: `<paper>_<table id>`, the name of its files.
        title: "DDF, Table 3(a)".
        caption: what the table compares.
        notes: sentences below it: what our figures rest on, and how to read them.
    """

    id: str
    title: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = field(default=())

    def sides(self, position: int) -> tuple[str, ...]:
        """Which of "paper", "published", "ours" some row fills in the column at `position`."""
        cells = [row.cells[position] for row in self.rows]
        filled = {
            "paper": any(cell.paper is not None for cell in cells),
            "published": any(cell.published is not None for cell in cells),
            "ours": any(cell.ours is not None for cell in cells),
        }
        return tuple(side for side, any_filled in filled.items() if any_filled) or ("paper",)

    def printed_digits(self, position: int) -> int:
        """Decimals of the paper's figures in a column; a fact sheet drops the zeros at the end."""
        figures = [row.cells[position].paper for row in self.rows]
        decimals = [len(f"{x}".partition(".")[2]) for x in figures if isinstance(x, float)]
        return max(decimals, default=0)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
