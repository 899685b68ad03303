"""Image classification: a network of the tables on a dataset, with cross-entropy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repro.data import load_classification
from repro.data.batches import Batch, Batches, ClassificationData
from repro.data.in_memory import InMemoryData
from repro.models import SYSTEMS, build
from repro.names import require_known
from repro.stats import mean_interval
from repro.tasks.predictions import predict
from repro.train import TrainConfig
from repro.training.runs import (
    RunDirectory,
    SeedRun,
    history_table,
    summarise,
    train_seeds,
)


class ClassificationTask:
    """Train one network on one dataset; see `repro.tasks.task.Task`.

    Args:
        method: a name of `repro.models.names()`.
        data: the dataset.
        size: "small" or "full", see `repro.models.build`.
        label_smoothing: share of the target spread evenly over all classes, in training only.
    Raises:
        UnknownNameError: no such method.
    """

    metric = "top1"

    def __init__(
        self,
        method: str,
        data: ClassificationData,
        *,
        size: str = "small",
        label_smoothing: float = 0.0,
    ) -> None:
        self.name = require_known("method", method, SYSTEMS)
        self.data, self.size, self.label_smoothing = data, size, label_smoothing

    def identity(self) -> dict[str, Any]:
        return {
            "method": self.name,
            "size": self.size,
            "label_smoothing": self.label_smoothing,
            "dataset": self.data.name,
            "augmentation": self.data.augmentation,
            "data": self.data.fingerprint,
        }

    def build_model(self) -> nn.Module:
        return build(
            self.name,
            num_classes=self.data.num_classes,
            in_channels=self.data.in_channels,
            size=self.size,
        )

    def train_batches(self, batch_size: int, seed: int, epoch: int) -> Batches:
        return self.data.train_batches(batch_size, seed, epoch)

    def test_batches(self, batch_size: int) -> Batches:
        return self.data.test_batches(batch_size)

    def images_in(self, batch: Batch) -> int:
        return len(batch[0])

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        x, y = batch
        loss = F.cross_entropy(model(x), y, label_smoothing=self.label_smoothing)
        return {"loss": loss}

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Top-1 and top-5 accuracy in percent, and the mean cross-entropy without smoothing."""
        logits, labels = predict(model, batches)
        ranked = logits.topk(min(5, logits.shape[1])).indices  # (N, 5), best first
        right = ranked == labels[:, None]
        return {
            "top1": 100 * right[:, 0].double().mean().item(),
            "top5": 100 * right.any(1).double().mean().item(),
            "loss": F.cross_entropy(logits.double(), labels).item(),
        }


def limited(
    data: ClassificationData, train_images: int | None, test_images: int | None
) -> ClassificationData:
    """A smaller version of a dataset, the classes in equal shares: for a first look or a test.

    Args:
        data: held in memory, its images in the order of their classes.
        train_images, test_images: how many to keep, evenly spaced; None keeps all.
    Raises:
        ValueError: a number out of range, or a dataset that is read from disk as it is used.
    """
    for part, count, available in (
        ("train_images", train_images, data.train_count),
        ("test_images", test_images, data.test_count),
    ):
        if count is None:
            continue
        if not isinstance(data, InMemoryData):
            raise ValueError(f"{part}={count}: {data.name} is not held in memory; use all of it")
        if not 1 <= count <= available:
            raise ValueError(
                f"{part} must be from 1 to the {available} of {data.name}, got {count}"
            )
        data = _part_of(data, part.removesuffix("_images"), count)
    return data


def _part_of(data: InMemoryData, part: str, count: int) -> InMemoryData:
    images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
    kept = torch.arange(count) * len(images) // count
    changes: dict[str, Any] = {
        f"{part}_images": images[kept],
        f"{part}_labels": labels[kept],
        f"{part}_count": count,
        "fingerprint": f"{data.fingerprint} {part} {count}",
    }
    return replace(data, **changes)


@dataclass(frozen=True)
class MethodRun:
    """One method, trained with several seeds.

    Attributes:
        task: what was trained.
        runs: one a seed.
        metrics: the content of metrics.json.
    """

    task: ClassificationTask
    runs: Sequence[SeedRun]
    metrics: Mapping[str, Any]


