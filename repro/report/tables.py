"""Tables of the report: which rows are asked for, how one is built from results, and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from repro.files import write_text
from repro.names import require_known
from repro.papers import Row
from repro.report import render
from repro.report.cells import Cell, Measured, ReportTable, TableColumn, TableRow
from repro.report.columns import ColumnKind, Exact, Setup
from repro.report.depth_columns import DepthColumn
from repro.report.result_files import MissingResultError
from repro.report.results import Results
from repro.report.table_specs import TableSpec, specs


def rows_from_params(params: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The tables to build and the rows of each, from params.yaml's `tables:`.

    Raises:
        UnknownNameError: a table or row that does not exist, with the nearest names.
        ValueError: `tables` is missing, or does not map table ids to lists of row ids.
    """
    chosen = params.get("tables")
    if not isinstance(chosen, dict):
        raise ValueError(f"params.yaml must map table ids to row ids under tables, got {chosen!r}")
    for table_id, rows in chosen.items():
        spec = specs()[require_known("table of params.yaml", table_id, specs())]
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"tables.{table_id} must be a list of row ids, got {rows!r}")
        for row in rows:
            require_known(f"row of {table_id}", row, [known.id for known in spec.table.rows])
    return {table_id: tuple(rows) for table_id, rows in chosen.items()}


def build(
    table_id: str,
    results: Results,
    rows: Iterable[str] | None = None,
    published: Results | None = None,
) -> ReportTable:
    """Regenerate one table.

    Args:
        table_id: `<paper>_<table id>`, such as "ddf_table3a".
        results: the tree of our runs.
        rows: ids of the rows, in any order; None takes all.
        published: the runs shipped with the project; shown beside ours where they have the row.
    Raises:
        UnknownNameError: no such table or row.
        MissingResultError: a run is missing; the message names the command that makes it.
    """
    spec = specs()[require_known("table", table_id, specs())]
    chosen = _rows(spec, rows)
    setup = _setup(spec, results)
    beside = replace(setup, results=published) if published else None
    bases = {setup.base_of(row).id for row in chosen} if spec.bases else set()
    return ReportTable(
        id=spec.id,
        title=spec.title,
        caption=spec.table.caption,
        columns=tuple(_column(kind, setup, beside) for kind in spec.kinds),
        rows=tuple(
            TableRow(
                row.id,
                row.name,
                row.system,
                tuple(_cell(kind, row, setup, beside) for kind in spec.kinds),
                base=row.id in bases,
            )
            for row in chosen
        ),
        notes=spec.notes(spec.kinds, chosen, setup, beside),
    )


def rows_that_ran(table_id: str, results: Results, rows: Iterable[str]) -> tuple[str, ...]:
    """Those of `rows` whose runs are in the tree, in the table's order.

    Raises:
        UnknownNameError: no such table or row.
        MissingResultError: a file that all rows need is missing.
    """
    spec = specs()[require_known("table", table_id, specs())]
    setup = _setup(spec, results)
    return tuple(row.id for row in _rows(spec, rows) if setup.was_run(row))


def build_all(
    results: Results, chosen: Mapping[str, Sequence[str]], published: Results | None = None
) -> list[ReportTable]:
    """Regenerate the tables of `chosen` (see `rows_from_params`), in the order of `specs()`."""
    return [build(name, results, chosen[name], published) for name in specs() if name in chosen]


def write(table: ReportTable, folder: Path) -> list[Path]:
    """Write `<folder>/<table id>.csv`, `.md` and `.html`; the bytes depend on the content alone."""
    written = {
        ".csv": render.to_csv(table),
        ".md": render.to_markdown(table),
        ".html": render.to_page(table),
    }
    paths = [folder / f"{table.id}{suffix}" for suffix in written]
    for path, text in zip(paths, written.values(), strict=True):
        write_text(path, text)
    return paths


def _setup(spec: TableSpec, results: Results) -> Setup:
    counts_costs = any(isinstance(kind, Exact) for kind in spec.kinds)
    printed = results.printed_rows(f"{spec.paper}.{spec.table.id}") if counts_costs else {}
    return Setup(spec.table, results, spec.family, spec.bases, printed)


def _rows(spec: TableSpec, rows: Iterable[str] | None) -> tuple[Row, ...]:
    if rows is None:
        return spec.table.rows
    wanted = {spec.table.row(row).id for row in rows}
    return tuple(row for row in spec.table.rows if row.id in wanted)


def _column(kind: ColumnKind, setup: Setup, beside: Setup | None) -> TableColumn:
    column = kind.column(setup.table)
    if isinstance(kind, DepthColumn):
        return replace(column, side_units=kind.side_units(setup, beside))
    return column


def _cell(kind: ColumnKind, row: Row, setup: Setup, beside: Setup | None) -> Cell:
    published: Measured | None = None
    if beside is not None and kind.from_runs:
        try:
            published = kind.measure(row, beside)
        except MissingResultError:
            published = None  # the maintainers did not run this row
    return Cell(kind.paper(row, setup), published, kind.measure(row, setup))
