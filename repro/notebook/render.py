"""Executed notebooks as pages: readers need no Jupyter to see what a stage did."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro.files import write_text


def render(executed: Path) -> Path:
    """Convert one executed notebook to self-contained HTML beside it.

    A page that is newer than its notebook is left as it is.

    Returns:
        The page.
    """
    page = executed.with_suffix(".html")
    if page.is_file() and page.stat().st_mtime_ns >= executed.stat().st_mtime_ns:
        return page
    import nbformat  # the pipeline's dependencies, not the library's
    from nbconvert import HTMLExporter

    notebook = nbformat.read(executed, as_version=4)
    _describe_figures(notebook.cells)
    text, _ = HTMLExporter(require_js_url="").from_notebook_node(
        notebook, {"metadata": {"name": executed.stem}}
    )
    write_text(page, text)
    return page


def _describe_figures(cells: Iterable[Any]) -> None:
    """Say in each figure's alternative text under which heading it stands.

    As HTML, since nbconvert's template for PNGs has no place for it.
    """
    heading = "the notebook's start"
    for cell in cells:
        if cell.cell_type == "markdown":
            headings = [line for line in cell.source.splitlines() if line.startswith("#")]
            heading = headings[-1].lstrip("# ") if headings else heading
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", ()):
                alt, image = html.escape(f"Figure: {heading}"), output.data.pop("image/png")
                output.data["text/html"] = f'<img alt="{alt}" src="data:image/png;base64,{image}">'