def run_method(
    method: str,
    config: TrainConfig,
    *,
    dataset: str,
    size: str,
    seeds: Sequence[int],
    out_dir: Path,
    label_smoothing: float = 0.0,
    data: ClassificationData | None = None,
    resume_dir: Path | None = None,
    show_progress: bool = True,
) -> MethodRun:
    """Train one method with every seed and write its run directory.

    Args:
        method: a name of `repro.models.names()`.
        config: its seed is replaced by each of `seeds`.
        dataset: a name of `repro.data.load_classification`; ignored where `data` is given.
        size, label_smoothing: see `ClassificationTask`.
        seeds: each at most once; the finished ones are remembered under build/resume.
        out_dir: gets metrics.json, history.csv, params.json, env.json and seeds/<seed>.json.
        data: the dataset itself, if it is already loaded.
        resume_dir, show_progress: see `repro.training.runs.train_seeds`.
    Raises:
        UnknownNameError: method, dataset or size.
        NonFiniteError: training broke down.
        OSError: `out_dir` cannot be written.
    """
    data = data or load_classification(dataset)
    task = ClassificationTask(method, data, size=size, label_smoothing=label_smoothing)
    directory = RunDirectory(out_dir, parameters(task, config, seeds), config)
    runs = []
    for run in train_seeds(task, config, seeds, resume_dir=resume_dir, show_progress=show_progress):
        directory.add_seed(run)
        runs.append(run)
    metrics = {"method": method, **details(task, config), **summarise(runs)}
    directory.finish(metrics, history_table({method: runs}))
    return MethodRun(task, runs, metrics)


def run_variants(
    variants: Mapping[str, Sequence[str]],
    config: TrainConfig,
    *,
    dataset: str,
    size: str,
    seeds: Sequence[int],
    out_dir: Path,
    data: ClassificationData | None = None,
    resume_dir: Path | None = None,
    show_progress: bool = True,
) -> dict[str, MethodRun]:
    """Train methods side by side, and compare each with its base, paired by seed.

    A variant whose training breaks down is a result here: its seed has None for figures.

    Args:
        variants: base -> the methods that are compared with it, without the base; all are names of
            `repro.models.names()`, each given once.
        config, dataset, size, seeds, data, resume_dir, show_progress: see `run_method`.
        out_dir: gets metrics.json with all methods under "variants", each with its base and the
            paired difference of its top-1 to the base's; history.csv, params.json, env.json and
            seeds/<method>/<seed>.json.
    Returns:
        Method -> its run, every base before its variants.
    Raises:
        ValueError: no methods, or one that is given twice.
        UnknownNameError, OSError: as `run_method`.
    """
    base_of = _base_of_each(variants)
    data = data or load_classification(dataset)
    tasks = [ClassificationTask(method, data, size=size) for method in base_of]
    asked = {**parameters(tasks[0], config, seeds), "variants": variants}
    del asked["method"]
    directory = RunDirectory(out_dir, asked, config)
    found: dict[str, MethodRun] = {}
    for task in tasks:
        base = base_of[task.name]
        runs = []
        for run in train_seeds(
            task,
            config,
            seeds,
            resume_dir=resume_dir,
            stop_at_nan=False,
            show_progress=show_progress,
        ):
            directory.add_seed(run, task.name)
            runs.append(run)
        metrics = {"base": base, **summarise(runs)}
        paired = list(differences(runs, found[base].runs).values()) if base in found else []
        metrics["difference_top1"] = asdict(mean_interval(paired)) if paired else None
        found[task.name] = MethodRun(task, runs, metrics)
    content = {
        **details(tasks[0], config),
        "variants": {method: run.metrics for method, run in found.items()},
    }
    directory.finish(content, history_table({method: run.runs for method, run in found.items()}))
    return found


def _base_of_each(variants: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Method -> its base, every base before its variants and its own base."""
    methods = [method for base, others in variants.items() for method in (base, *others)]
    twice = sorted({method for method in methods if methods.count(method) > 1})
    if not methods or twice:
        raise ValueError(f"methods must be at least one, each once; twice: {twice}")
    return {method: base for base, others in variants.items() for method in (base, *others)}


def details(task: ClassificationTask, config: TrainConfig) -> dict[str, Any]:
    """What a reader of a run's figures must know about it."""
    return {
        "dataset": task.data.name,
        "size": task.size,
        "image_size": task.data.image_size,
        "num_classes": task.data.num_classes,
        "train_images": task.data.train_count,
        "test_images": task.data.test_count,
        "epochs": config.epochs,
    }


def parameters(
    task: ClassificationTask, config: TrainConfig, seeds: Sequence[int]
) -> dict[str, Any]:
    """Everything that was asked for, for params.json."""
    train = {name: value for name, value in asdict(config).items() if name != "seed"}
    return {**task.identity(), **train, "seeds": list(seeds)}


def differences(
    runs: Sequence[SeedRun], base: Sequence[SeedRun], metric: str = "top1"
) -> dict[int, float]:
    """Seed -> `metric` of `runs` less that of `base`, for the seeds that neither broke down in."""
    theirs = {run.seed: run.metrics[metric] for run in base if run.failure is None}
    return {
        run.seed: run.metrics[metric] - theirs[run.seed]
        for run in runs
        if run.failure is None and run.seed in theirs
    }
