"""NYU Depth V2's labels: indoor scenes, 480 x 640, the first 39 of its usual 40 classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from repro.data.errors import DataError
from repro.data.segmentation_images import (
    IGNORE,
    Colour,
    FileImages,
    LabelledFile,
    SegmentationData,
    fingerprint,
    image_file,
    label_lookup,
    require_labels,
)

NUM_CLASSES = 39


def read(folder: Path) -> SegmentationData:
    """The two parts that `splits.json` names.

    Args:
        folder: rgb/NNNN.jpg, labels39/NNNN.png (0..38, 255 for the 40th class and for no label) and
            splits.json: {"segmentation": {"train": [...], "test": [...]}, "classes39": [...]}.
    Raises:
        DataError: splits.json is missing or lacks a part, or an image or its labels are missing.
    Source: Silberman et al. (2012); 40 classes and split of Gupta et al. (2013).
    Deviates: the 40th class ("otherprop") is ignored: the labels do not tell it from no label.
    """
    splits = folder / "splits.json"
    try:
        content = json.loads(splits.read_text(encoding="utf-8"))
        parts, names = content["segmentation"], tuple(content["classes39"])
        stems = {part: list(parts[part]) for part in ("train", "test")}
    except OSError as error:
        raise DataError(f"{splits}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{splits} must hold "segmentation" with "train" and "test", and "classes39": {error!r}'
        ) from error
    _require_parts(splits, stems, names)
    lookup = label_lookup({**{label: label for label in range(NUM_CLASSES)}, IGNORE: IGNORE})
    train, test = _part(folder, stems["train"]), _part(folder, stems["test"])
    return SegmentationData(
        name="nyu39",
        class_names=names,
        colours=colour_map(NUM_CLASSES),
        train=FileImages(train, lookup),
        test=FileImages(test, lookup),
        fingerprint=fingerprint(lookup, train, test),
        note=f"{len(train)} of the official 795 frames train, {len(test)} of 654 test; the 40th "
        "class is ignored",
    )


def colour_map(count: int) -> tuple[Colour, ...]:
    """PASCAL VOC's colours from its second on; the dataset has none of its own.

    The bits of the number, three at a time, become the high bits of red, green and blue.
    """
    colours = []
    for number in range(1, count + 1):
        red, green, blue = (
            sum((number >> 3 * place + channel & 1) << 7 - place for place in range(3))
            for channel in range(3)
        )
        colours.append((red, green, blue))
    return tuple(colours)


def _require_parts(splits: Path, stems: dict[str, list[Any]], names: tuple[str, ...]) -> None:
    if len(names) != NUM_CLASSES:
        raise DataError(f'{splits}: "classes39" must be {NUM_CLASSES} names, got {len(names)}')
    for part, found in stems.items():
        if not found:
            raise DataError(f'{splits}: "segmentation" names no image in "{part}"')
    both = sorted(set(stems["train"]) & set(stems["test"]))
    if both:
        raise DataError(f"{splits}: {len(both)} images in train and test: {', '.join(both[:5])}")


def _part(folder: Path, stems: list[str]) -> tuple[LabelledFile, ...]:
    return require_labels(
        LabelledFile(stem, image_file(folder / "rgb", stem), folder / "labels39" / f"{stem}.png")
        for stem in stems
    )
