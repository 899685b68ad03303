"""What a fact sheet holds, as frozen dataclasses. Lookups by id refuse unknown names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from repro.names import require_known

# A figure as printed: a number, a formula (Table 1), a mark, or None for a dash or an empty cell.
Value = float | int | str | bool | None


@dataclass(frozen=True)
class Reference:
    """Where a compared system was published."""

    title: str | None
    venue: str | None
    year: int | None
    arxiv: str | None


@dataclass(frozen=True)
class System:
    """Something a row measures: a layer, a network, an upsampler. Its id is a method's name."""

    id: str
    name: str
    what: str
    reference: Reference
    implementations: tuple[str, ...]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A column of a printed table.

    `kind` is "metric" (measured by training), "cost" (counted or timed) or "setting" (chosen);
    `direction` says which way is better.
    """

    id: str
    label: str
    unit: str | None
    direction: Literal["higher", "lower", "none"]
    kind: Literal["metric", "cost", "setting"]


@dataclass(frozen=True)
class Row:
    """A row of a printed table.

    `unknown` names the columns for which the paper has a figure and we do not; `computed` holds our
    closed-form counts, which are never a paper's figure.
    """

    id: str
    name: str
    system: str
    source: str
    cite_year: int | None
    values: Mapping[str, Value]
    block: str | None = None
    note: str | None = None
    unknown: tuple[str, ...] = ()
    computed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A printed table.

    `published_elsewhere` marks tables of other sources than the paper (a repository's README).
    """

    id: str
    number: str | None
    caption: str
    dataset: str | None
    metric: str | None
    source: str | None
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    complete: bool
    published_elsewhere: bool
    note: str | None = None
    verify: str | None = None

    def row(self, row_id: str) -> Row:
        """The row of that id, or UnknownNameError."""
        known = {row.id: row for row in self.rows}
        return known[require_known(f"row of {self.id}", row_id, known)]

    def column(self, column_id: str) -> Column:
        """The column of that id, or UnknownNameError."""
        known = {column.id: column for column in self.columns}
        return known[require_known(f"column of {self.id}", column_id, known)]

    def row_of_system(self, system: str) -> Row:
        """The first row that measures `system`, or UnknownNameError."""
        known = {row.system: row for row in reversed(self.rows)}
        return known[require_known(f"system of {self.id}", system, known)]


@dataclass(frozen=True)
class Figure:
    """A figure of the paper, and what shows the same here."""

    id: str
    shows: str
    reproduction: str


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper that can be tested.

    `rests_on` names tables and figures; `paper_value` is the size of the effect, or several by
    name, or None when the paper gives none.
    """

    id: str
    text: str
    rests_on: tuple[str, ...]
    test: str
    source: str | None
    paper_value: Value | Mapping[str, Value]

    def size(self, part: str | None = None) -> float | None:
        """The claimed size of the effect, or of one named part of it; None when none is given."""
        if isinstance(self.paper_value, Mapping):
            parts = self.paper_value
            found = parts[require_known(f"part of claim {self.id}", part or "", parts)]
        else:
            found = self.paper_value
        if found is None or isinstance(found, str | bool):
            return None
        return float(found)


@dataclass(frozen=True)
class Paper:
    """Everything a fact sheet says."""

    id: str
    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    arxiv: str
    official_code: str
    sources: Mapping[str, str]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    systems: tuple[System, ...]

    def table(self, table_id: str) -> Table:
        """The table of that id, or UnknownNameError."""
        known = {table.id: table for table in self.tables}
        return known[require_known(f"table of {self.id}", table_id, known)]

    def claim(self, claim_id: str) -> Claim:
        """The claim of that id, or UnknownNameError."""
        known = {claim.id: claim for claim in self.claims}
        return known[require_known(f"claim of {self.id}", claim_id, known)]

    def system(self, system_id: str) -> System:
        """The system of that id, or UnknownNameError."""
        known = {system.id: system for system in self.systems}
        return known[require_known(f"system of {self.id}", system_id, known)]
