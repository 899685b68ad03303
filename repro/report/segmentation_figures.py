"""The figures of semantic segmentation: predictions, modulation maps, boundaries and spectra."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from repro.report import style
from repro.stats import Estimate, mean_interval

Map = NDArray[Any]
Colours = Sequence[tuple[int, int, int]]

IGNORE = 255
# Cycles per pixel of the layer's input, highest first.
BANDS = ("1/4 to 1/2", "1/8 to 1/4", "1/16 to 1/8", "below 1/16")
_UNLABELLED = (30, 30, 30)


def coloured(labels: Map, colours: Colours) -> Map:
    """(H, W) classes, 255 where there is none, to (H, W, 3) bytes."""
    table = np.full((256, 3), _UNLABELLED, dtype=np.uint8)
    table[: len(colours)] = colours
    return np.asarray(table[labels])


def plot_predictions(
    images: Sequence[Map],
    truths: Sequence[Map],
    predictions: Mapping[str, Sequence[Map]],
    colours: Colours,
    class_names: Sequence[str],
) -> Figure:
    """A row an image: the image, what it shows, and what each method sees, over the image.

    Under a prediction: the share of the labelled pixels that are right.

    Args:
        images: (H, W, 3) bytes.
        truths: (H, W) classes, 255 where there is none.
        predictions: method -> (H, W) of each image.
        colours, class_names: by class.
    Raises:
        ValueError: not as many maps as images, or none.
    """
    counts = {"truths": len(truths), **{name: len(own) for name, own in predictions.items()}}
    wrong = {name: count for name, count in counts.items() if count != len(images)}
    if not images or wrong:
        raise ValueError(f"{len(images)} images need as many maps, at least one; got {counts}")
    labels = (textwrap.fill(style.look(method).label, 12) for method in predictions)
    titles = ["image", "truth", *labels]
    shape = images[0].shape
    figure, axes = plt.subplots(
        len(images),
        len(titles),
        squeeze=False,
        figsize=(1.1 * len(titles), len(images) * (1.1 * shape[0] / shape[1] + 0.25) + 0.9),
    )
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, loc="center", fontsize=8)
    for row, (image, truth) in enumerate(zip(images, truths, strict=True)):
        axes[row, 0].imshow(image)
        axes[row, 1].imshow(coloured(truth, colours))
        for axis, own in zip(axes[row, 2:], predictions.values(), strict=True):
            axis.imshow(image.mean(-1), cmap="gray")
            axis.imshow(coloured(own[row], colours), alpha=0.65)
            known = truth != IGNORE
            right = (own[row] == truth)[known].mean() if known.any() else np.nan
            axis.set_xlabel(f"{right:.0%} right", fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    patches = [
        Patch(color=(red / 255, green / 255, blue / 255), label=name)
        for name, (red, green, blue) in zip(class_names, colours, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=6, fontsize=8)
    return figure


def plot_band_maps(image: Map, maps: Map, edge: Map) -> Figure:
    """One image beside its modulation maps; the object boundaries are drawn in.

    Args:
        image: (H, W, 3) bytes.
        maps: (bands, h, w), highest band first; 1 leaves a band as it is.
        edge: (H, W), true at the pixels on a boundary.
    """
    reach = float(np.abs(maps - 1).max()) or 1.0
    H, W = edge.shape
    figure, axes = plt.subplots(
        1, len(maps) + 1, figsize=(2.2 * (len(maps) + 1), 2.4 * H / W + 0.5)
    )
    axes[0].imshow(image)
    axes[0].set_title("image", loc="center", fontsize=9)
    line = np.ma.masked_where(~edge, edge)
    for axis, own, band in zip(axes[1:], maps, BANDS, strict=False):
        limits = {"vmin": 1 - reach, "vmax": 1 + reach}
        drawn = axis.imshow(own, cmap="PuOr_r", extent=(0, W, H, 0), **limits)
        axis.set_title(f"{band} cycles", loc="center", fontsize=9)
    for axis in axes:
        axis.imshow(line, cmap=ListedColormap(["black"]), alpha=0.55, extent=(0, W, H, 0))
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
    figure.colorbar(drawn, ax=list(axes), label="modulation", fraction=0.03)
    return figure


def plot_boundary_ratios(ratios: pd.DataFrame) -> Figure:
    """Mean map value at boundaries over elsewhere, by band: a dot a seed, the mean's interval.

    Args:
        ratios: columns method, seed, image, band, ratio; see `repro.tasks.segmentation_analysis`.
    """
    figure, axis = plt.subplots(figsize=(6.5, 3.2))
    methods = list(dict.fromkeys(ratios["method"]))
    axis.axhline(1, color=style.BLACK, linewidth=0.8)
    for place, method in enumerate(methods):
        look, own = style.look(method), ratios[ratios["method"] == method]
        shift = 0.5 * ((place + 0.5) / len(methods) - 0.5)
        for band, rows in own.groupby("band"):
            seeds = rows.groupby("seed")["ratio"].mean()
            _estimate(axis, float(str(band)) + shift, mean_interval(list(seeds)), look)
            axis.plot(
                np.full(len(seeds), float(str(band)) + shift), seeds, look.marker, color=look.colour
            )
        axis.plot([], [], look.marker, color=look.colour, label=look.label)
    bands = sorted(set(ratios["band"]))
    axis.set_xticks(bands, [BANDS[band - 1] for band in bands])
    axis.set(xlabel="frequency band (cycles per pixel)", ylabel="at boundaries / elsewhere")
    axis.legend()
    return figure


def plot_spectra(table: pd.DataFrame, title: str = "") -> Figure:
    """Power of features by frequency, before (dashed) and after (solid) a layer; a line a seed.

    Args:
        table: columns method, seed, frequency, before, after.
    """
    figure, axis = plt.subplots(figsize=(6.5, 3.4))
    for (method, _), rows in table.groupby(["method", "seed"], sort=False):
        look = style.look(str(method))
        axis.plot(rows["frequency"], rows["before"], "--", color=look.colour, linewidth=1.2)
        axis.plot(rows["frequency"], rows["after"], "-", color=look.colour)
    for method in dict.fromkeys(table["method"]):
        look = style.look(method)
        axis.plot([], [], "--", color=look.colour, label=f"{look.label}, before")
        axis.plot([], [], "-", color=look.colour, label=f"{look.label}, after")
    axis.set(yscale="log", xlabel="frequency (cycles per pixel of the layer)")
    axis.set(ylabel="share of the power", title=title)
    axis.legend(fontsize=8)
    return figure


def plot_scores(
    figures: Mapping[str, Sequence[float]], floor: float | None = None, metric: str = "mIoU (%)"
) -> Figure:
    """A line a method: a dot a seed, the interval of the mean as a band.

    Args:
        figures: method -> one figure a seed.
        floor: what a prediction that never looks at the image reaches.
    """
    figure, axis = plt.subplots(figsize=(7.0, 1.0 + 0.32 * len(figures)))
    for height, (method, own) in enumerate(figures.items()):
        look = style.look(method)
        found = mean_interval(own)
        if found.low is not None and found.high is not None:
            band = [max(0.0, found.low), min(100.0, found.high)]
            axis.plot(band, [height] * 2, color=look.colour, linewidth=8, alpha=0.25)
        axis.plot(own, [height] * len(own), look.marker, color=look.colour)
    if floor is not None:
        axis.axvline(floor, color=style.BLACK, linestyle="--", linewidth=1)
        axis.text(floor, -0.8, " without looking", fontsize=8, va="center")
    axis.set_yticks(range(len(figures)), [style.look(method).label for method in figures])
    axis.set(xlabel=metric, ylim=(len(figures) - 0.5, -1.2))
    axis.set_xlim(left=0)
    return figure


def _estimate(axis: Any, x: float, estimate: Estimate, look: style.Look) -> None:
    if estimate.low is not None and estimate.high is not None:
        ends = [estimate.low, estimate.high]
        axis.plot([x, x], ends, color=look.colour, linewidth=8, alpha=0.25)
