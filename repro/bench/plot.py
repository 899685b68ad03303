"""Rows of a benchmark at a glance: time in copies, by shape and method, with the goals."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from repro.bench.goals import GOALS, Row
from repro.report import style
from repro.report.style import Look

LOOKS = {
    "ddf_operator": style.look("ddf"),
    "depthwise_operator": style.look("dwconv"),
    "conv_operator": style.look("conv"),
    "ddf_compiled": Look(style.PURPLE, "P", "DDF, torch.compile"),
    "ddf_unfold": style.look("ddf_unfold"),
}
TITLES = {
    "forward": "Forward",
    "backward": "Backward",
    "forward_backward": "Forward + backward",
}


def draw_ratios(figure: Figure, rows: Sequence[Row], *, kernel_size: int = 3) -> None:
    """A panel for each mode, a line for each shape, a marker for each method.

    Args:
        rows: of `repro.bench.measure`; shapes without a row of "copy" are left out.
    """
    rows = [row for row in rows if row["kernel_size"] == kernel_size]
    copies = {row["shape"]: row["median_ms"] for row in rows if row["op"] == "copy"}
    modes = [mode for mode in TITLES if any(row["mode"] == mode for row in rows)]
    panels = figure.subplots(1, len(modes), sharey=True, squeeze=False)[0]
    heights = {shape: height for height, shape in enumerate(reversed(copies))}
    for axis, mode in zip(panels, modes, strict=True):
        for row in rows:
            if row["mode"] == mode and row["op"] in LOOKS and row["shape"] in copies:
                look = LOOKS[row["op"]]
                ratio = row["median_ms"] / copies[row["shape"]]
                axis.plot(ratio, heights[row["shape"]], look.marker, color=look.colour, alpha=0.9)
        _draw_goals(axis, heights, mode, kernel_size)
        axis.axvline(1, color=style.GREY, linewidth=1)
        axis.set(xscale="log", title=TITLES[mode], xlabel="time, in copies")
        axis.xaxis.set_major_locator(LogLocator())
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
    panels[0].set_yticks(list(heights.values()), list(heights))
    panels[0].set_ylim(-0.6, len(heights) - 0.4)
    drawn = {row["op"] for row in rows}
    _draw_legend(figure, [look for op, look in LOOKS.items() if op in drawn])


def _draw_goals(axis: Axes, heights: dict[str, int], mode: str, kernel_size: int) -> None:
    """A bar at what the kernels may take at most, on the shapes that have such a goal."""
    for goal in GOALS:
        if (goal.over, goal.mode) == ("copy", mode):
            for shape, height in heights.items():
                if goal.applies(shape, kernel_size):
                    axis.plot(
                        [goal.limit] * 2,
                        [height - 0.35, height + 0.35],
                        color=style.VERMILION,
                        linewidth=2,
                    )


def _draw_legend(figure: Figure, looks: Sequence[Look]) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=look.marker, color=look.colour, label=look.label)
        for look in looks
    ]
    goal = Line2D([], [], color=style.VERMILION, linewidth=2, label="goal: no more")
    copy = Line2D([], [], color=style.GREY, linewidth=1, label="copy")
    figure.legend(handles=[*handles, goal, copy], loc="outside lower center", ncols=4)
