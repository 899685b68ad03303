"""What the runs of joint depth upsampling found, as metrics.json, per_image.csv and history.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from repro.stats import mean_interval
from repro.tasks.depth_error import summarise
from repro.tasks.joint_upsampling import ImageError, Upsampler
from repro.training.runs import SeedRun, history_table

CONVENTION = "per_image"
"""Of `repro.tasks.depth_error.CONVENTIONS`: PAC's, and the default everywhere."""


@dataclass(frozen=True)
class Measured:
    """One method at one factor, with one seed.

    Attributes:
        seed: None for a classical method.
        errors: one a test image; empty if training broke down.
        upsample: the method itself, or None.
        run: how training went; None for a classical method.
    """

    method: str
    factor: int
    seed: int | None
    errors: Sequence[ImageError]
    upsample: Upsampler | None
    run: SeedRun | None = None


@dataclass(frozen=True)
class UpsamplingRuns:
    """What a whole matrix of runs found.

    Attributes:
        measured: every method, factor and seed.
        metrics: the content of metrics.json.
        per_image: the content of per_image.csv.
        history: the content of history.csv: a row an epoch.
    """

    measured: Sequence[Measured]
    metrics: Mapping[str, Any]
    per_image: pd.DataFrame
    history: pd.DataFrame

    def upsampler(self, method: str, factor: int) -> Upsampler:
        """A method at one factor, with its first seed that finished."""
        return next(
            one.upsample
            for one in self.measured
            if (one.method, one.factor) == (method, factor) and one.upsample is not None
        )

    def errors(self, method: str, factor: int) -> NDArray[np.float64]:
        """RMSE of each test image, (seeds that finished, images); one row without seeds."""
        rows = [
            [error.rmse for error in one.errors]
            for one in self.measured
            if (one.method, one.factor) == (method, factor) and one.errors
        ]
        return np.array(rows)


def collect(measured: Sequence[Measured], details: Mapping[str, Any]) -> UpsamplingRuns:
    """Gather what the runs found.

    Args:
        measured: one a method, factor and seed.
        details: what a reader of metrics.json must know beside the figures.
    """
    rows = [
        {"method": one.method, "factor": one.factor, "seed": one.seed, **asdict(error)}
        for one in measured
        for error in one.errors
    ]
    per_image = pd.DataFrame(rows).astype({"seed": "Int64"})
    by_method: dict[str, list[Measured]] = {}
    for one in measured:
        by_method.setdefault(one.method, []).append(one)
    variants = {method: _figures(runs) for method, runs in by_method.items()}
    trained = {
        f"{one.method}_x{one.factor}": [
            other.run
            for other in by_method[one.method]
            if other.factor == one.factor and other.run is not None
        ]
        for one in measured
        if one.run is not None
    }
    history = history_table(trained).rename(columns={"test_rmse": "held_out_rmse"})
    return UpsamplingRuns(measured, {**details, "variants": variants}, per_image, history)


def _figures(runs: Sequence[Measured]) -> dict[str, Any]:
    """One method's entry in metrics.json: lists with one figure a seed, for each factor."""
    seeds = list(dict.fromkeys(one.seed for one in runs))
    classical_method = seeds == [None]
    figures: dict[str, Any] = {
        "kind": "classical" if classical_method else "learned",
        "deterministic": classical_method,
        "seeds": [0] if classical_method else seeds,
        "mean": {},
    }
    for factor in dict.fromkeys(one.factor for one in runs):
        of_seed = {one.seed: one for one in runs if one.factor == factor}
        errors = [of_seed[seed].errors for seed in seeds]
        figures[f"rmse_x{factor}"] = [_mean(own, "rmse", "pixels") for own in errors]
        figures[f"edge_rmse_x{factor}"] = [_mean(own, "edge_rmse", "edge_pixels") for own in errors]
        if not classical_method:
            seconds = [run.seconds if (run := of_seed[seed].run) else None for seed in seeds]
            figures[f"train_seconds_x{factor}"] = seconds
        for name in (f"rmse_x{factor}", f"edge_rmse_x{factor}"):
            values = [value for value in figures[name] if value is not None]
            if values:
                figures["mean"][name] = asdict(mean_interval(values))
    failures = {
        f"x{one.factor} seed {one.seed}": one.run.failure
        for one in runs
        if one.run is not None and one.run.failure is not None
    }
    return {**figures, "failures": failures} if failures else figures


def _mean(errors: Sequence[ImageError], value: str, weight: str) -> float | None:
    kept = [error for error in errors if getattr(error, value) is not None]
    if not kept:
        return None
    values = [getattr(error, value) for error in kept]
    return summarise(values, [getattr(error, weight) for error in kept], CONVENTION)
