"""The rows of FDConv's Tables 2, 4 and 5 with their exact costs, beside those that are printed."""

from __future__ import annotations

from typing import Any

from repro import papers
from repro.models.rows import Cell
from repro.models.segmentation.costs import segmenter_costs
from repro.models.segmentation.registry import SEGMENTERS

# Column -> the cost, and what one of the column's unit is. The tables that print no costs get the
# same columns.
COLUMNS = {
    "params_m": ("params", 1e6),
    "params_delta_m": ("params_delta", 1e6),
    "flops_g": ("macs", 1e9),
    "flops_delta_g": ("macs_delta", 1e9),
}


def describe() -> dict[str, Any]:
    """Every row of the three tables as plain values, as `repro.models.rows.describe` gives them.

    A base row has no increments. The paper's increments are quoted rounded to a million, which is
    all that their verdict says.
    """
    found: dict[str, Any] = {}
    for name, segmenter in SEGMENTERS.items():
        if segmenter.table is None:
            continue
        paper, _, table = segmenter.table.partition(".")
        values = papers.load(paper).table(table).row(name).values
        counted = segmenter_costs(name)
        costs: dict[str, Any] = {}
        for column, (key, unit) in COLUMNS.items():
            if counted[key] is None:
                continue
            own, printed = counted[key] / unit, values.get(column)
            costs[column] = {"counted": own, "printed": None, "verdict": None, "note": None}
            if isinstance(printed, int | float):
                address = f"{segmenter.table}.{name}.{column}"
                verdict = Cell(address, name, printed, own, _digits(printed)).verdict
                costs[column] |= {"printed": printed, "verdict": verdict}
        found[f"{segmenter.table}.{name}"] = {"network": name, "costs": costs}
    return found


def _digits(printed: float) -> int:
    return len(repr(printed).partition(".")[2]) if isinstance(printed, float) else 0
