"""Every method at every factor and seed: the runs behind Table 7 of DDF, and the files they leave.

A learned method is trained once a factor and seed; a classical one has nothing to train and no
seed. Both are measured once, on every test image, and both measurements are remembered.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from repro import classical
from repro.data.low_resolution import sample_offset
from repro.data.rgbd import RGBDData, limited
from repro.files import read_json, write_json, write_text
from repro.models.joint_upsampling import UPSAMPLERS
from repro.names import require_known
from repro.paths import build_dir
from repro.stats import mean_interval
from repro.tasks.depth_error import BORDER, summarise
from repro.tasks.joint_upsampling import (
    ImageError,
    JointUpsamplingTask,
    Upsampler,
    measure,
)
from repro.train import TrainConfig, run_identity
from repro.training.checkpoint import key_of
from repro.training.runs import RunDirectory, SeedRun, history_table, train_seeds
from repro.training.source import source_digest

Tuned = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""method -> factor, as text -> {"parameters": {...}}, as `python -m repro tune` writes it."""

CONVENTION = "per_image"
_REMEMBER_EVERY_SECONDS = 20.0


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


def run_upsampling(
    methods: Sequence[str],
    factors: Sequence[int],
    config: TrainConfig,
    data: RGBDData,
    *,
    seeds: Sequence[int],
    out_dir: Path,
    test_images: int | None = None,
    tuned: Tuned | None = None,
    sampling: str = "centre",
    resume_dir: Path | None = None,
    show_progress: bool = True,
    **task_options: Any,
) -> UpsamplingRuns:
    """Train and measure, and write the run directory.

    Every method and factor gets its first seed before any gets its second.

    Args:
        methods: names of `repro.classical.METHODS` or of `repro.models.joint_upsampling`.
        factors: powers of two.
        config: of the learned methods; its seed is replaced by each of `seeds`.
        data: train and test pairs.
        seeds: each at most once.
        test_images: how many test pairs to measure, evenly spaced; None measures all. Measuring
            more of them trains nothing again.
        out_dir: gets metrics.json, per_image.csv, history.csv, params.json, env.json and
            seeds/<method>_x<factor>/<seed>.json.
        tuned: parameters of the classical methods, from training images.
        sampling: where coarse depth is taken from.
        resume_dir: where checkpoints and measurements are kept; None takes build/resume.
        task_options: of `JointUpsamplingTask`.
    Raises:
        UnknownNameError: a method of no such name.
        ValueError: a classical method that has parameters and is not in `tuned`.
        OSError: `out_dir` cannot be written.
    """
    for method in methods:
        require_known("method", method, [*classical.METHODS, *UPSAMPLERS])
    resume_dir = resume_dir or build_dir() / "resume"
    asked = {
        "methods": list(methods),
        "factors": list(factors),
        "seeds": list(seeds),
        "dataset": data.name,
        "data": data.fingerprint,
        "sampling": sampling,
        "test_images": test_images,
        **{name: value for name, value in asdict(config).items() if name != "seed"},
        **task_options,
    }
    tested = limited(data, None, test_images)
    directory = RunDirectory(out_dir, asked, config)
    measured: list[Measured] = []
    for method in [name for name in methods if name in classical.METHODS]:
        for factor in factors:
            measured.append(
                _classical(method, factor, tested, sampling, tuned, resume_dir, data.fingerprint)
            )
    for seed in seeds:
        for factor in factors:
            for method in [name for name in methods if name in UPSAMPLERS]:
                task = JointUpsamplingTask(method, factor, data, sampling=sampling, **task_options)
                seeded = dataclasses.replace(config, seed=seed)
                one, run = _learned(task, seeded, tested, resume_dir, show_progress)
                directory.add_seed(run, f"{method}_x{factor}")
                measured.append(one)
    found = _collect(measured, {**_details(asked, tested), "steps": _steps(asked, data)})
    _write(out_dir, directory, found)
    return found


