"""A notebook without what changes when it is merely opened and saved.

Pipeline stages depend on the cleaned copy: saving a notebook with outputs must retrain nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from repro.files import read_json, write_text


def cleaned(notebook: dict[str, Any]) -> dict[str, Any]:
    """Source, cell types and tags; nothing else.

    Outputs, counts, editor metadata and the kernel's minor version go; cell ids become their
    position.
    """
    cells = []
    for position, cell in enumerate(notebook["cells"], start=1):
        tags = cell.get("metadata", {}).get("tags")
        kept: dict[str, Any] = {
            "cell_type": cell["cell_type"],
            "id": f"cell-{position:02d}",
            "metadata": {"tags": tags} if tags else {},
            "source": "".join(cell["source"]).splitlines(keepends=True),
        }
        if cell["cell_type"] == "code":
            kept |= {"execution_count": None, "outputs": []}
        cells.append(kept)
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def clean_file(source: Path, target: Path) -> None:
    """Write the cleaned copy of `source` to `target`, atomically.

    Raises:
        ValueError: `source` is not a notebook.
    """
    notebook = read_json(source)
    if not isinstance(notebook, dict) or notebook.get("nbformat") != 4 or "cells" not in notebook:
        raise ValueError(f"{source} is not a version 4 notebook")
    text = json.dumps(cleaned(notebook), indent=1, sort_keys=True, ensure_ascii=False)
    write_text(target, text + "\n")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="notebook")
    parser.add_argument("target", type=Path, help="cleaned copy; may be the notebook itself")


def run(arguments: argparse.Namespace) -> int:
    clean_file(arguments.source, arguments.target)
    return 0
