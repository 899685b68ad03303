"""Every segmenter with every seed: the runs behind Tables 2, 4 and 5 of FDConv, and their files.

All rows get the same images, crops and steps; a row and its base are paired by seed. Each network
is trained once and measured once on every test image, and both are remembered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from torch import nn

from repro.data.batches import batch_count, epoch_order
from repro.data.segmentation import SegmentationData, limited
from repro.data.segmentation_crops import RandomCrops, WholeImages
from repro.files import read_json, write_json, write_text
from repro.models.segmentation import SEGMENTERS, build_segmenter
from repro.names import require_known
from repro.paths import build_dir
from repro.stats import mean_interval, paired_difference
from repro.tasks.segmentation import Builder, SegmentationTask
from repro.tasks.segmentation_inference import Inference, image_areas
from repro.tasks.segmentation_metric import ClassAreas, majority_floor, mean_iou, pixel_accuracy
from repro.train import TrainConfig, run_identity
from repro.training.checkpoint import key_of
from repro.training.runs import RunDirectory, SeedRun, history_table, train_seeds
from repro.training.source import source_digest

SINGLE, MULTI = "miou", "miou_ms"
"""The metrics, at one scale and averaged over several and mirrored; in percent."""


@dataclass(frozen=True)
class Measured:
    """One network: a segmenter with one seed.

    Attributes:
        areas: metric -> (images, classes) pixels; empty if training broke down.
        run: how training went.
    """

    method: str
    seed: int
    areas: Mapping[str, ClassAreas]
    run: SeedRun


@dataclass(frozen=True)
class SegmentationRuns:
    """What a whole matrix of runs found.

    Attributes:
        measured: every method and seed.
        images: names of the test images, in order.
        metrics: the content of metrics.json.
        per_image: the content of per_image.csv.
        history: the content of history.csv: a row an epoch.
    """

    measured: Sequence[Measured]
    images: Sequence[str]
    metrics: Mapping[str, Any]
    per_image: pd.DataFrame
    history: pd.DataFrame

    def model(self, method: str) -> nn.Module:
        """A trained network, with its first seed that finished."""
        return next(iter(self.models(method).values()))

    def models(self, method: str) -> dict[int, nn.Module]:
        """The trained networks of a method, by seed; without those that broke down."""
        return {
            one.seed: one.run.model
            for one in self.measured
            if one.method == method and one.run.model is not None
        }


def run_segmentation(
    methods: Sequence[str],
    config: TrainConfig,
    data: SegmentationData,
    *,
    seeds: Sequence[int],
    out_dir: Path,
    size: str = "small",
    crop: RandomCrops | None = None,
    short_side: int | None = None,
    test_images: int | None = None,
    progress_images: int = 8,
    multi_scales: Sequence[float] = (),
    multi_scale_methods: Sequence[str] = (),
    resume_dir: Path | None = None,
    show_progress: bool = True,
    **options: Any,
) -> SegmentationRuns:
    """Train and measure, and write the run directory.

    Every method gets its first seed before any gets its second.

    Args:
        methods: names of `repro.models.segmentation.SEGMENTERS`.
        config: its seed is replaced by each of `seeds`.
        data: train and test images.
        seeds: each at most once.
        out_dir: gets metrics.json, per_image.csv, history.csv, params.json, env.json and
            seeds/<method>/<seed>.json.
        size: "small" or "full".
        crop: how training images are cut; None takes windows of 256 x 256.
        short_side: the shorter side of test images; None takes them as they are.
        test_images: how many to measure, evenly spaced; None takes all. Measuring more of them
            trains nothing again.
        progress_images: how many of the test images show the progress of training; no choice
            rests on what they say.
        multi_scales: factors of multi-scale inference, each also mirrored; none leaves it out.
        multi_scale_methods: the methods that are also measured so.
        resume_dir: where checkpoints and measurements are kept; None takes build/resume.
        options: of `build_segmenter`.
    Raises:
        UnknownNameError: a method of no such name.
        ValueError: more images are asked for than there are.
        OSError: `out_dir` cannot be written.
    """
    for method in [*methods, *multi_scale_methods]:
        require_known("segmenter", method, SEGMENTERS)
    resume_dir = resume_dir or build_dir() / "resume"
    crop = crop or RandomCrops((256, 256))
    tested = limited(data, None, test_images)
    followed = limited(data, None, min(progress_images, len(data.test)))
    single = Inference(short_side=short_side)
    multi = dataclasses.replace(single, scales=tuple(multi_scales) or (1.0,), flip=True)
    asked = {
        "methods": list(methods),
        "seeds": list(seeds),
        "dataset": data.name,
        "data": data.fingerprint,
        "size": size,
        "crop": crop.describe(),
        "short_side": short_side,
        "train_images": len(data.train),
        "test_images": len(tested.test),
        "multi_scales": list(multi_scales),
        "multi_scale_methods": list(multi_scale_methods),
        **{name: value for name, value in asdict(config).items() if name != "seed"},
        **options,
    }
    directory = RunDirectory(out_dir, asked, config)
    measured: list[Measured] = []
    for seed in seeds:
        for method in methods:
            inferences = {SINGLE: single}
            if multi_scales and method in multi_scale_methods:
                inferences[MULTI] = multi
            task = SegmentationTask(
                method,
                followed,
                size=size,
                build=cast(Builder, build_segmenter),  # a protocol cannot say "these options"
                crop=crop,
                inference=single,
                options=options,
            )
            seeded = dataclasses.replace(config, seed=seed)
            one = _trained(task, seeded, tested, inferences, resume_dir, show_progress)
            directory.add_seed(one.run, method)
            measured.append(one)
    found = _collect(measured, _details(asked, tested), [item.name for item in tested.test])
    table = found.per_image.to_csv(index=False, lineterminator="\n")
    write_text(out_dir / "per_image.csv", table)
    directory.finish(found.metrics, found.history)
    return found


def _trained(
    task: SegmentationTask,
    config: TrainConfig,
    tested: SegmentationData,
    inferences: Mapping[str, Inference],
    resume_dir: Path,
    show_progress: bool,
) -> Measured:
    (run,) = train_seeds(
        task,
        config,
        [config.seed],
        resume_dir=resume_dir,
        stop_at_nan=False,
        show_progress=show_progress,
    )
    if run.model is None:
        return Measured(task.name, config.seed, {}, run)
    areas = {}
    for metric, inference in inferences.items():
        identity = {
            "run": run_identity(task, config),
            "tested": tested.fingerprint,
            "inference": asdict(inference),
            "measured_by": source_digest(__name__),
        }
        path = resume_dir / key_of(identity) / "areas.json"
        if not path.is_file():
            batches = WholeImages(tested.test, config.batch_size)
            found = image_areas(run.model, batches, tested.num_classes, inference)
            write_json(path, {name: values.tolist() for name, values in vars(found).items()})
        kept = read_json(path)
        areas[metric] = ClassAreas(**{name: np.array(values) for name, values in kept.items()})
    return Measured(task.name, config.seed, areas, run)


def _details(asked: Mapping[str, Any], data: SegmentationData) -> dict[str, Any]:
    """What a reader of the figures must know about them."""
    order = epoch_order(asked["train_images"], asked["batch_size"], seed=0, epoch=0)
    names = ("dataset", "size", "train_images", "test_images", "crop", "short_side", "epochs")
    return {
        **_floor(data),
        **{name: asked[name] for name in (*names, "seeds", "multi_scales")},
        "num_classes": data.num_classes,
        "steps": asked["epochs"] * batch_count(order, asked["batch_size"]),
    }


def _floor(data: SegmentationData) -> dict[str, Any]:
    """What never looking at the image reaches; nothing where images differ in size."""
    try:
        return {"floor": majority_floor(data)}
    except ValueError:
        return {}


def _collect(
    measured: Sequence[Measured], details: Mapping[str, Any], images: Sequence[str]
) -> SegmentationRuns:
    by_method: dict[str, list[Measured]] = {}
    for one in measured:
        by_method.setdefault(one.method, []).append(one)
    variants = {method: _figures(runs) for method, runs in by_method.items()}
    for method, own in variants.items():
        base = SEGMENTERS[method].base
        if base in variants:
            own |= {"base": base, "difference": _differences(own, variants[base])}
    history = history_table({method: [one.run for one in own] for method, own in by_method.items()})
    metrics = {**details, "variants": variants}
    return SegmentationRuns(measured, images, metrics, _per_image(measured, images), history)


def _figures(runs: Sequence[Measured]) -> dict[str, Any]:
    """One method's entry in metrics.json: lists with one figure a seed."""
    figures: dict[str, Any] = {"seeds": [one.seed for one in runs]}
    for metric in dict.fromkeys(metric for one in runs for metric in (SINGLE, *one.areas)):
        figures[metric] = [
            100 * float(mean_iou(one.areas[metric].total())) if metric in one.areas else None
            for one in runs
        ]
    figures["pixel_accuracy"] = [
        100 * float(pixel_accuracy(one.areas[SINGLE].total())) if one.areas else None
        for one in runs
    ]
    figures["train_seconds"] = [one.run.seconds for one in runs]
    figures["mean"] = {
        name: asdict(mean_interval(kept))
        for name in (SINGLE, MULTI, "pixel_accuracy")
        if (kept := [value for value in figures.get(name, []) if value is not None])
    }
    failures = {str(one.seed): one.run.failure for one in runs if one.run.failure is not None}
    return {**figures, "failures": failures} if failures else figures


def _differences(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Each metric less the base's, over the seeds that finished in both."""
    found = {}
    for metric in (SINGLE, MULTI):
        mine, other = (
            {
                seed: value
                for seed, value in zip(run["seeds"], run.get(metric, []), strict=False)
                if value is not None
            }
            for run in (own, base)
        )
        common = mine.keys() & other.keys()
        if common:
            less = paired_difference(
                {seed: mine[seed] for seed in common}, {seed: other[seed] for seed in common}
            )
            found[metric] = asdict(less)
    return found


def _per_image(measured: Sequence[Measured], images: Sequence[str]) -> pd.DataFrame:
    """A line for each class that an image has or was given; pixels."""
    parts = []
    for one in measured:
        for metric, areas in one.areas.items():
            rows, classes = np.nonzero((areas.true > 0) | (areas.taken > 0))
            part = {
                "method": one.method,
                "seed": one.seed,
                "metric": metric,
                "image": np.array(images)[rows],
                "class": classes,
                **{name: values[rows, classes] for name, values in vars(areas).items()},
            }
            parts.append(pd.DataFrame(part))
    columns = ["method", "seed", "metric", "image", "class", "right", "true", "taken"]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)
