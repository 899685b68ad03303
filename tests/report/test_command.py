"""`python -m repro report` writes one page from params.yaml and a results tree."""

from __future__ import annotations

import argparse
import base64
import shutil
from pathlib import Path

import nbformat
import pytest
import trees

from repro.names import UnknownNameError
from repro.report import command, html
from repro.report.result_files import MissingResultError

PARAMS = """\
scale: smoke
tables:
  ddf_table1: [conv, dwconv, dyfilter, ddf]
  ddf_table3a: [base_model, ddf]
"""
# The smallest PNG there is: one transparent pixel.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder that passes for a checkout: dvc.yaml, repro/, params.yaml."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "repro").mkdir()
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(arguments))


def test_the_page_holds_tables_verdicts_and_figures(checkout):
    root = trees.whole(checkout / "results" / "smoke")
    (root / "ddf_operator" / "figures").mkdir()
    (root / "ddf_operator" / "figures" / "filters_at_work.png").write_bytes(PIXEL)
    executed = checkout / "build" / "executed" / "smoke"
    executed.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(), executed / "90_tables.ipynb")
    assert report() == 0
    text = (root / "report.html").read_text()
    assert 'id="ddf_table1"' in text
    assert 'id="ddf_table3a"' in text
    assert "ddf_table3b" not in text, "params.yaml does not ask for it"
    assert '<span class="verdict reproduced">reproduced</span>' in text
    assert all(f'id="claims-{paper}"' in text for paper in ("ddf", "fdconv"))
    assert "filters at work" in text
    assert "data:image/png;base64," in text
    assert 'href="../../build/executed/smoke/90_tables.html"' in text
    assert "http" not in text, "the page fetches nothing"
    before = (root / "report.html").read_bytes()
    assert report() == 0
    assert (root / "report.html").read_bytes() == before


def test_a_missing_run_is_an_error_unless_it_is_allowed(checkout):
    trees.whole(checkout / "results" / "smoke")
    (checkout / "results" / "smoke" / "costs.json").unlink()
    with pytest.raises(MissingResultError, match=r"costs\.json is missing; make it with: dvc"):
        report()
    assert report("--allow-missing", "--out", "page.html") == 0
    text = (checkout / "page.html").read_text()
    assert "Not there yet" in text
    assert "ddf_table3a: " in text
    assert 'id="ddf_table1"' in text


def test_a_table_goes_without_the_rows_that_were_not_run(checkout):
    root = trees.whole(checkout / "results" / "smoke")
    shutil.rmtree(root / "classification" / "ddf_resnet50")
    rows = {"ddf_table3a": ("base_model", "ddf")}
    with pytest.raises(MissingResultError, match="ddf_resnet50"):
        command.gather(root, rows, allow_missing=False)
    (table,), (why,) = command.gather(root, rows, allow_missing=True)
    assert [row.id for row in table.rows] == ["base_model"]
    assert "ddf_resnet50" in why
    shutil.rmtree(root / "classification" / "resnet50")
    assert command.gather(root, rows, allow_missing=True)[0] == []


def test_an_unknown_scale_is_refused(checkout):
    with pytest.raises(UnknownNameError, match="unknown scale 'smok'; did you mean smoke"):
        report("--scale", "smok")


def test_executed_notebooks_become_pages_and_failed_ones_do_not(checkout):
    folder = checkout / "build" / "executed" / "tour"
    folder.mkdir(parents=True)
    for name in ("a", "b", "b.failed"):
        cells = [nbformat.v4.new_markdown_cell(f"notebook {name}")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")
    assert command.executed_notebooks("tour") == [folder / "a.html", folder / "b.html"]
    assert "notebook a" in (folder / "a.html").read_text()
    (folder / "a.html").write_text("newer than its notebook")
    command.executed_notebooks("tour")
    assert (folder / "a.html").read_text() == "newer than its notebook"


def test_published_results_are_used_where_there_are_any(checkout):
    assert command.published_results() is None
    (checkout / "results" / "published").mkdir(parents=True)
    assert command.published_results().root == checkout / "results" / "published"


def test_the_published_runs_have_a_page_of_their_own(checkout):
    published = trees.whole(checkout / "results" / "published")
    assert report("--scale", "published") == 0
    text = (published / "report.html").read_text()
    assert "in the runs published with the project" in text
    assert "Published with this project" not in text, "they would stand beside themselves"


def test_text_is_escaped(tmp_path):
    page = html.report("<smoke>", [], {}, folder=tmp_path, missing=["a < b"])
    assert "<smoke>" not in page
    assert "a &lt; b" in page