def _learned(
    task: JointUpsamplingTask,
    config: TrainConfig,
    tested: RGBDData,
    resume_dir: Path,
    show_progress: bool,
) -> tuple[Measured, SeedRun]:
    (run,) = train_seeds(
        task,
        config,
        [config.seed],
        resume_dir=resume_dir,
        stop_at_nan=False,
        show_progress=show_progress,
    )
    start = (task.method, task.factor, config.seed)
    if run.model is None:
        return Measured(*start, [], None, run), run
    upsample = task.upsampler(run.model)
    identity = {"run": run_identity(task, config), "measured_by": source_digest(__name__)}
    folder = resume_dir / key_of(identity)
    errors = _remembered(folder, upsample, tested, task.factor, task.sampling)
    return Measured(*start, errors, upsample, run), run


def _classical(
    method: str,
    factor: int,
    tested: RGBDData,
    sampling: str,
    tuned: Tuned | None,
    resume_dir: Path,
    fingerprint: str,
) -> Measured:
    parameters: Mapping[str, Any] = {}
    if classical.METHODS[method].grid:
        try:
            parameters = (tuned or {})[method][str(factor)]["parameters"]
        except KeyError as error:
            raise ValueError(
                f"{method} at factor {factor} has no tuned parameters ({error} is missing); "
                "tune it on training images first: python -m repro tune"
            ) from error
    offset = sample_offset(sampling, factor)

    def upsample(low: Any, rgb: Any) -> Any:
        return classical.upsample(method, low, rgb, factor, offset=offset, **parameters)

    identity = {
        "method": method,
        "factor": factor,
        "parameters": dict(parameters),
        "sampling": sampling,
        "data": fingerprint,
        "code": source_digest(__name__),
    }
    errors = _remembered(resume_dir / key_of(identity), upsample, tested, factor, sampling)
    return Measured(method, factor, None, errors, upsample)


def _remembered(
    folder: Path, upsample: Upsampler, data: RGBDData, factor: int, sampling: str
) -> list[ImageError]:
    """The errors of all test pairs, those of `test_errors.json` without measuring them again."""
    path = folder / "test_errors.json"
    known = {entry["image"]: entry for entry in read_json(path)} if path.is_file() else {}
    written = time.monotonic()
    names = []
    for pair in data.test:
        names.append(pair.name)
        if pair.name not in known:
            error = measure(upsample, pair, factor, sampling, data.unit_scale)
            known[pair.name] = asdict(error)
        if time.monotonic() - written > _REMEMBER_EVERY_SECONDS:
            write_json(path, list(known.values()))
            written = time.monotonic()
    write_json(path, list(known.values()))
    # As they were written: a figure must not depend on whether it was remembered.
    read = {entry["image"]: ImageError(**entry) for entry in read_json(path)}
    return [read[name] for name in names]


def _steps(asked: Mapping[str, Any], data: RGBDData) -> int:
    crops = asked.get("crops_per_epoch") or len(data.train) - asked.get("held_out", 4)
    return int(asked["epochs"] * max(1, crops // asked["batch_size"]))


def _details(asked: Mapping[str, Any], data: RGBDData) -> dict[str, Any]:
    """What a reader of the figures must know about them."""
    return {
        "dataset": data.name,
        "unit": data.unit,
        "sampling": asked["sampling"],
        "alignment": "exact",
        "border": BORDER,
        "convention": CONVENTION,
        "factors": asked["factors"],
        "train_images": len(data.train),
        "test_images": len(data.test),
        "epochs": asked["epochs"],
        "seeds": asked["seeds"],
    }


def _collect(measured: Sequence[Measured], details: Mapping[str, Any]) -> UpsamplingRuns:
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


def _write(out_dir: Path, directory: RunDirectory, found: UpsamplingRuns) -> None:
    table = found.per_image.to_csv(index=False, float_format="%.8g", lineterminator="\n")
    write_text(out_dir / "per_image.csv", table)
    directory.finish(found.metrics, found.history)
