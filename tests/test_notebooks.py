"""Every notebook keeps the form readers rely on, and Run All works with its defaults."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from repro.notebook.parameters import declared

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells_of(path: Path, kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_it_opens_with_its_question_and_what_it_reads_and_writes(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    text = source_of(first)
    assert first["cell_type"] == "markdown"
    assert text.startswith("# ")
    assert "?" in text
    assert "Reads" in text
    assert "Writes" in text


@each_notebook
def test_its_parameters_are_literals_that_the_pipeline_can_set(path):
    defaults = declared(json.loads(path.read_text(encoding="utf-8")), path.name)
    assert str(defaults["out_dir"]).startswith("build/")


@each_notebook
def test_its_cells_are_short_and_define_nothing_long(path):
    for cell in cells_of(path, "code"):
        source = source_of(cell)
        lines = [line for line in source.splitlines() if line.strip()]
        is_parameters = "parameters" in cell["metadata"].get("tags", [])
        assert is_parameters or len(lines) <= 15, f"{len(lines)} lines:\n{source}"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= 10, f"{node.name} has {length} lines; move it to repro/"


@each_notebook
@pytest.mark.parametrize("word", ["os.chdir", "sys.path", "!pip", "%pip", "http://", "https://"])
def test_it_does_not_reach_outside(path, word):
    for cell in cells_of(path, "code"):
        assert word not in source_of(cell)


@pytest.mark.slow
@each_notebook
def test_run_all_works_as_in_a_fresh_jupyterlab(path, monkeypatch):
    # As the pipeline does: beside another job, threads that spin take ten times as long.
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    # JupyterLab starts a notebook in its own folder, papermill in the repository root.
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
