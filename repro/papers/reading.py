"""Read a fact sheet and refuse one that contradicts itself."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, get_args, get_type_hints

import yaml

from repro.names import require_known
from repro.papers.model import Claim, Column, Figure, Paper, Reference, Row, System, Table, Value

# Two claims on FDConv's code rest on no table and no figure.
_OTHER_GROUNDS = ("official code",)


class FactSheetError(ValueError):
    """A fact sheet lacks a field, repeats an id, or names something it does not define."""


def names() -> tuple[str, ...]:
    """Ids of the papers there are fact sheets for."""
    folder = resources.files("repro.papers")
    return tuple(
        sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    )


@functools.cache
def load(paper: str) -> Paper:
    """The fact sheet of `paper`, an id such as "ddf".

    Raises:
        UnknownNameError: no such paper.
        FactSheetError: the sheet contradicts itself; the message says where.
    """
    require_known("paper", paper, names())
    text = resources.files("repro.papers").joinpath(f"{paper}.yaml").read_text(encoding="utf-8")
    return parse(yaml.safe_load(text))


def value(address: str) -> Value:
    """The printed figure at `<paper>.<table>.<row>.<column>`, for instance "ddf.table3a.ddf.top1".

    Raises:
        UnknownNameError: a part of the address does not exist.
        ValueError: the address does not have four parts.
    """
    parts = address.split(".")
    if len(parts) != 4:
        raise ValueError(f"expected <paper>.<table>.<row>.<column>, got {address!r}")
    paper, table, row, column = parts
    values = load(paper).table(table).row(row).values
    return values[require_known(f"column of {paper}.{table}", column, values)]


def parse(sheet: Mapping[str, Any]) -> Paper:
    """Build a Paper from a fact sheet's YAML.

    Raises:
        FactSheetError: a field is missing, an id occurs twice, or a reference leads nowhere.
    """
    name = sheet.get("id", "fact sheet")
    try:
        tables = [_table(entry, elsewhere=False) for entry in sheet["tables"]]
        tables += [_table(entry, elsewhere=True) for entry in sheet.get("extra_tables", [])]
        paper = Paper(
            id=sheet["id"],
            title=sheet["title"],
            authors=tuple(sheet["authors"]),
            venue=sheet["venue"],
            year=sheet["year"],
            arxiv=sheet["arxiv"],
            official_code=sheet["official_code"],
            sources=dict(sheet["sources"]),
            tables=tuple(tables),
            figures=tuple(
                Figure(entry["id"], entry["shows"], entry["reproduction"])
                for entry in sheet["figures"]
            ),
            claims=tuple(_claim(entry) for entry in sheet["claims"]),
            systems=tuple(_system(entry) for entry in sheet["systems"]),
        )
    except KeyError as error:
        raise FactSheetError(f"{name}: an entry lacks the field {error}") from error
    _check(paper)
    return paper


def _table(entry: Mapping[str, Any], *, elsewhere: bool) -> Table:
    return Table(
        id=entry["id"],
        number=entry.get("number"),
        caption=entry["caption"],
        dataset=entry.get("dataset"),
        metric=entry.get("metric"),
        source=entry.get("source"),
        columns=tuple(Column(**column) for column in entry["columns"]),
        rows=tuple(_row(row) for row in entry["rows"]),
        complete=not entry.get("unknown", False),
        published_elsewhere=elsewhere,
        note=entry.get("note"),
        verify=entry.get("verify"),
    )


def _row(entry: Mapping[str, Any]) -> Row:
    prefix = "computed_"
    return Row(
        id=entry["id"],
        name=entry["name"],
        system=entry["system"],
        source=entry["source"],
        cite_year=entry["cite_year"],
        values=dict(entry["values"]),
        block=entry.get("block"),
        note=entry.get("note"),
        unknown=tuple(entry.get("unknown", ())),
        computed={
            key.removeprefix(prefix): float(figure)
            for key, figure in entry.items()
            if key.startswith(prefix)
        },
    )


def _claim(entry: Mapping[str, Any]) -> Claim:
    return Claim(
        id=entry["id"],
        text=entry["claim"],
        rests_on=tuple(entry["rests_on"]),
        test=entry["test"],
        source=entry.get("source"),
        paper_value=entry.get("paper_value"),
    )


def _system(entry: Mapping[str, Any]) -> System:
    return System(
        id=entry["id"],
        name=entry["name"],
        what=entry["what"],
        reference=Reference(**entry["paper"]),
        implementations=tuple(entry["implementations"]),
        tables=tuple(entry["tables"]),
    )


def _check(paper: Paper) -> None:
    _unique(paper.id, "table", (table.id for table in paper.tables))
    _unique(paper.id, "claim", (claim.id for claim in paper.claims))
    _unique(paper.id, "system", (system.id for system in paper.systems))
    systems = {system.id for system in paper.systems}
    for table in paper.tables:
        _check_table(paper, table, systems)
    tables = {table.id for table in paper.tables}
    grounds = {*tables, *(figure.id for figure in paper.figures), *_OTHER_GROUNDS}
    for claim in paper.claims:
        _refer(f"{paper.id} claim {claim.id} rests on", claim.rests_on, grounds)
    for system in paper.systems:
        _refer(f"{paper.id} system {system.id} lists the table", system.tables, tables)


def _check_table(paper: Paper, table: Table, systems: set[str]) -> None:
    where = f"{paper.id}.{table.id}"
    columns = {column.id for column in table.columns}
    _unique(where, "row", (row.id for row in table.rows))
    _unique(where, "column", (column.id for column in table.columns))
    hints = get_type_hints(Column)
    for column in table.columns:
        _refer(f"{where}.{column.id} has the kind", [column.kind], get_args(hints["kind"]))
        _refer(
            f"{where}.{column.id} has the direction",
            [column.direction],
            get_args(hints["direction"]),
        )
    for row in table.rows:
        _refer(f"{where}.{row.id} measures", [row.system], systems)
        _refer(f"{where}.{row.id} comes from", [row.source], paper.sources)
        if columns and set(row.values) != columns:
            wanted = f"the columns {sorted(columns)}, got {sorted(row.values)}"
            raise FactSheetError(f"{where}.{row.id} must have {wanted}")
        _refer(f"{where}.{row.id} does not know the column", row.unknown, row.values)


def _unique(where: str, kind: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise FactSheetError(f"{where} has two of the {kind} {name!r}")
        seen.add(name)


def _refer(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise FactSheetError(f"{what} {name!r}, which is not defined")
