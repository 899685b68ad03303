"""Cityscapes: 19 classes of street scenes, 1024 x 2048, finely labelled."""

from __future__ import annotations

from pathlib import Path

from repro.data.errors import DataError
from repro.data.segmentation_images import (
    IGNORE,
    FileImages,
    LabelledFile,
    LabelLookup,
    SegmentationData,
    fingerprint,
    label_lookup,
    read_table,
)

_IMAGE_END = "_leftImg8bit.png"
_LABEL_IDS, _TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"


def read(folder: Path) -> SegmentationData:
    """The training part, and the validation part to test on: the test labels are not public.

    Args:
        folder: leftImg8bit/{train,val}/<city>/*_leftImg8bit.png and
            gtFine/{train,val}/<city>/*_gtFine_labelIds.png, as they are distributed, or
            *_gtFine_labelTrainIds.png, as cityscapesScripts makes them. Where both are there the
            former are read.
    Raises:
        DataError: a folder is missing or empty, images have no labels, or some have labels of one
            kind and some of the other; names what is missing.
    Source: Cordts et al. (arXiv 1604.01685); the table is that of cityscapesScripts.
    """
    table = read_table("cityscapes")
    evaluated = sorted(
        (row for row in table if 0 <= row["train_id"] < IGNORE), key=lambda row: row["train_id"]
    )
    train_images, test_images = _images(folder, "train"), _images(folder, "val")
    ending = _label_ending(folder, train_images + test_images)
    lookup = lookup_of_ids() if ending == _LABEL_IDS else lookup_of_train_ids()
    train, test = _labelled(folder, train_images, ending), _labelled(folder, test_images, ending)
    return SegmentationData(
        name="cityscapes",
        class_names=tuple(row["name"] for row in evaluated),
        colours=tuple(tuple(row["colour"]) for row in evaluated),
        train=FileImages(train, lookup),
        test=FileImages(test, lookup),
        fingerprint=fingerprint(lookup, train, test),
        note=f"tested on the validation part; labels from *{ending}",
    )


def lookup_of_ids() -> LabelLookup:
    """Official label ids, 0 to 33, to train ids; the id -1 (license plate) is in no label file."""
    return label_lookup(
        {row["id"]: row["train_id"] for row in read_table("cityscapes") if row["id"] >= 0}
    )


def lookup_of_train_ids() -> LabelLookup:
    """Train ids to themselves."""
    train_ids = [row["train_id"] for row in read_table("cityscapes") if row["train_id"] >= 0]
    return label_lookup({train_id: train_id for train_id in train_ids})


def _images(folder: Path, part: str) -> list[Path]:
    top = folder / "leftImg8bit" / part
    found = sorted(top.glob(f"*/*{_IMAGE_END}"))
    if not found:
        raise DataError(f"{top}: expected <city>/*{_IMAGE_END}, found none")
    return found


def _labels_of(folder: Path, image: Path, ending: str) -> Path:
    place = folder / "gtFine" / image.parents[1].name / image.parent.name
    return place / f"{image.name.removesuffix(_IMAGE_END)}{ending}"


def _label_ending(folder: Path, images: list[Path]) -> str:
    """How the names of the label files end, the same for all images."""
    missing = {
        ending: [
            path for image in images if not (path := _labels_of(folder, image, ending)).is_file()
        ]
        for ending in (_LABEL_IDS, _TRAIN_IDS)
    }
    ending = min(missing, key=lambda kind: len(missing[kind]))
    if missing[ending]:
        raise DataError(
            f"labels of {len(missing[ending])} of {len(images)} images missing: "
            f"{missing[ending][0]}; every image needs *{_LABEL_IDS}, or every image *{_TRAIN_IDS}"
        )
    return ending


def _labelled(folder: Path, images: list[Path], ending: str) -> tuple[LabelledFile, ...]:
    return tuple(
        LabelledFile(image.name.removesuffix(_IMAGE_END), image, _labels_of(folder, image, ending))
        for image in images
    )
