"""The figures that are drawn from tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from repro.report import style
from repro.report.cells import ReportTable


@dataclass(frozen=True)
class Comparison:
    """A difference to a base row: the paper's, and ours with its interval."""

    table: str
    row: str
    method: str
    paper: float | None
    ours: float
    low: float | None
    high: float | None
    seeds: int | None


def differences(
    tables: Sequence[ReportTable], columns: Sequence[str] = ("top1_difference",)
) -> list[Comparison]:
    """Every row of `tables` that is compared with a base in one of `columns`, in their order."""
    found = []
    for table in tables:
        positions = [i for i, shown in enumerate(table.columns) if shown.id in columns]
        bases = [row.name for row in table.rows if row.base]
        title = table.title
        for row in table.rows:
            if row.base and len(bases) > 1:  # each has a block of its own
                title = f"{table.title}: {row.name}"
            for position in positions:
                cell = row.cells[position]
                if cell.ours is None or not isinstance(cell.ours.value, int | float):
                    continue
                paper = cell.paper if isinstance(cell.paper, int | float) else None
                ours = cell.ours
                found.append(
                    Comparison(
                        title,
                        row.name,
                        row.system if row.system in style.known_methods() else row.id,
                        None if paper is None else float(paper),
                        float(cell.ours.value),
                        ours.low,
                        ours.high,
                        ours.n,
                    )
                )
    return found


def forest(comparisons: Sequence[Comparison], *, unit: str = "top-1 points") -> Figure:
    """Differences to the base, one line each: ours as a dot with its interval, the paper's hollow.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not comparisons:
        raise ValueError("a forest plot needs at least one comparison, got none")
    with style.applied():
        lines = _lines(comparisons)
        figure = Figure(figsize=(7.0, 0.9 + 0.34 * len(lines)))
        axes = figure.subplots()
        axes.axvline(0, color=style.BLACK, linewidth=0.8)
        axes.set_xlim(*_limits(comparisons))
        for height, entry in enumerate(lines):
            if isinstance(entry, Comparison):
                _draw(axes, height, entry)
        labels = [entry if isinstance(entry, str) else entry.row for entry in lines]
        axes.set_yticks(range(len(lines)), labels)
        for label, entry in zip(axes.get_yticklabels(), lines, strict=True):
            label.set_fontweight("bold" if isinstance(entry, str) else "normal")
        axes.set_ylim(len(lines) - 0.5, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"difference to the base row ({unit})")
        _legend(figure, comparisons)
    return figure


def to_png(figure: Figure) -> bytes:
    """The image, with bytes that depend on the figure alone."""
    with style.applied():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def to_csv(comparisons: Sequence[Comparison]) -> str:
    """The numbers of a forest plot, to lie beside it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(Comparison.__dataclass_fields__)
    for comparison in comparisons:
        values = vars(comparison).values()
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in values])
    return buffer.getvalue()


def _lines(comparisons: Sequence[Comparison]) -> list[Comparison | str]:
    """The comparisons with each table's title above its own."""
    lines: list[Comparison | str] = []
    for comparison in comparisons:
        if comparison.table not in lines:
            lines.append(comparison.table)
        lines.append(comparison)
    return lines


def _limits(comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """Room for every mean and for three quarters of the interval ends; wider ones get an arrow."""
    means = [c.ours for c in comparisons] + [c.paper for c in comparisons if c.paper is not None]
    lows = [c.low for c in comparisons if c.low is not None] or means
    highs = [c.high for c in comparisons if c.high is not None] or means
    low = min(0.0, *means, float(np.quantile(lows, 0.25)))
    high = max(0.0, *means, float(np.quantile(highs, 0.75)))
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _draw(axes: Axes, height: int, entry: Comparison) -> None:
    look = style.look(entry.method)
    if entry.low is not None and entry.high is not None:
        left, right = axes.get_xlim()
        ends = max(entry.low, left), min(entry.high, right)
        axes.plot(ends, [height] * 2, color=look.colour, linewidth=2.5)
        for edge, beyond, arrow in (
            (left, entry.low < left, "<"),
            (right, entry.high > right, ">"),
        ):
            if beyond:
                axes.plot(edge, height, marker=arrow, color=look.colour, clip_on=False)
    axes.plot(entry.ours, height, marker=look.marker, color=look.colour, markersize=7)
    if entry.paper is not None:  # a little above ours, so that neither hides the other
        axes.add_line(_paper_mark([entry.paper], [height - 0.26]))


def _paper_mark(x: list[float], y: list[float]) -> Line2D:
    """A hollow diamond, for what the paper prints."""
    mark = Line2D(x, y, linestyle="", marker="d", markersize=6.5, zorder=3)
    mark.set(color="white", markeredgecolor=style.BLACK, label="paper")
    return mark


def _legend(figure: Figure, comparisons: Sequence[Comparison]) -> None:
    handles = [Line2D([], [], color=style.BLUE, marker="o", label="ours, 95 % interval")]
    if any(comparison.paper is not None for comparison in comparisons):
        handles.append(_paper_mark([], []))
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
