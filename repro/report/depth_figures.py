"""The figures of joint depth upsampling: example crops as in Figure 7 of DDF, and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from repro.report import style
from repro.stats import Estimate

Map = NDArray[Any]

_UNKNOWN = "#d0d0d0"  # a pixel whose true depth is not known
_DOTS: dict[str, Any] = {
    "markersize": 6,
    "markeredgecolor": "white",
    "markeredgewidth": 0.6,
    "zorder": 3,
}
# Where both lie on one spot, both are seen.
_FILLED: dict[str, Any] = {"markersize": 4.5, "zorder": 4}
_HOLLOW: dict[str, Any] = {"markersize": 8, "markerfacecolor": "none", "zorder": 3}


@dataclass(frozen=True)
class DepthExample:
    """One test image as several methods upsample it, or a crop of it.

    Attributes:
        name: shown at its left.
        low: (H / factor, W / factor), what the methods start from.
        rgb: (H, W, 3), uint8.
        truth: (H, W), NaN where unknown.
        predictions: method -> (H, W).
        crop: top, left, height and width of what is shown, in pixels of `truth` and multiples of
            the factor; None for all.
    """

    name: str
    low: Map
    rgb: Map
    truth: Map
    predictions: Mapping[str, Map]
    crop: tuple[int, int, int, int] | None = None

    def cropped(self) -> DepthExample:
        """The part that is shown.

        Raises:
            ValueError: sizes that do not belong together, or a crop that leaves the image, does not
                start and end on pixels of `low`, or has no known depth.
        """
        H, W = self.truth.shape
        factor = max(1, H // self.low.shape[0])
        shapes = {"rgb": self.rgb.shape[:2], **{k: v.shape for k, v in self.predictions.items()}}
        wrong = {name: shape for name, shape in shapes.items() if shape != (H, W)}
        if wrong or self.low.shape != (H // factor, W // factor) or H % factor or W % factor:
            found = f"{wrong}, low {self.low.shape}"
            raise ValueError(f"{self.name}: all maps must fit truth {(H, W)}, got {found}")
        top, left, height, width = crop = self.crop or (0, 0, H, W)
        inside = (
            min(top, left) >= 0 < min(height, width) and top + height <= H and left + width <= W
        )
        if not inside or any(end % factor for end in crop):
            raise ValueError(
                f"{self.name}: crop must lie in {(H, W)} and be multiples of {factor}, got {crop}"
            )
        window = slice(top, top + height), slice(left, left + width)
        coarse = tuple(slice(axis.start // factor, axis.stop // factor) for axis in window)
        if np.isnan(self.truth[window]).all():
            raise ValueError(f"{self.name}: no depth is known in the crop {crop}")
        kept = {method: values[window] for method, values in self.predictions.items()}
        return DepthExample(self.name, self.low[coarse], self.rgb[window], self.truth[window], kept)


def plot_examples(examples: Sequence[DepthExample], unit: str, scale: float = 1.0) -> Figure:
    """Figure 7: input, guidance, the methods and the truth, and below each method where it errs.

    Depth has a scale for each example, errors one for all of them; it ends where 2 % of the errors
    shown are larger. The number under a map of errors is the RMSE of what is shown.

    Args:
        examples: each with the same methods.
        unit: of depth times `scale`.
        scale: from stored depth to `unit`.
    Raises:
        ValueError: no example, different methods, and what `DepthExample.cropped` raises.
    """
    if not examples or not examples[0].predictions:
        raise ValueError("plot_examples needs at least one example of at least one method")
    methods = list(examples[0].predictions)
    for example in examples:
        if list(example.predictions) != methods:
            raise ValueError(
                f"{example.name} must have the methods {methods}, got {[*example.predictions]}"
            )
    shown = [example.cropped() for example in examples]
    errors = [
        [scale * (example.predictions[method] - example.truth) for method in methods]
        for example in shown
    ]
    sizes = np.concatenate([np.abs(error).ravel() for own in errors for error in own])
    largest = float(np.nanpercentile(sizes, 98)) or 1.0
    columns = len(methods) + 3
    height = sum(example.truth.shape[0] / example.truth.shape[1] for example in shown)
    figure, axes = plt.subplots(
        2 * len(shown),
        columns,
        squeeze=False,
        figsize=(1.45 * columns + 0.8, 2 * 1.45 * height + 0.45 * len(shown)),
        height_ratios=[e.truth.shape[0] / e.truth.shape[1] for e in shown for _ in range(2)],
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
    for row, (example, own) in enumerate(zip(shown, errors, strict=True)):
        drawn = _draw_example(axes[2 * row : 2 * row + 2], example, own, largest, unit, scale)
        if row == 0:
            titles = ["input", "guidance", *(style.look(m).label for m in methods), "ground truth"]
            for axis, title in zip(axes[0], titles, strict=True):
                axis.set_title(title, loc="center", fontsize=9)
    bar = figure.colorbar(drawn, ax=axes[:, -1], extend="max", fraction=0.12, aspect=25)
    bar.set_label(f"absolute error ({unit})")
    return figure


def plot_errors_by_factor(
    errors: Mapping[str, Mapping[int, Estimate]],
    unit: str,
    printed: Mapping[str, Mapping[int, float]] | None = None,
) -> Figure:
    """A panel a factor, a line a method: its error with the interval as a band.

    Args:
        errors: method -> factor -> error.
        unit: of the errors; `printed` must be in the same.
        printed: the paper's errors, drawn as hollow diamonds.
    Raises:
        ValueError: nothing to draw.
    """
    factors = sorted({factor for own in errors.values() for factor in own})
    if not factors:
        raise ValueError("plot_errors_by_factor needs at least one error, got none")
    figure, axes = plt.subplots(
        1, len(factors), sharey=True, squeeze=False, figsize=(7.5, 1.0 + 0.3 * len(errors))
    )
    for axis, factor in zip(axes[0], factors, strict=True):
        for height, (method, own) in enumerate(errors.items()):
            if factor in own:
                _draw_estimate(axis, height, method, own[factor])
            if printed and factor in printed.get(method, {}):
                axis.add_line(_printed_mark(printed[method][factor], height))
        axis.set_xlim(0, 1.07 * axis.dataLim.x1)
        axis.set(title=f"{factor}×", xlabel=f"RMSE ({unit})")
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_yticks(range(len(errors)), [style.look(method).label for method in errors])
    axes[0, 0].set_ylim(len(errors) - 0.5, -0.5)
    if printed:
        ours = Line2D([], [], color=style.GREY, marker="o", linestyle="", label="ours")
        handles = [ours, _printed_mark(0, 0)]
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def plot_per_image(
    errors: Mapping[str, Sequence[float]], unit: str, factor: int | None = None
) -> Figure:
    """A dot an image: the error of one method against that of another, with the diagonal.

    Args:
        errors: two methods, across first -> their errors on the same images.
        factor: for the title.
    Raises:
        ValueError: not two methods, or not as many images of each.
    """
    lengths = {method: len(own) for method, own in errors.items()}
    if len(lengths) != 2 or len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"plot_per_image needs two methods on the same images, got {lengths}")
    (across, x), (up, y) = ((method, np.asarray(own)) for method, own in errors.items())
    look = style.look(up)
    figure, axis = plt.subplots(figsize=(4.6, 4.8))
    largest = 1.05 * max(x.max(), y.max())
    axis.plot([0, largest], [0, largest], color=style.BLACK, linewidth=0.8)
    axis.scatter(x, y, s=16, color=look.colour, alpha=0.6, linewidths=0, zorder=3)
    better = float(np.mean(y < x))
    axis.text(0.97, 0.04, f"{look.label} errs less", ha="right", transform=axis.transAxes)
    axis.set(xlim=(0, largest), ylim=(0, largest), aspect="equal")
    axis.set_xlabel(f"RMSE of {style.look(across).label} ({unit})")
    axis.set_ylabel(f"RMSE of {look.label} ({unit})")
    at = "" if factor is None else f" at {factor}×"
    axis.set_title(f"{look.label} errs less on {better:.0%} of {len(x)} images{at}", fontsize=9.5)
    return figure


def plot_sampling(
    trials: pd.DataFrame, unit: str, printed: Mapping[int, float] | None = None
) -> Figure:
    """Which sampling gives the printed error: a dot a combination, a vertical line the print.

    A line is a way to sample the depth and to place the samples again; a filled dot is the mean
    over images, a larger hollow one the pooled error.

    Args:
        trials: columns method, sampling, alignment, factor, convention, rmse; see
            `repro.report.image_errors.SamplingTrial`.
        printed: factor -> the paper's error, in `unit`.
    Raises:
        ValueError: nothing to draw.
    """
    if trials.empty:
        raise ValueError("plot_sampling needs at least one trial, got none")
    ways = list(dict.fromkeys(zip(trials["sampling"], trials["alignment"], strict=True)))
    factors = sorted(set(trials["factor"]))
    methods = list(dict.fromkeys(trials["method"]))
    figure, axes = plt.subplots(
        1, len(factors), sharey=True, squeeze=False, figsize=(7.5, 1.3 + 0.26 * len(ways))
    )
    for axis, factor in zip(axes[0], factors, strict=True):
        for trial in trials[trials["factor"] == factor].itertuples(index=False):
            look = style.look(str(trial.method))
            height = ways.index((trial.sampling, trial.alignment))
            shift = 0.3 * ((methods.index(trial.method) + 0.5) / len(methods) - 0.5)
            form = _FILLED if trial.convention == "per_image" else _HOLLOW
            axis.plot(trial.rmse, height + shift, look.marker, color=look.colour, **form)
        if printed and factor in printed:
            axis.axvline(printed[factor], color=style.BLACK, linestyle="--", linewidth=1.2)
        axis.set(title=f"{factor}×", xlabel=f"RMSE ({unit})")
        axis.set_xlim(0, 1.07 * axis.dataLim.x1)
    axes[0, 0].set_yticks(range(len(ways)), [f"{s} / {a}" for s, a in ways])
    axes[0, 0].set(ylim=(len(ways) - 0.5, -0.5), ylabel="sampled / placed")
    figure.legend(handles=_sampling_legend(methods, printed), loc="outside upper center", ncols=5)
    return figure


def _draw_example(
    axes: Map,
    example: DepthExample,
    errors: Sequence[Map],
    largest: float,
    unit: str,
    scale: float,
) -> AxesImage:
    """Fill the two rows of one example; returns an image on the scale of the errors."""
    depths = [example.low, *example.predictions.values(), example.truth]
    known = scale * example.truth
    limits = {"vmin": np.nanmin(known), "vmax": np.nanmax(known)}
    drawn: AxesImage
    above, below = axes
    for axis, depth in zip([above[0], *above[2:]], depths, strict=True):
        image = axis.imshow(scale * depth, cmap=_with_unknown("viridis"), **limits)
    above[1].imshow(example.rgb)
    above[0].set_ylabel(example.name, fontsize=9)
    for axis, error in zip(below[2:-1], errors, strict=True):
        drawn = axis.imshow(np.abs(error), cmap=_with_unknown("magma"), vmin=0, vmax=largest)
        axis.set_xlabel(f"RMSE {np.sqrt(np.nanmean(error**2)):#.3g} {unit}", fontsize=9)
    bar = below[-1].figure.colorbar(
        image, cax=below[-1].inset_axes((0.08, 0.72, 0.84, 0.09)), orientation="horizontal"
    )
    bar.set_label(f"depth ({unit})", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return drawn


def _with_unknown(name: str) -> mpl.colors.Colormap:
    return mpl.colormaps[name].with_extremes(bad=_UNKNOWN)


def _draw_estimate(axis: Axes, height: float, method: str, estimate: Estimate) -> None:
    look = style.look(method)
    if estimate.low is not None and estimate.high is not None:
        band = [estimate.low, estimate.high]
        axis.plot(band, [height] * 2, color=look.colour, linewidth=8, alpha=0.3)
    axis.plot(estimate.mean, height, look.marker, color=look.colour, **_DOTS)


def _printed_mark(error: float, height: float) -> Line2D:
    """A hollow diamond, for what the paper prints, a little above ours."""
    mark = Line2D([error], [height - 0.22], linestyle="", marker="d", markersize=6, zorder=4)
    mark.set(color="white", markeredgecolor=style.BLACK, label="paper")
    return mark


def _sampling_legend(methods: Sequence[str], printed: Mapping[int, float] | None) -> list[Line2D]:
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=look.label)
        for look in map(style.look, methods)
    ]
    dot: dict[str, Any] = {"color": style.GREY, "marker": "o", "linestyle": ""}
    handles += [
        Line2D([], [], label="mean over images", **dot, **_FILLED),
        Line2D([], [], label="pooled", **dot, **_HOLLOW),
    ]
    if printed:
        handles.append(Line2D([], [], color=style.BLACK, linestyle="--", label="printed Bicubic"))
    return handles
