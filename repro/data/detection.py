"""One way to get any detection dataset by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from repro.data import coco, registry, scenes, voc
from repro.data.detection_images import (
    ChosenImages,
    DetectionData,
    DetectionImage,
    DetectionImages,
    FileImages,
    ImageRecord,
    Objects,
    Pixels,
    fingerprint,
)
from repro.data.errors import DataError
from repro.names import require_known

__all__ = [
    "DetectionData",
    "DetectionImage",
    "DetectionImages",
    "Objects",
    "detection_names",
    "limited",
    "load_detection",
    "without_empty",
]

SCENES = "scenes"
BCCD = "bccd"
BCCD_CLASSES = ("RBC", "WBC", "Platelets")


@dataclass(frozen=True)
class _CocoLayout:
    """Where a dataset of COCO's format keeps its parts.

    Attributes:
        train, test: (json file, folder of the images) within the dataset's folder.
        area_unit: see `DetectionData`.
        stretch: spread the grey levels of each image over 0..255.
        remark: what is special about the figures.
    """

    train: tuple[str, str]
    test: tuple[str, str]
    area_unit: float = 32.0
    stretch: bool = False
    remark: str = ""


_TRAIN_2017 = ("annotations/instances_train2017.json", "train2017")
_VAL_2017 = ("annotations/instances_val2017.json", "val2017")
COCO_LAYOUTS: Mapping[str, _CocoLayout] = {
    "coco": _CocoLayout(_TRAIN_2017, _VAL_2017),
    "coco_mini": _CocoLayout(
        _TRAIN_2017,
        _VAL_2017,
        area_unit=32 * 384 / 640,
        remark="images reduced from 640 to 384 pixels, the limits of small and large with them",
    ),
    "dsb2018_nuclei": _CocoLayout(
        train=("annotations/instances_train.json", "images"),
        test=("annotations/instances_test.json", "images"),
        stretch=True,
        remark="the grey levels of each image stretched to 0..255, since many images are dim",
    ),
}


def detection_names() -> list[str]:
    """Every name that `load_detection` takes."""
    return [SCENES, *COCO_LAYOUTS, BCCD]


def load_detection(
    name: str, *, root: Path | None = None, seed: int = 0, skip_damaged: bool = False
) -> DetectionData:
    """A detection dataset.

    Args:
        name: "scenes" (made from the bundled images), "coco", "coco_mini", "dsb2018_nuclei",
            "bccd".
        root: the folder that holds the dataset's folder; None is `$REPRO_DATA`, or `data_root` of
            params.yaml. The scenes need none.
        seed: of the scenes.
        skip_damaged: leave out images that are missing or cannot be decoded, after decoding each
            once; they are logged and counted in the note. Otherwise one raises where it is met.
    Raises:
        UnknownNameError: no such dataset; says what was probably meant.
        DataError: it is missing, damaged, or not of its format; names the file. Also where the two
            parts have different categories, or one has masks and the other none.
    """
    require_known("detection dataset", name, detection_names())
    if name == SCENES:
        return scenes.load_scenes(seed)
    folder = registry.locate(name, root)
    if name == BCCD:
        return _load_bccd(folder, skip_damaged)
    return _load_coco(name, folder, COCO_LAYOUTS[name], skip_damaged)


def limited(
    data: DetectionData, train_images: int | None, test_images: int | None
) -> DetectionData:
    """A smaller version of a dataset: for a first look, or to overfit.

    Args:
        train_images, test_images: how many to keep, evenly spaced; None keeps all.
    Raises:
        ValueError: a number out of range.
    """
    for part, count in (("train", train_images), ("test", test_images)):
        if count is None:
            continue
        images: DetectionImages = getattr(data, part)
        if not 1 <= count <= len(images):
            raise ValueError(
                f"{part}_images must be from 1 to the {len(images)} of {data.name}, got {count}"
            )
        indices = tuple(place * len(images) // count for place in range(count))
        data = _with_part(data, part, ChosenImages(images, indices), str(count))
    return data


def without_empty(data: DetectionData) -> DetectionData:
    """Leave out the training images in which nothing is to be found, crowds aside.

    Source: the MMDetection configurations that both papers train with (`filter_empty_gt`).
    """
    counts = (int((~data.train.objects(index).crowd).sum()) for index in range(len(data.train)))
    indices = tuple(index for index, count in enumerate(counts) if count)
    return _with_part(data, "train", ChosenImages(data.train, indices), "not empty")


def _with_part(data: DetectionData, part: str, images: DetectionImages, mark: str) -> DetectionData:
    identity = f"{data.fingerprint} {part} {mark}"
    if part == "train":
        return replace(data, train=images, fingerprint=identity)
    return replace(data, test=images, fingerprint=identity)


def _load_coco(name: str, folder: Path, layout: _CocoLayout, skip_damaged: bool) -> DetectionData:
    train, test = (
        coco.read_coco(folder / file, folder / images, skip_damaged=skip_damaged)
        for file, images in (layout.train, layout.test)
    )
    for what in ("categories", "has_masks"):
        if getattr(train, what) != getattr(test, what):
            raise DataError(
                f"{what} differ between {folder / layout.train[0]} and {folder / layout.test[0]}"
            )
    decode = coco.decode_mask if train.has_masks else None
    prepare = stretch if layout.stretch else None
    return DetectionData(
        name=name,
        class_names=tuple(category for _, category in train.categories),
        has_masks=train.has_masks,
        train=FileImages(train.records, decode, prepare),
        test=FileImages(test.records, decode, prepare),
        fingerprint=fingerprint(train.digest + test.digest, train.records, test.records),
        category_ids={label: key for label, (key, _) in enumerate(train.categories, start=1)},
        note=_note(train, test, layout.remark),
        area_unit=layout.area_unit,
    )


def _load_bccd(folder: Path, skip_damaged: bool) -> DetectionData:
    """Trained on trainval, tested on test, as VOC is; no choice is made on val."""
    if not (folder / "Annotations").is_dir():
        folder = folder / "BCCD"  # as its repository has it
    train, test = (
        voc.read_voc(folder, part, BCCD_CLASSES, skip_damaged=skip_damaged)
        for part in ("trainval", "test")
    )
    return DetectionData(
        name=BCCD,
        class_names=BCCD_CLASSES,
        has_masks=False,
        train=FileImages(train.records),
        test=FileImages(test.records),
        fingerprint=fingerprint(train.digest + test.digest, train.records, test.records),
        category_ids={label: label for label in range(1, len(BCCD_CLASSES) + 1)},
        note=_note(train, test, "trained on trainval"),
    )


def stretch(image: Pixels) -> Pixels:
    """Spread the levels of an image over 0..255; a flat one becomes black."""
    low, high = int(image.min()), int(image.max())
    levels = (image.astype(np.float32) - low) * (255 / max(high - low, 1))
    return levels.round().astype(np.uint8)


def _note(
    train: coco.CocoPart | voc.VocPart, test: coco.CocoPart | voc.VocPart, remark: str
) -> str:
    """What was dropped or skipped, if anything, after the remark."""
    parts = [remark] if remark else []
    for what, counts in (
        ("boxes without area dropped", (train.degenerate, test.degenerate)),
        ("damaged images skipped", (train.damaged, test.damaged)),
        ("images without objects", (_empty(train.records), _empty(test.records))),
    ):
        if any(counts):
            parts.append(f"{what}: {counts[0]} train, {counts[1]} test")
    return "; ".join(parts)


def _empty(records: tuple[ImageRecord, ...]) -> int:
    return sum(len(record.objects) == 0 for record in records)
