"""Exact parameters and operations of the full-size segmenters, counted on the meta device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from repro import papers
from repro.complexity import count
from repro.models.rows import Cell, digits_of
from repro.models.segmentation.registry import SEGMENTERS, build_segmenter
from repro.names import require_known

# Column -> the exact cost in its unit; Tables 4 and 5, which print no costs, get the same columns.
COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "params_m": lambda cost: cost["params"] / 1e6,
    "params_delta_m": lambda cost: cost["params_delta"] / 1e6,
    "flops_g": lambda cost: cost["macs"] / 1e9,
    "flops_delta_g": lambda cost: cost["macs_delta"] / 1e9,
}

# Table -> classes of its dataset, and height and width of the image that operations are counted
# for: the crops that the authors of the architectures train on.
SETTINGS: dict[str | None, tuple[int, tuple[int, int]]] = {
    "fdconv.table2": (150, (512, 512)),  # ADE20K
    "fdconv.table4": (19, (512, 1024)),  # Cityscapes
    "fdconv.table5": (150, (640, 640)),  # ADE20K
    None: (150, (512, 512)),
}


@functools.cache
def segmenter_costs(
    name: str, height: int | None = None, width: int | None = None
) -> dict[str, Any]:
    """What a full-size row costs, and what its layer adds.

    Args:
        name: a row id of `SEGMENTERS`.
        height, width: of the image; None for those of `SETTINGS`.
    Returns:
        "params" (all learnt values, UPerNet's auxiliary head included), "backbone_params", "macs"
        (multiply-accumulates, `repro.complexity`; bilinear sampling is not among them), "fft"
        (operations of Fourier transforms), "uncounted" (operators without a rule), "num_classes",
        "input_size"; "params_delta" and "macs_delta" over the base row, None for a base.
    Raises:
        UnknownNameError: no such row.
        ImportError: transformers is not installed.
    """
    row = SEGMENTERS[require_known("segmenter", name, SEGMENTERS)]
    num_classes, (default_height, default_width) = SETTINGS[row.table]
    size = (1, 3, height or default_height, width or default_width)
    with torch.device("meta"):
        model = build_segmenter(name, num_classes=num_classes, size="full")
    use_plain_attention(model)
    cost = count(model, size)
    found: dict[str, Any] = {
        "params": cost.params,
        "backbone_params": sum(p.numel() for p in model.backbone.parameters()),
        "macs": cost.macs,
        "fft": cost.operations.get("fft", 0),
        "uncounted": list(cost.uncounted),
        "num_classes": num_classes,
        "input_size": list(size),
        "params_delta": None,
        "macs_delta": None,
    }
    if row.base is not None:
        base = segmenter_costs(row.base, size[2], size[3])
        found |= {f"{key}_delta": found[key] - base[key] for key in ("params", "macs")}
    return found


def describe(*tables: str) -> dict[str, Any]:
    """Costs of every row of the tables, as `repro.models.rows.describe` gives those of others.

    Args:
        tables: `<paper>.<table>`; none takes all three.
    Returns:
        Address of a row -> "network", its row id, and "costs" by column: "counted", and "printed"
        and "verdict", None where the sheet has no figure. The increments that it has are rounded to
        a million. A base row has no increments.
    """
    found: dict[str, Any] = {}
    for name, segmenter in SEGMENTERS.items():
        if segmenter.table is None or (tables and segmenter.table not in tables):
            continue
        paper, _, table_id = segmenter.table.partition(".")
        table = papers.load(paper).table(table_id)
        cost = segmenter_costs(name)
        columns = [c for c in COLUMNS if segmenter.base is not None or "delta" not in c]
        costs = {}
        for column in columns:
            counted, printed = COLUMNS[column](cost), table.row(name).values.get(column)
            verdict = None
            if isinstance(printed, float | int):
                address = f"{segmenter.table}.{name}.{column}"
                verdict = Cell(address, name, printed, counted, digits_of(table, column)).verdict
            costs[column] = {
                "counted": counted,
                "printed": printed,
                "verdict": verdict,
                "note": None,
            }
        found[f"{segmenter.table}.{name}"] = {"network": name, "costs": costs}
    return found


def use_plain_attention(model: nn.Module) -> None:
    """Let transformers' layers write attention out, so that its products can be counted."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if hasattr(config, "_attn_implementation"):
            config._attn_implementation = "eager"
