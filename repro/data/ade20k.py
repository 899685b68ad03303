"""ADE20K as its scene parsing challenge cut it: 150 classes, images of many sizes."""

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
    require_labels,
)


def read(folder: Path) -> SegmentationData:
    """The training part, and the validation part to test on: the test labels are not public.

    Args:
        folder: images/{training,validation}/*.jpg and annotations/{training,validation}/*.png, of
            ADEChallengeData2016.
    Raises:
        DataError: a folder is missing or empty, or an image has no labels; names it.
    Source: Zhou et al. (arXiv 1608.05442); names and colours of CSAILVision/sceneparsing.
    """
    table = read_table("ade20k")
    lookup = lookup_of_labels()
    train, test = _part(folder, "training"), _part(folder, "validation")
    return SegmentationData(
        name="ade20k",
        class_names=tuple(row["name"] for row in table),
        colours=tuple(tuple(row["colour"]) for row in table),
        train=FileImages(train, lookup),
        test=FileImages(test, lookup),
        fingerprint=fingerprint(lookup, train, test),
        note="tested on the validation part; a class name lists its synonyms",
    )


def lookup_of_labels() -> LabelLookup:
    """0, which stands for every other class, to ignore; 1..150 to 0..149."""
    return label_lookup({0: IGNORE, **{row["id"]: row["id"] - 1 for row in read_table("ade20k")}})


def _part(folder: Path, part: str) -> tuple[LabelledFile, ...]:
    images = sorted((folder / "images" / part).glob("*.jpg"))
    if not images:
        raise DataError(f"{folder / 'images' / part}: expected *.jpg, found none")
    annotations = folder / "annotations" / part
    return require_labels(
        LabelledFile(image.stem, image, annotations / f"{image.stem}.png") for image in images
    )
