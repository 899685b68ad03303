from __future__ import annotations

import json

import nbformat
import pytest

from repro.notebook.clean import clean_file


def saved_by_an_editor(source: str) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(
        source,
        execution_count=7,
        outputs=[nbformat.v4.new_output("stream", text="42")],
        metadata={"tags": ["parameters"], "collapsed": True},
    )
    return nbformat.v4.new_notebook(
        cells=[cell], metadata={"language_info": {"name": "python", "version": "3.12.99"}}
    )


def test_opening_and_saving_changes_no_byte_of_the_cleaned_copy(tmp_path):
    for name in ("one", "two"):  # nbformat draws new random cell ids each time
        nbformat.write(saved_by_an_editor("x = 1"), tmp_path / f"{name}.ipynb")
        clean_file(tmp_path / f"{name}.ipynb", tmp_path / f"{name}.clean.ipynb")
    first, second = (tmp_path / f"{name}.clean.ipynb" for name in ("one", "two"))
    assert (tmp_path / "one.ipynb").read_bytes() != (tmp_path / "two.ipynb").read_bytes()
    assert first.read_bytes() == second.read_bytes()
    nbformat.validate(json.loads(first.read_text()))
    cell = json.loads(first.read_text())["cells"][0]
    assert cell["metadata"] == {"tags": ["parameters"]}
    assert cell["outputs"] == []


def test_a_changed_line_changes_the_cleaned_copy(tmp_path):
    for name, source in (("one", "x = 1"), ("two", "x = 2")):
        nbformat.write(saved_by_an_editor(source), tmp_path / f"{name}.ipynb")
        clean_file(tmp_path / f"{name}.ipynb", tmp_path / f"{name}.clean.ipynb")
    first, second = (tmp_path / f"{name}.clean.ipynb" for name in ("one", "two"))
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.parametrize("text", ["not json", "[]", '{"nbformat": 3, "worksheets": []}'])
def test_what_is_no_notebook_is_named_and_nothing_written(tmp_path, text):
    (tmp_path / "nb.ipynb").write_text(text)
    with pytest.raises(ValueError, match=r"nb\.ipynb is not"):
        clean_file(tmp_path / "nb.ipynb", tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()
