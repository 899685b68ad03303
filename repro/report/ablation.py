"""What an ablation shows: how each variant differs from its base, and how steadily it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.report import style
from repro.stats import Estimate, mean_interval


def plot_differences(paired: Mapping[str, Mapping[int, float]], base: str) -> Figure:
    """One line a variant: a dot a seed, and the 95 % interval of their mean as a band.

    Args:
        paired: method -> seed -> its top-1 less the base's; see
            `repro.tasks.classification.differences`. A method without seeds broke down in all.
        base: the method that all are compared with.
    """
    figure, axis = plt.subplots(figsize=(7, 0.8 + 0.55 * len(paired)))
    axis.axvline(0, color=style.GREY, linewidth=1)
    for height, (method, differences) in enumerate(paired.items()):
        look, own = style.look(method), list(differences.values())
        axis.plot(own, [height] * len(own), look.marker, color=look.colour, zorder=3)
        if not own:
            axis.text(0, height, " broke down in every seed", va="center")
            continue
        estimate = mean_interval(own)
        if estimate.low is not None and estimate.high is not None:
            band = [estimate.low, estimate.high]
            axis.plot(band, [height] * 2, color=look.colour, linewidth=9, alpha=0.3)
    axis.set_yticks(range(len(paired)), [style.look(method).label for method in paired])
    axis.invert_yaxis()
    axis.set(ylim=(len(paired) - 0.5, -0.5), title=f"Variants less {style.look(base).label}")
    axis.set_xlabel("difference of top-1 accuracy, percentage points")
    return figure


def plot_blocks(blocks: Mapping[str, Mapping[str, Mapping[int, float]]]) -> Figure:
    """Several comparisons, each with a base of its own, one below the other on one scale.

    A line is a method: a dot a seed, and the 95 % interval of their mean as a band, which is dark
    where it misses zero and ends in an arrow where it leaves the picture.

    Args:
        blocks: title -> method -> seed -> its top-1 less that of the block's base. A method without
            seeds broke down in all.
    """
    counts = [len(paired) for paired in blocks.values()]
    figure, axes = plt.subplots(
        len(blocks),
        sharex=True,
        squeeze=False,
        height_ratios=counts,
        figsize=(7, 0.6 * len(blocks) + 0.3 * sum(counts)),
    )
    limits = _limits([list(own.values()) for paired in blocks.values() for own in paired.values()])
    for axis, (title, paired) in zip(axes[:, 0], blocks.items(), strict=True):
        axis.axvline(0, color=style.GREY, linewidth=1)
        for height, (method, differences) in enumerate(paired.items()):
            _draw_line(axis, height, method, list(differences.values()), limits)
        axis.set_yticks(range(len(paired)), [style.look(method).label for method in paired])
        axis.set(xlim=limits, ylim=(len(paired) - 0.5, -0.5), title=title)
        axis.grid(axis="y", visible=False)
    axis.set_xlabel("top-1 accuracy less the base's, percentage points")
    return figure


def tabulate(
    blocks: Mapping[str, Sequence[str]], metrics: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Accuracy, difference to the base and time of a run, a line a method.

    Args:
        blocks: title -> methods.
        metrics: method -> its figures, see `repro.tasks.classification.run_variants`.
    """
    rows = []
    for title, methods in blocks.items():
        for method in methods:
            own = metrics[method]
            found = own["mean"].get("top1")
            seconds = [value for value in own["train_seconds"] if value is not None]
            rows.append(
                {
                    "table": title,
                    "network": style.look(method).label,
                    "top-1, %": str(Estimate(**found)) if found else "broke down",
                    "less the base's, points": _difference(method, own),
                    "seconds a run": f"{np.mean(seconds):.1f}" if seconds else "",
                }
            )
    return pd.DataFrame(rows).set_index(["table", "network"])


def plot_gradient_norms(history: pd.DataFrame) -> Figure:
    """The largest gradient norm of each epoch, one line a seed.

    Args:
        history: columns method, seed, epoch, grad_norm_max; see
            `repro.training.runs.history_table`.
    """
    figure, axis = plt.subplots()
    for method, of_method in history.groupby("method", sort=False):
        look = style.look(str(method))
        for number, (_, rows) in enumerate(of_method.groupby("seed", sort=False)):
            axis.plot(
                rows["epoch"],
                rows["grad_norm_max"],
                color=look.colour,
                marker=look.marker,
                label=None if number else look.label,
            )
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    axis.set(xlabel="epoch", ylabel="largest gradient norm", yscale="log", title="Stability")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for write_numbers in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        write_numbers("{x:g}")
    return figure


def _limits(differences: Sequence[Sequence[float]]) -> tuple[float, float]:
    """A symmetric range with room for every dot and for nine of ten ends of intervals."""
    dots = [abs(value) for own in differences for value in own]
    estimates = [mean_interval(own) for own in differences if own]
    ends = [abs(end) for e in estimates for end in (e.low, e.high) if end is not None]
    reach = max([1.0, *dots, float(np.quantile(ends, 0.9)) if ends else 0.0])
    return -1.05 * reach, 1.05 * reach


def _draw_line(
    axis: Axes, height: int, method: str, own: Sequence[float], limits: tuple[float, float]
) -> None:
    look = style.look(method)
    dots: dict[str, Any] = {
        "markersize": 6,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "zorder": 3,
    }
    axis.plot(own, [height] * len(own), look.marker, color=look.colour, **dots)
    if not own:
        axis.text(0, height, " broke down in every seed", va="center")
        return
    estimate = mean_interval(own)
    if estimate.low is None or estimate.high is None:
        return
    misses_zero = estimate.low > 0 or estimate.high < 0
    ends = max(estimate.low, limits[0]), min(estimate.high, limits[1])
    axis.plot(ends, [height] * 2, color=look.colour, linewidth=8, alpha=0.6 if misses_zero else 0.2)
    for edge, leaves, arrow in (
        (limits[0], estimate.low < limits[0], "<"),
        (limits[1], estimate.high > limits[1], ">"),
    ):
        if leaves:
            axis.plot(edge, height, arrow, color=look.colour, clip_on=False)


def _difference(method: str, own: Mapping[str, Any]) -> str:
    if method == own["base"]:
        return "base"
    return str(Estimate(**own["difference_top1"])) if own["difference_top1"] else "broke down"
