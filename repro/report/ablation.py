"""The plots of an ablation: what each variant changes, and whether it trained steadily."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from repro.report import style
from repro.stats import mean_interval


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
