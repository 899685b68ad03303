"""A self-contained HTML page: its style is inside, nothing is fetched."""

from __future__ import annotations

from html import escape
from importlib import resources


def page(title: str, body: str) -> str:
    """A whole document around `body`, readable on a narrow screen, in the dark and on paper."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_css()}</style>\n</head>\n"
        f'<body class="report">\n{body}</body>\n</html>\n'
    )


def fragment(body: str) -> str:
    """`body` in the page's dress, to be shown inside another page, such as a notebook's output."""
    return f'<style>\n{_css()}</style>\n<div class="report">\n{body}</div>\n'


def _css() -> str:
    return resources.files("repro.report").joinpath("page.css").read_text(encoding="utf-8")
