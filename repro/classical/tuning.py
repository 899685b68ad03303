"""Parameters of the classical upsamplers, chosen on training frames alone.

The published tables name no parameters for these rows; what they reach depends on the data, the
factor and where the samples lie. So each is tuned, alike, and every trial is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from repro.classical.methods import METHODS, upsample
from repro.data.low_resolution import alignment_offset, downsample, fill_holes
from repro.data.rgbd_pairs import RGBDData, RGBDPair, crop_to_multiple, limited
from repro.names import require_known
from repro.tasks.depth_error import rmse

Metric = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], float]


@dataclass(frozen=True)
class Trial:
    """One point of the grid and its error."""

    parameters: dict[str, float]
    error: float


@dataclass(frozen=True)
class TunedParameters:
    """The best point that was found.

    Attributes:
        error: mean over the frames, in stored units.
        trials: every point that was tried, in order.
    """

    method: str
    factor: int
    parameters: dict[str, float]
    error: float
    trials: tuple[Trial, ...]


def tune(
    method: str,
    pairs: Sequence[RGBDPair],
    factor: int,
    *,
    sampling: str = "centre",
    alignment: str = "exact",
    metric: Metric = rmse,
) -> TunedParameters:
    """Find the parameters with the least mean error over `pairs`, by coordinate descent.

    One parameter at a time takes the best of all its values, until none moves any more: once from
    the middle of the method's grid and once from its end, where the guidance is weakest. From the
    middle alone, Ham et al. came out behind the MRF, which it contains. A method without
    parameters has one trial.

    Args:
        method: one of METHODS.
        pairs: training frames; cut to a multiple of the factor. Where their depth is unknown, it
            is filled from the nearest sample before, and left out of the error after.
        sampling, alignment: as in `repro.data.low_resolution`.
        metric: (prediction, truth) -> error of a frame.
    Raises:
        ValueError: no pairs, an unknown name, an error that is not a number.
    """
    grid = METHODS[require_known("classical method", method, METHODS)].grid
    if not pairs:
        raise ValueError(f"tuning {method} needs at least one training frame, got none")
    offset = alignment_offset(alignment, sampling, factor)
    frames = [_frame(pair, factor, sampling) for pair in pairs]
    trials: dict[tuple[int, ...], Trial] = {}

    def error(point: tuple[int, ...]) -> float:
        if point not in trials:
            values = zip(grid.items(), point, strict=True)
            parameters = {name: choices[index] for (name, choices), index in values}
            errors = [
                metric(upsample(method, low, rgb, factor, offset=offset, **parameters), truth)
                for low, rgb, truth in frames
            ]
            mean = float(np.mean(errors))
            if not np.isfinite(mean):
                raise ValueError(f"{method} with {parameters}: errors of the frames are {errors}")
            trials[point] = Trial(parameters, mean)
        return trials[point].error

    sizes = [len(choices) for choices in grid.values()]
    starts = [tuple(size // 2 for size in sizes), tuple(size - 1 for size in sizes)]
    best = min((_descend(start, sizes, error) for start in starts), key=error)
    return TunedParameters(
        method, factor, trials[best].parameters, trials[best].error, tuple(trials.values())
    )


def _descend(
    start: tuple[int, ...], sizes: Sequence[int], error: Callable[[tuple[int, ...]], float]
) -> tuple[int, ...]:
    """The point of the grid at which no single coordinate lowers the error any more."""
    best, moved = start, True
    while moved:
        moved = False
        for axis, size in enumerate(sizes):
            line = [(*best[:axis], index, *best[axis + 1 :]) for index in range(size)]
            least = min(line, key=error)
            if error(least) < error(best):
                best, moved = least, True
    return best


def tune_all(
    methods: Sequence[str],
    data: RGBDData,
    factors: Sequence[int],
    *,
    frames: int,
    sampling: str = "centre",
    crop: int | None = None,
) -> dict[str, Any]:
    """Tune several methods at several factors, on the same training frames.

    Args:
        methods: of METHODS.
        data: only its training pairs are looked at.
        frames: how many of them, evenly spaced.
        crop: use the middle of each, this wide and high; None takes it whole.
    Returns:
        Plain values: method -> factor, as text -> its parameters, their error and every trial,
        errors in the data's unit; beside them what was tuned, and on what.
    Raises:
        ValueError: as `tune`; data without training pairs.
    """
    pairs = list(limited(data, frames, None).require_train())
    if crop is not None:
        pairs = [central_crop(pair, crop) for pair in pairs]
    result: dict[str, Any] = {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "frames": [pair.name for pair in pairs],
        "crop": crop,
        "sampling": sampling,
        "unit": data.unit,
        "methods": list(methods),
    }
    for method in methods:
        found = {factor: tune(method, pairs, factor, sampling=sampling) for factor in factors}
        result[method] = {
            str(factor): {
                "parameters": tuned.parameters,
                "rmse": tuned.error * data.unit_scale,
                "trials": [
                    {"parameters": trial.parameters, "rmse": trial.error * data.unit_scale}
                    for trial in tuned.trials
                ],
            }
            for factor, tuned in found.items()
        }
    return result


def central_crop(pair: RGBDPair, size: int) -> RGBDPair:
    """The middle of a pair, at most size x size; ValueError where size is below 1."""
    if size < 1:
        raise ValueError(f"crop must be at least 1, got {size}")
    top, left = (max(side - size, 0) // 2 for side in pair.depth.shape)
    window = np.s_[top : top + size, left : left + size]
    return replace(pair, rgb=pair.rgb[window], depth=pair.depth[window])


def _frame(
    pair: RGBDPair, factor: int, sampling: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Low-resolution depth without holes, guidance and truth."""
    cut = crop_to_multiple(pair, factor)
    depth = torch.from_numpy(np.ascontiguousarray(cut.depth))[None, None]
    low, _ = fill_holes(downsample(depth, factor, sampling)[0, 0].numpy())
    return low.astype(np.float32), cut.rgb, cut.depth
