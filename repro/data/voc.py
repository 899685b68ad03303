"""Reading Pascal VOC's layout: JPEGImages, Annotations/*.xml, ImageSets/Main/<part>.txt."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from repro.data.detection_images import (
    ImageRecord,
    Objects,
    clip_boxes,
    require_files,
    without_damaged,
)
from repro.data.errors import DataError
from repro.names import UnknownNameError, require_known


@dataclass(frozen=True)
class VocPart:
    """The images of one list in ImageSets/Main, read and checked.

    Attributes:
        records: in the order of the list.
        degenerate: objects dropped because their box has no area within the image.
        damaged: images skipped because they are missing or cannot be decoded.
        digest: sha256 of the annotations.
    """

    records: tuple[ImageRecord, ...]
    degenerate: int
    damaged: int
    digest: str


def read_voc(
    folder: Path, part: str, class_names: Sequence[str], *, skip_damaged: bool = False
) -> VocPart:
    """Read the annotations of one list of images; the images are looked for but not decoded.

    VOC counts pixels from 1 and includes both ends: xmin..xmax becomes x1 = xmin - 1, x2 = xmax.
    Boxes are cut to the image; an object whose box is left without width or height is dropped and
    counted. A box marked difficult becomes a crowd: not trained on, and not held against a
    detector that finds it or does not.

    Args:
        folder: holds JPEGImages, Annotations and ImageSets/Main.
        part: the list's name: "trainval", "train", "val", "test".
        class_names: label k is the k-th, from 1 on.
        skip_damaged: decode every image once and leave out those that are missing or damaged,
            counted and logged; otherwise a missing one raises here, a damaged one where it is used.
    Raises:
        DataError: a file is not there or not VOC's; an image comes twice; an object is of no known
            class, or its box is not four finite numbers. Names the file.
    """
    lines = _text_of(folder / "ImageSets" / "Main" / f"{part}.txt").split()
    twice = [line for line, count in Counter(lines).items() if count > 1]
    if twice:
        raise DataError(f"{folder}: {part}.txt names {', '.join(twice)} twice")
    digest = hashlib.sha256()
    records, degenerate = [], 0
    for line in lines:
        file = folder / "Annotations" / f"{line}.xml"
        text = _text_of(file)
        digest.update(f"{line}\0{text}\0".encode())
        record, dropped = _record(text, file, folder / "JPEGImages", class_names)
        records.append(record)
        degenerate += dropped
    kept = without_damaged(records) if skip_damaged else require_files(records)
    return VocPart(kept, degenerate, len(records) - len(kept), digest.hexdigest())


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error


def _record(
    text: str, file: Path, images: Path, class_names: Sequence[str]
) -> tuple[ImageRecord, int]:
    """One image, and how many of its boxes were dropped."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{file} is not XML: {error}") from error
    height, width = (int(_number(root, f"size/{name}", file)) for name in ("height", "width"))
    corners, labels, difficult = [], [], []
    for found in root.iterfind("object"):
        box = [_number(found, f"bndbox/{name}", file) for name in ("xmin", "ymin", "xmax", "ymax")]
        corners.append((box[0] - 1, box[1] - 1, box[2], box[3]))
        labels.append(_label(found, class_names, file))
        difficult.append(found.findtext("difficult", "0").strip() == "1")
    boxes, sound = clip_boxes(np.array(corners, dtype=np.float32).reshape(-1, 4), height, width)
    boxes = boxes[sound]
    objects = Objects(
        boxes=boxes,
        labels=np.array(labels, dtype=np.int64)[sound],
        crowd=np.array(difficult, dtype=bool)[sound],
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
    )
    # The xml names its image, but often by a name from before a renaming; the list is right.
    name = f"{file.stem}.jpg"
    return ImageRecord(name, images / name, height, width, objects), int((~sound).sum())


def _number(element: ElementTree.Element, path: str, file: Path) -> float:
    text = element.findtext(path)
    try:
        number = float(text or "nothing")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{file}: {element.tag}/{path} must be a finite number, got {text!r}")
    return number


def _label(found: ElementTree.Element, class_names: Sequence[str], file: Path) -> int:
    try:
        name = require_known("class", found.findtext("name", "").strip(), class_names)
    except UnknownNameError as error:
        raise DataError(f"{file}: {error}") from error
    return class_names.index(name) + 1
