"""Every method at every factor and seed: the runs behind Table 7 of DDF, and the files they leave.

A learned method is trained once a factor and seed; a classical one has nothing to train and no
seed. Both are measured once, on every test image, and both measurements are remembered.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from repro import classical
from repro.data.low_resolution import sample_offset
from repro.data.rgbd import RGBDData, limited
from repro.files import read_json, write_json, write_text
from repro.models.joint_upsampling import UPSAMPLERS
from repro.names import require_known
from repro.paths import build_dir
from repro.tasks.depth_error import BORDER
from repro.tasks.joint_upsampling import (
    ImageError,
    JointUpsamplingTask,
    Upsampler,
    measure,
)
from repro.tasks.upsampling_metrics import CONVENTION, Measured, UpsamplingRuns, collect
from repro.train import TrainConfig, run_identity
from repro.training.checkpoint import key_of
from repro.training.runs import RunDirectory, SeedRun, train_seeds
from repro.training.source import source_digest

Tuned = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""method -> factor, as text -> {"parameters": {...}}, as `python -m repro tune` writes it."""

_REMEMBER_EVERY_SECONDS = 20.0


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
    found = collect(measured, {**_details(asked, tested), "steps": _steps(asked, data)})
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


def _write(out_dir: Path, directory: RunDirectory, found: UpsamplingRuns) -> None:
    table = found.per_image.to_csv(index=False, float_format="%.8g", lineterminator="\n")
    write_text(out_dir / "per_image.csv", table)
    directory.finish(found.metrics, found.history)
