"""Executed notebooks as pages: readers need no Jupyter to see what a stage did."""

from __future__ import annotations

from pathlib import Path

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
    from nbconvert import HTMLExporter  # the pipeline's dependency, not the library's

    html, _ = HTMLExporter(require_js_url="").from_filename(str(executed))
    write_text(page, html)
    return page
