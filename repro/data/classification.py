"""One way to get any classification dataset by name."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch

from repro import paths
from repro.data import image_folder, patches, registry
from repro.data.batches import ClassificationData
from repro.data.in_memory import CropAndFlip, InMemoryData, channel_statistics
from repro.data.streamed import StreamedData
from repro.names import require_known

log = logging.getLogger(__name__)

SIDE_IN_MEMORY = {"cifar10": 32, "tinyimagenet20": 64, "tiny-imagenet": 64}
SIDE_STREAMED = {"imagenet": 224}


def classification_names() -> list[str]:
    """Every name that `load_classification` takes."""
    return ["patches", *SIDE_IN_MEMORY, *SIDE_STREAMED]


def load_classification(
    name: str, *, root: Path | None = None, seed: int | None = None, workers: int | None = None
) -> ClassificationData:
    """A classification dataset.

    Args:
        name: "patches" (from the bundled images, made here if it is not there), or a dataset of
            class folders: "cifar10", "tinyimagenet20", "tiny-imagenet", "imagenet".
        root: the folder that holds the dataset's folder. None is build/data for the patches and
            `$REPRO_DATA`, or `data_root` of params.yaml, for the others.
        seed: of the patches; None takes those that are prepared, or makes those of seed 0.
        workers: processes that decode large images; None takes one a core, at most eight.
    Raises:
        UnknownNameError: no such dataset; says what was probably meant.
        DataError: it is missing, damaged, or of another seed; says where, and how to repair it.
    """
    require_known("dataset", name, classification_names())
    if name == "patches":
        return _load_patches((root or paths.build_dir() / "data") / "patches", seed)
    folder = image_folder.scan(registry.locate(name, root))
    if name in SIDE_IN_MEMORY:
        return _in_memory(name, folder, SIDE_IN_MEMORY[name])
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    return _streamed(name, folder, SIDE_STREAMED[name], workers)


def _load_patches(folder: Path, seed: int | None) -> InMemoryData:
    if not (folder / "task.json").exists():
        log.info("preparing the patches in %s", folder)
        patches.prepare_patches(folder, seed or 0)
    return patches.load_patches(folder, seed)


def _in_memory(name: str, folder: image_folder.ImageFolder, side: int) -> InMemoryData:
    train = image_folder.read_all(folder.train, side)
    mean, deviation = channel_statistics(train)
    padding = side // 8
    return InMemoryData(
        name=name,
        class_names=folder.class_names,
        image_size=side,
        in_channels=3,
        augmentation=f"pad by {padding}, random crop, mirror",
        train_count=len(folder.train),
        test_count=len(folder.test),
        fingerprint=folder.fingerprint(),
        train_images=train,
        train_labels=torch.tensor(folder.train.labels),
        test_images=image_folder.read_all(folder.test, side),
        test_labels=torch.tensor(folder.test.labels),
        policy=CropAndFlip(mean, deviation, padding),
    )


def _streamed(name: str, folder: image_folder.ImageFolder, side: int, workers: int) -> StreamedData:
    return StreamedData(
        name=name,
        class_names=folder.class_names,
        image_size=side,
        in_channels=3,
        augmentation="random crop of 8-100 % of the area, resized; mirror",
        train_count=len(folder.train),
        test_count=len(folder.test),
        fingerprint=folder.fingerprint(),
        train=folder.train,
        test=folder.test,
        workers=workers,
    )
