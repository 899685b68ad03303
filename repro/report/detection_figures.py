"""The figures of detection: what was detected, precision and recall, and average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from repro.data.detection_images import DetectionImage
from repro.report import style
from repro.stats import mean_interval

Array = NDArray[Any]

_CLASSES = (
    style.ORANGE,
    style.SKY,
    style.GREEN,
    style.VERMILION,
    style.PURPLE,
    style.BLUE,
    style.YELLOW,
)


@dataclass(frozen=True)
class Drawn:
    """The n objects of one image, as they are or as a detector finds them.

    Attributes:
        boxes: (n, 4): x1, y1, x2, y2 in pixels.
        labels: (n,), from 1 on.
        masks: (n, H, W) bool, or None.
    """

    boxes: Array
    labels: Array
    masks: Array | None = None

    @classmethod
    def truth(cls, image: DetectionImage, *, masks: bool = True) -> Drawn:
        """What the annotations say, with masks if they have them."""
        return cls(image.boxes, image.labels, image.masks if masks else None)

    @classmethod
    def found(cls, prediction: Mapping[str, Array], count: int) -> Drawn:
        """The `count` best detections, or all if there are fewer; see `DetectorRuns.detect`."""
        kept = np.argsort(-prediction["scores"], kind="stable")[:count]
        masks = prediction["masks"][kept] if "masks" in prediction else None
        return cls(prediction["boxes"][kept], prediction["labels"][kept], masks)


def plot_detections(
    images: Sequence[DetectionImage], rows: Mapping[str, Sequence[Drawn]], names: Sequence[str]
) -> Figure:
    """One column an image, one row a detector; boxes and masks in the colour of their class.

    Args:
        images: at least one.
        rows: title -> what is drawn on each image.
        names: of the classes, by label less 1.
    Raises:
        ValueError: no image, or a row has another number of them.
    """
    wrong = {name: len(own) for name, own in rows.items() if len(own) != len(images)}
    if wrong or not images:
        raise ValueError(f"every row must have the {len(images)} images, got {wrong}")
    figure, axes = plt.subplots(
        len(rows),
        len(images),
        squeeze=False,
        figsize=(1.8 * len(images) + 0.3, 1.8 * len(rows) + 0.5),
    )
    seen: set[int] = set()
    for height, (title, drawn) in enumerate(rows.items()):
        axes[height, 0].set_ylabel(title)
        for axis, image, own in zip(axes[height], images, drawn, strict=True):
            _draw(axis, image.image, own)
            seen |= {int(label) for label in own.labels}
    handles = [
        Line2D([], [], color=_colour(label), linewidth=3, label=names[label - 1])
        for label in sorted(seen)
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))
    return figure


def plot_curves(curves: Mapping[str, Array]) -> Figure:
    """Precision against recall at an overlap of one half; one line a detector.

    Args:
        curves: method -> (101,), see `repro.tasks.detection_metric.AveragePrecision.curve`.
    """
    figure, axis = plt.subplots(figsize=(5.4, 3.6))
    for method, precision in curves.items():
        look = style.look(method)
        recall = np.linspace(0, 1, len(precision))
        label = f"{look.label}: {100 * precision.mean():.1f}"
        axis.plot(recall, precision, color=look.colour, label=label)
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title("At an overlap of one half (in the legend: AP50, %)")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plot_average_precision(
    blocks: Mapping[str, Mapping[str, Mapping[int, float]]],
    floors: Mapping[str, float],
    *,
    label: str = "AP, %",
) -> Figure:
    """Average precision of every detector: a dot a seed, the 95 % interval of their mean a band.

    Args:
        blocks: title -> method -> seed -> average precision; without seeds it broke down in all.
        floors: title -> what a detector without a network reaches: a dashed line.
    """
    counts = [len(own) for own in blocks.values()]
    figure, axes = plt.subplots(
        len(blocks),
        squeeze=False,
        height_ratios=counts,
        figsize=(7, 0.75 * len(blocks) + 0.32 * sum(counts)),
    )
    for axis, (title, methods) in zip(axes[:, 0], blocks.items(), strict=True):
        values = [value for own in methods.values() for value in own.values()]
        top = 1.15 * max([*values, floors.get(title, 0.0), 1e-3])
        if title in floors:
            axis.axvline(floors[title], color=style.BLACK, linewidth=1, linestyle="--")
        for height, (method, own) in enumerate(methods.items()):
            _draw_line(axis, height, method, list(own.values()), top)
        names = [style.look(method).label for method in methods]
        axis.set_yticks(range(len(methods)), names)
        axis.set(xlim=(0, top), ylim=(len(methods) - 0.5, -0.5), title=title)
        axis.grid(axis="y", visible=False)
    axis.set_xlabel(label)
    return figure


def _draw(axis: Axes, image: Array, shown: Drawn) -> None:
    axis.imshow(image)
    axis.set(xticks=[], yticks=[])
    for place, (box, label) in enumerate(zip(shown.boxes, shown.labels, strict=True)):
        colour = _colour(int(label))
        x1, y1, x2, y2 = (float(side) for side in box)
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour))
        if shown.masks is not None:
            cover = np.zeros((*shown.masks[place].shape, 4))
            cover[shown.masks[place]] = (*_rgb(colour), 0.45)
            axis.imshow(cover)


def _draw_line(axis: Axes, height: int, method: str, own: Sequence[float], top: float) -> None:
    look = style.look(method)
    axis.plot(own, [height] * len(own), look.marker, color=look.colour, zorder=3, clip_on=False)
    if not own:
        axis.text(0, height, " broke down in every seed", va="center")
        return
    estimate = mean_interval(own)
    if estimate.low is not None and estimate.high is not None:
        ends = max(estimate.low, 0.0), min(estimate.high, top)
        axis.plot(ends, [height] * 2, color=look.colour, linewidth=8, alpha=0.3)


def _colour(label: int) -> str:
    return _CLASSES[(label - 1) % len(_CLASSES)]


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
