"""Reading COCO's json: boxes, polygon and run-length masks, crowds.

The official layout is annotations/instances_{train,val}2017.json beside the folders train2017 and
val2017. Whatever is wrong with a file is said with its path and the entry at fault.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.data.detection_images import (
    ImageRecord,
    Mask,
    Objects,
    clip_boxes,
    require_files,
    without_damaged,
)
from repro.data.errors import DataError


@dataclass(frozen=True)
class CocoPart:
    """One json file, read and checked.

    Attributes:
        records: the images, sorted by their id.
        categories: (id, name) of each category, sorted by id; label k is the k-th, from 1 on.
        has_masks: every object has one.
        degenerate: objects dropped because their box has no area within the image.
        damaged: images skipped because they are missing or cannot be decoded.
        digest: sha256 of the json file.
    """

    records: tuple[ImageRecord, ...]
    categories: tuple[tuple[int, str], ...]
    has_masks: bool
    degenerate: int
    damaged: int
    digest: str


def read_coco(file: Path, folder: Path, *, skip_damaged: bool = False) -> CocoPart:
    """Read a json file of COCO's format; the images are looked for but not decoded.

    Boxes are cut to the image; an object whose box is left without width or height is dropped and
    counted. Images without objects stay.

    Args:
        file: the annotations.
        folder: holds the images.
        skip_damaged: decode every image once and leave out those that are missing or damaged,
            counted and logged; otherwise a missing one raises here, a damaged one where it is used.
    Raises:
        DataError: the file is not there, not JSON, or not COCO's: a list or field is missing or of
            the wrong type; an image or category id comes twice; an object belongs to no image or
            category; a box is not four finite numbers; a mask is not of its image's size, or only
            some objects have one; an image is not there.
    """
    text = _bytes_of(file)
    content = _parsed(text, file)
    categories = _categories(content, file)
    images = {image["id"]: image for image in _entries(content, "images", file)}
    label_of = {identity: place for place, (identity, _) in enumerate(categories, start=1)}
    objects: dict[int, list[Mapping[str, Any]]] = {identity: [] for identity in images}
    for annotation in _entries(content, "annotations", file):
        checked = _checked(annotation, images, label_of, file)
        objects[annotation["image_id"]].append(checked)
    masked = [bool(a.get("segmentation")) for found in objects.values() for a in found]
    if any(masked) and not all(masked):
        raise DataError(f"{file}: {masked.count(False)} of {len(masked)} objects have no mask")
    has_masks = any(masked)
    records, degenerate = [], 0
    for identity in sorted(images):
        record = _record(images[identity], objects[identity], label_of, folder, has_masks)
        records.append(record)
        degenerate += len(objects[identity]) - len(record.objects)
    kept = without_damaged(records) if skip_damaged else require_files(records)
    damaged = len(records) - len(kept)
    digest = hashlib.sha256(text).hexdigest()
    return CocoPart(kept, categories, has_masks, degenerate, damaged, digest)


def decode_mask(segmentation: Any, height: int, width: int) -> Mask:
    """The mask of a list of polygons, or of run lengths, compressed or not: (H, W) bool.

    Raises:
        ImportError: polygons, and pycocotools is not installed.
        ValueError: the run lengths do not fill the image. (pycocotools leaves the rest empty.)
    """
    if isinstance(segmentation, list):
        from pycocotools import mask as outlines  # not everywhere that masks are trained on

        runs = outlines.merge(outlines.frPyObjects(segmentation, height, width))["counts"].decode()
    else:
        runs = segmentation["counts"]
    lengths = np.array(run_lengths(runs) if isinstance(runs, str) else runs, dtype=np.int64)
    if lengths.sum() != height * width or (lengths < 0).any():
        raise ValueError(
            f"the run lengths sum to {lengths.sum()}, the image has {height * width} pixels"
        )
    inside = np.arange(len(lengths)) % 2 == 1
    mask: Mask = np.repeat(inside, lengths).reshape(width, height).T  # columns come one by one
    return mask


def run_lengths(text: str) -> list[int]:
    """The lengths that a compressed mask stands for, outside and inside by turns.

    Six bits a character, from "0" on: five of the number, lowest first, and one if more follow; the
    highest is the sign. From the fourth on, a number is the difference to the last but one.
    Source: `rleFrString` of pycocotools.

    Raises:
        ValueError: the last number is not complete, or a character is none of the 64.
    """
    lengths: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} has no place in compressed run lengths")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("the compressed run lengths end within a number")
    return lengths


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error


def _parsed(text: bytes, file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:  # broken JSON, or bytes that are no text
        raise DataError(f"{file} is not JSON: {error}") from error
    names = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in names):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{file} is not COCO's json: expected the lists {names}, found {found}")
    return content


_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "images": {"id": int, "file_name": str, "width": int, "height": int},
    "annotations": {"image_id": int, "category_id": int, "bbox": list},
    "categories": {"id": int, "name": str},
}


def _entries(content: Mapping[str, Any], kind: str, file: Path) -> Sequence[Mapping[str, Any]]:
    """The entries of one list, their fields checked; ids of images and categories are unique."""
    seen = set()
    for place, entry in enumerate(content[kind]):
        for name, expected in _FIELDS[kind].items():
            if not isinstance(entry, dict) or not isinstance(entry.get(name), expected):
                raise DataError(f"{file}: {kind}[{place}] has no valid {name!r}: {_short(entry)}")
        if kind != "annotations":
            if entry["id"] in seen:
                raise DataError(f"{file}: id {entry['id']} comes twice in {kind}")
            seen.add(entry["id"])
    entries: Sequence[Mapping[str, Any]] = content[kind]
    return entries


def _categories(content: Mapping[str, Any], file: Path) -> tuple[tuple[int, str], ...]:
    entries = _entries(content, "categories", file)
    return tuple(sorted((entry["id"], entry["name"]) for entry in entries))


def _checked(
    annotation: Mapping[str, Any],
    images: Mapping[int, Mapping[str, Any]],
    labels: Mapping[int, int],
    file: Path,
) -> Mapping[str, Any]:
    """The annotation, its segmentation made compact."""
    where = f"{file}: annotation {annotation.get('id', '(no id)')}"
    if annotation["image_id"] not in images:
        raise DataError(f"{where}: unknown image id {annotation['image_id']}")
    if annotation["category_id"] not in labels:
        raise DataError(
            f"{where}: unknown category id {annotation['category_id']}; known: {_short([*labels])}"
        )
    box = annotation["bbox"]
    if len(box) != 4 or not all(_is_number(side) for side in box):
        raise DataError(f"{where}: bbox must be four finite numbers, got {_short(box)}")
    if not _is_number(annotation.get("area", 0.0)):
        raise DataError(f"{where}: area must be a finite number, got {_short(annotation['area'])}")
    if not annotation.get("segmentation"):
        return annotation
    image = images[annotation["image_id"]]
    try:
        compact = _compact(annotation["segmentation"], image["height"], image["width"])
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    return {**annotation, "segmentation": compact}


def _compact(segmentation: Any, height: int, width: int) -> Any:
    """A segmentation with arrays for its lists, which take a quarter of the memory.

    Raises:
        ValueError: it is none, or not of this size.
    """
    if isinstance(segmentation, list):
        return [_polygon(corners) for corners in segmentation]
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise ValueError(f"segmentation must be polygons or run lengths: {_short(segmentation)}")
    if segmentation["size"] != [height, width]:
        raise ValueError(f"the mask is of size {segmentation['size']}, its image {[height, width]}")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return {"counts": counts}
    lengths = np.array(counts)
    if lengths.ndim != 1 or lengths.dtype.kind != "i":
        raise ValueError(f"counts must be whole numbers or a string: {_short(counts)}")
    if lengths.sum() != height * width:
        raise ValueError(
            f"the run lengths sum to {lengths.sum()}, the image has {height * width} pixels"
        )
    return {"counts": lengths}


def _polygon(corners: Any) -> NDArray[np.float64]:
    """x and y of each corner by turns."""
    # pycocotools takes a list of four numbers for a box.
    if not isinstance(corners, list) or len(corners) < 6 or len(corners) % 2:
        raise ValueError(f"a polygon must be at least three pairs of numbers: {_short(corners)}")
    numbers = np.array(corners)
    if numbers.ndim != 1 or numbers.dtype.kind not in "if" or not np.isfinite(numbers).all():
        raise ValueError(f"a polygon must be finite numbers: {_short(corners)}")
    return numbers.astype(np.float64)


def _record(
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    labels: Mapping[int, int],
    folder: Path,
    has_masks: bool,
) -> ImageRecord:
    """One image with those of its objects that have a box."""
    height, width = image["height"], image["width"]
    corners = [(x, y, x + w, y + h) for x, y, w, h in (a["bbox"] for a in annotations)]
    boxes, sound = clip_boxes(np.array(corners, dtype=np.float32).reshape(-1, 4), height, width)
    kept = [annotation for annotation, keep in zip(annotations, sound, strict=True) if keep]
    objects = Objects(
        boxes=boxes[sound],
        labels=np.array([labels[a["category_id"]] for a in kept], dtype=np.int64),
        crowd=np.array([bool(a.get("iscrowd", 0)) for a in kept], dtype=bool),
        areas=_areas(kept, boxes[sound]),
    )
    segmentations = tuple(a["segmentation"] for a in kept) if has_masks else ()
    name = image["file_name"]
    return ImageRecord(name, folder / name, height, width, objects, segmentations)


def _areas(
    annotations: Sequence[Mapping[str, Any]], boxes: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The areas that the file states, of the boxes where it states none."""
    sides = boxes[:, 2:] - boxes[:, :2]
    stated = [a.get("area", w * h) for a, (w, h) in zip(annotations, sides, strict=True)]
    return np.array(stated, dtype=np.float32)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
