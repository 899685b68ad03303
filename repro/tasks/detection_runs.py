"""Every detector with every seed: the runs behind DDF's Table 6 and FDConv's Tables 1 and 3.

Detectors are named as the rows are. Rows that are the same network, as the plain Faster R-CNN of
both papers is, are trained once and get the same figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from repro.data.detection import DetectionData, DetectionImage
from repro.models.detection import DETECTORS
from repro.models.detection.start import start_detector
from repro.names import require_known
from repro.stats import mean_interval
from repro.tasks import detection_floor
from repro.tasks.detection import DetectionTask, as_tensors
from repro.tasks.detection_metric import FIGURES, AveragePrecision
from repro.train import TrainConfig
from repro.training.runs import RunDirectory, SeedRun, history_table, summarise, train_seeds


@dataclass(frozen=True)
class Setting:
    """On what and how the detectors of one block are trained.

    Attributes:
        data: the dataset; Mask R-CNN needs one with masks.
        config: of the training; its seed is replaced.
        options: further arguments of `repro.models.detection.start.start_detector`.
    """

    data: DetectionData
    config: TrainConfig
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class DetectorRuns:
    """One detector with all seeds.

    Attributes:
        task: what was trained.
        runs: one a seed.
        metrics: its entry in metrics.json.
    """

    task: DetectionTask
    runs: Sequence[SeedRun]
    metrics: Mapping[str, Any]

    def measured(self) -> AveragePrecision | None:
        """The first seed that finished, evaluated again: for curves; None if none finished."""
        model = self.model()
        if model is None:
            return None
        device = next(model.parameters()).device
        batches = (
            ([image.to(device) for image in images], targets)
            for images, targets in self.task.test_batches(self.batch_size)
        )
        return self.task.measure(model, batches)

    def model(self) -> nn.Module | None:
        """The network of the first seed that finished."""
        return next((run.model for run in self.runs if run.model is not None), None)

    def detect(self, images: Sequence[DetectionImage]) -> list[dict[str, NDArray[Any]]]:
        """What the network of the first seed that finished finds in each image.

        Returns:
            One an image: boxes (n, 4), labels (n,), scores (n,), and masks (n, H, W) bool of a
            Mask R-CNN.
        Raises:
            ValueError: no seed finished.
        """
        model = self.model()
        if model is None:
            raise ValueError(f"no seed of {self.task.name} finished")
        device = next(model.parameters()).device
        found = []
        for image in images:
            pixels, _ = as_tensors(image, 0, masks=False)
            with torch.no_grad():
                (prediction,) = model([pixels.to(device)])
            own = {name: value.cpu().numpy() for name, value in prediction.items()}
            if "masks" in own:
                own["masks"] = own["masks"][:, 0] > 0.5
            found.append(own)
        return found

    @property
    def batch_size(self) -> int:
        """Images that are evaluated at once."""
        return int(self.metrics["details"]["batch_size"])


@dataclass(frozen=True)
class DetectionRuns:
    """What a whole list of detectors found.

    Attributes:
        detectors: by method, in the order they were asked for.
        metrics: the content of metrics.json.
        history: the content of history.csv: a row an epoch.
    """

    detectors: Mapping[str, DetectorRuns]
    metrics: Mapping[str, Any]
    history: pd.DataFrame

    def values(self, method: str, metric: str = "ap") -> dict[int, float]:
        """Seed -> figure, for the seeds that have one."""
        runs = self.detectors[method].runs
        return {run.seed: run.metrics[metric] for run in runs if metric in run.metrics}


def run_detectors(
    methods: Sequence[str],
    boxes: Setting,
    masks: Setting | None = None,
    *,
    size: str,
    seeds: Sequence[int],
    out_dir: Path,
    workers: int = 0,
    resume_dir: Path | None = None,
    show_progress: bool = True,
) -> DetectionRuns:
    """Train detectors side by side, and compare each with its base, paired by seed.

    Every detector gets its first seed before any gets its second. One whose training breaks down is
    a result here: its seed has None for figures.

    Args:
        methods: names of `repro.models.detection.DETECTORS`, each given once, and with each its
            base.
        boxes: of Faster R-CNN.
        masks: of Mask R-CNN; None where there is none among `methods`.
        size: "small" or "full".
        seeds: each at most once; the finished ones are remembered.
        out_dir: gets metrics.json with all detectors under "variants", each with its base and the
            paired differences to the base's figures, and what detectors without a network reach
            under "floors"; history.csv, params.json, env.json and seeds/<network>/<seed>.json.
        workers: see `DetectionTask`.
        resume_dir, show_progress: see `repro.training.runs.train_seeds`.
    Raises:
        UnknownNameError: no such detector.
        ValueError: a method that is given twice, a base that is missing, or no setting for it.
        OSError: `out_dir` cannot be written.
    """
    _require_bases(methods)
    settings = {method: _setting(method, boxes, masks) for method in methods}
    networks = {method: network_of(method) for method in methods}
    tasks = {
        network: _task(network, settings[method], size, workers)
        for method, network in networks.items()
    }
    directory = RunDirectory(out_dir, _asked(methods, boxes, masks, size, seeds), boxes.config)
    runs: dict[str, list[SeedRun]] = {network: [] for network in tasks}
    for seed in seeds:
        for method, network in networks.items():
            if any(run.seed == seed for run in runs[network]):
                continue
            (run,) = train_seeds(
                tasks[network],
                settings[method].config,
                [seed],
                resume_dir=resume_dir,
                stop_at_nan=False,
                show_progress=show_progress,
            )
            directory.add_seed(run, network)
            runs[network].append(run)
    found = {
        method: DetectorRuns(
            tasks[network],
            runs[network],
            _figures(method, runs, tasks[network], settings[method].config),
        )
        for method, network in networks.items()
    }
    content = {
        "size": size,
        "seeds": list(seeds),
        "floors": _floors(tasks.values()),
        "variants": {method: one.metrics for method, one in found.items()},
    }
    whole = DetectionRuns(found, content, history_table(runs))
    directory.finish(whole.metrics, whole.history)
    return whole


def network_of(method: str) -> str:
    """The first detector of `DETECTORS` that is the same network as `method`.

    Raises:
        UnknownNameError: no such detector.
    """
    mine = DETECTORS[require_known("detector", method, DETECTORS)]
    alike = dataclasses.replace(mine, base=None)
    return next(
        name for name, other in DETECTORS.items() if dataclasses.replace(other, base=None) == alike
    )


def differences(
    runs: Sequence[SeedRun], base: Sequence[SeedRun], metric: str = "ap"
) -> dict[int, float]:
    """Seed -> `metric` of `runs` less that of `base`, for the seeds in which both have one."""
    theirs = {run.seed: run.metrics[metric] for run in base if metric in run.metrics}
    return {
        run.seed: run.metrics[metric] - theirs[run.seed]
        for run in runs
        if metric in run.metrics and run.seed in theirs
    }


def _require_bases(methods: Sequence[str]) -> None:
    twice = sorted({method for method in methods if list(methods).count(method) > 1})
    if not methods or twice:
        raise ValueError(f"methods must be at least one, each once; twice: {twice}")
    for method in methods:
        base = DETECTORS[require_known("detector", method, DETECTORS)].base
        if base is not None and base not in methods:
            raise ValueError(f"{method} is compared with {base}, which is not among the methods")


def _setting(method: str, boxes: Setting, masks: Setting | None) -> Setting:
    if not DETECTORS[method].masks:
        return boxes
    if masks is None:
        raise ValueError(f"{method} is a Mask R-CNN; it needs a setting for masks")
    return masks


def _task(method: str, setting: Setting, size: str, workers: int) -> DetectionTask:
    return DetectionTask(
        method,
        setting.data,
        size=size,
        build=start_detector,
        options=setting.options,
        workers=workers,
        masks=DETECTORS[method].masks,
    )


def _figures(
    method: str,
    runs: Mapping[str, Sequence[SeedRun]],
    task: DetectionTask,
    config: TrainConfig,
) -> dict[str, Any]:
    """A detector's entry in metrics.json.

    A figure that is not defined is None in every seed: of masks in Faster R-CNN, of objects of a
    size that no test image has.
    """
    own, base = runs[network_of(method)], DETECTORS[method].base
    names = (*FIGURES, *(f"mask_{name}" for name in FIGURES))
    entry = {
        "network": network_of(method),
        "base": base,
        "details": _details(task, config),
        **{name: [None] * len(own) for name in names},
        **summarise(own),
    }
    if base is not None:
        theirs = runs[network_of(base)]
        for name in ("ap", "mask_ap") if task.masks else ("ap",):
            paired = list(differences(own, theirs, name).values())
            entry[f"difference_{name}"] = asdict(mean_interval(paired)) if paired else None
    return entry


def _details(task: DetectionTask, config: TrainConfig) -> dict[str, Any]:
    """What a reader of the figures must know about them."""
    return {
        "dataset": task.data.name,
        "note": task.data.note,
        "num_classes": task.data.num_classes,
        "train_images": len(task.data.train),
        "test_images": len(task.data.test),
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "steps": config.epochs * len(task.train_batches(config.batch_size, 0, 0)),
        "area_unit": task.data.area_unit,
        "norm": task.options.get("norm", "batch"),
        "pretrained": task.options.get("weights") is not None,
    }


def _floors(tasks: Iterable[DetectionTask]) -> dict[str, dict[str, dict[str, float]]]:
    """Dataset -> trivial detector -> its figures; with those of masks where masks are trained."""
    data: dict[str, tuple[DetectionData, bool]] = {}
    for task in tasks:
        known = data.get(task.data.name)
        data[task.data.name] = (task.data, task.masks or (known is not None and known[1]))
    return {name: detection_floor.measure(own, masks=masks) for name, (own, masks) in data.items()}


def _asked(
    methods: Sequence[str],
    boxes: Setting,
    masks: Setting | None,
    size: str,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Everything that was asked for, for params.json."""
    blocks = {"boxes": boxes} if masks is None else {"boxes": boxes, "masks": masks}
    return {
        "methods": list(methods),
        "size": size,
        "seeds": list(seeds),
        **{
            block: {
                "dataset": setting.data.name,
                "data": setting.data.fingerprint,
                "options": dict(setting.options),
                "config": {k: v for k, v in asdict(setting.config).items() if k != "seed"},
            }
            for block, setting in blocks.items()
        },
    }
