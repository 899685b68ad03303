"""`python -m repro run`: one notebook, its parameters from params.yaml and the command line."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from repro.files import read_json
from repro.notebook.execute import NotebookFailedError, execute
from repro.notebook.parameters import declared, parse_assignments
from repro.params import load_section


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--params", metavar="SECTION", help="section of params.yaml to take")
    parser.add_argument("--scale", default="smoke", help="smoke, tour, real or paper")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="assignments")
    parser.add_argument("--out", help="the run directory, passed as the parameter out_dir")
    parser.add_argument("--executed", type=Path, help="where the executed copy goes")


def run(arguments: argparse.Namespace) -> int:
    notebook: Path = arguments.notebook
    if not notebook.is_file():
        raise FileNotFoundError(f"no notebook {notebook}; looked from {Path.cwd()}")
    defaults = declared(read_json(notebook), notebook.name)
    given = load_section(arguments.params, arguments.scale) if arguments.params else {}
    if "scale" in defaults:
        given["scale"] = arguments.scale
    given |= parse_assignments(arguments.assignments, defaults, notebook.name)
    if arguments.out:
        given["out_dir"] = arguments.out
    executed = arguments.executed or Path("build", "executed", notebook.name)
    _show_cell_output_live()
    try:
        execute(notebook, given, executed)
    except NotebookFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


class _CellOutput(logging.Formatter):
    """The text itself: no prefix, no ruler, and not papermill's newline after the cell's own."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        return text.rstrip("-") if text.startswith("Executing Cell") else text.rstrip("\n")


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Ending Cell")


def _show_cell_output_live() -> None:
    """papermill logs what cells print, as they print it; show that on standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_CellOutput())
    handler.addFilter(_is_news)
    logger = logging.getLogger("papermill")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
