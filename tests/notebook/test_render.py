import nbformat
from nbformat import v4

from repro.notebook.render import render

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def test_figures_are_described_by_the_heading_they_stand_under(tmp_path):
    figure = v4.new_output("display_data", {"image/png": PIXEL})
    cells = [
        v4.new_markdown_cell('# Filters\n\nProse.\n\n## What a "filter" sees'),
        v4.new_code_cell("show()", outputs=[figure]),
    ]
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "filters.ipynb")
    page = render(tmp_path / "filters.ipynb").read_text()
    assert "alt='Figure: What a \"filter\" sees'" in page
    assert "<title>filters</title>" in page
    assert "No description has been provided" not in page
