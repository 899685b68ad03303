"""`python -m repro report`: the tables, verdicts and figures of one scale as one HTML page."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from repro import params, paths
from repro.files import write_text
from repro.names import require_known
from repro.notebook.render import render
from repro.report import claims, html, tables
from repro.report.cells import ReportTable
from repro.report.result_files import MissingResultError
from repro.report.results import Results
from repro.report.table_specs import specs

log = logging.getLogger(__name__)

PUBLISHED = "published"
"""The tree of the maintainers' runs on real datasets, shipped with the project."""

TREES = (*params.SCALES, PUBLISHED)
"""What a report can be about: the results of one scale, or those that were published."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale", help=f"which results, or {PUBLISHED}; the default is params.yaml's scale"
    )
    parser.add_argument("--out", help="the page; the default is results/<scale>/report.html")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out the tables and rows whose runs are missing and say so on the page",
    )


def run(arguments: argparse.Namespace) -> int:
    chosen = params.load()
    scale = require_known("scale", arguments.scale or chosen["scale"], TREES)
    root = paths.results_dir(scale)
    target = paths.resolve(arguments.out) if arguments.out else root / "report.html"
    rows = tables.rows_from_params(chosen)
    shown, missing = gather(root, rows, allow_missing=arguments.allow_missing)
    judged = {paper: claims.judge_all(paper, Results(root)) for paper in claims.tested_papers()}
    figures = sorted([*root.glob("*/figures/*.png"), *root.glob("*/figures/*.svg")])
    text = html.report(
        _title(scale),
        shown,
        judged,
        figures=figures,
        notebooks=executed_notebooks(scale),
        folder=target.parent,
        missing=missing,
    )
    write_text(target, text)
    log.info("%s: %d tables, %d figures", target, len(shown), len(figures))
    return 0


def _title(scale: str) -> str:
    if scale == PUBLISHED:
        return "What was reproduced, in the runs published with the project"
    return f"What was reproduced, at scale “{scale}”"


def published_results() -> Results | None:
    """The maintainers' runs, where the checkout holds any."""
    root = paths.results_dir(PUBLISHED)
    return Results(root) if root.is_dir() else None


def gather(
    root: Path, rows: Mapping[str, Sequence[str]], *, allow_missing: bool
) -> tuple[list[ReportTable], list[str]]:
    """The tables that can be built from the tree at `root`, and why others, or rows, are not there.

    What was published stands beside it, unless that is what `root` is.

    Raises:
        MissingResultError: a run is missing, and `allow_missing` is False.
    """
    results, beside = Results(root), published_results()
    if beside is not None and beside.root == root:
        beside = None
    built: list[ReportTable] = []
    missing: list[str] = []
    for table_id in (name for name in specs() if name in rows):
        try:
            built.append(tables.build(table_id, results, rows[table_id], beside))
        except MissingResultError as error:
            if not allow_missing:
                raise
            missing.append(f"{table_id}: {error}")
            built += _in_part(table_id, results, rows[table_id], beside)
    return built, missing


def _in_part(
    table_id: str, results: Results, rows: Sequence[str], beside: Results | None
) -> list[ReportTable]:
    """The table with the rows that were run; none if more is missing than runs, or all are."""
    try:
        there = tables.rows_that_ran(table_id, results, rows)
        return [tables.build(table_id, results, there, beside)] if there else []
    except MissingResultError:
        return []


def executed_notebooks(scale: str) -> list[Path]:
    """What the pipeline executed at a scale, each as a page beside its notebook."""
    folder = paths.build_dir() / "executed" / scale
    found = [path for path in sorted(folder.glob("*.ipynb")) if not path.stem.endswith(".failed")]
    return [render(path) for path in found]
