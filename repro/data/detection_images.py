"""Images with boxes, labels and perhaps masks: what every detection dataset consists of."""

from __future__ import annotations

import hashlib
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.data.errors import DataError
from repro.data.image_folder import read_image

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Objects:
    """What is known of the n objects of an image without decoding it.

    Attributes:
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels; each has width and height.
        labels: (n,) int64, from 1 on.
        crowd: (n,) bool: a region of many, or of too difficult ones. Training leaves it out;
            evaluation counts what is found in it neither as right nor as wrong.
        areas: (n,) float32, pixels, as the file gives them (of the mask, where there are masks).
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DetectionImage:
    """One image and its n objects; n may be 0.

    Attributes:
        name: the file's, or a made-up one; names the image in messages.
        image: (H, W, 3) uint8.
        boxes, labels, crowd, areas: see `Objects`.
        masks: (n, H, W) bool; None where the dataset has none.
    """

    name: str
    image: Pixels
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: Mask | None
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float32]


class DetectionImages(ABC):
    """One part of a dataset, read or made as it is used: `len(images)`, `images[i]`, iteration."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> DetectionImage: ...

    @abstractmethod
    def objects(self, index: int) -> Objects:
        """The objects of image number `index`, without decoding the image or its masks."""

    def __iter__(self) -> Iterator[DetectionImage]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class ChosenImages(DetectionImages):
    """Some images of a part, in the order of `indices`."""

    images: DetectionImages
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> DetectionImage:
        return self.images[self.indices[index]]

    def objects(self, index: int) -> Objects:
        return self.images.objects(self.indices[index])


@dataclass(frozen=True)
class DetectionData:
    """Images with objects, split into train and test.

    Attributes:
        name: as `load_detection` takes it.
        class_names: by label less 1.
        has_masks: whether its images have masks.
        train, test: the two parts.
        fingerprint: sha256 that differs where the annotations, the files or their order differ.
        category_ids: label -> the file's own id of that category.
        note: what a reader of the figures must know: what was dropped, altered or skipped.
        area_unit: side in pixels that divides small objects from medium ones; three times as much
            divides medium from large. 32 is COCO's.
    """

    name: str
    class_names: tuple[str, ...]
    has_masks: bool
    train: DetectionImages
    test: DetectionImages
    fingerprint: str
    category_ids: Mapping[int, int]
    note: str
    area_unit: float = 32.0

    @property
    def num_classes(self) -> int:
        """Classes of objects; a detector has one more, the background."""
        return len(self.class_names)


@dataclass(frozen=True)
class ImageRecord:
    """A file that has not been decoded, and what the annotations say of it.

    Attributes:
        name: the file's name.
        path: where it lies.
        height, width: of the image.
        objects: what is in it.
        segmentations: one an object, as the annotations have them; empty where there are none.
    """

    name: str
    path: Path
    height: int
    width: int
    objects: Objects
    segmentations: tuple[Any, ...] = ()


@dataclass(frozen=True)
class FileImages(DetectionImages):
    """Images in files, decoded when they are asked for.

    Attributes:
        records: the files.
        decode_mask: makes the mask (H, W) of a segmentation, a height and a width; None where the
            dataset has no masks.
        prepare: applied to the pixels of every image; None leaves them alone.
    """

    records: tuple[ImageRecord, ...]
    decode_mask: Callable[[Any, int, int], Mask] | None = None
    prepare: Callable[[Pixels], Pixels] | None = None

    def __len__(self) -> int:
        return len(self.records)

    def objects(self, index: int) -> Objects:
        return self.records[index].objects

    def __getitem__(self, index: int) -> DetectionImage:
        """Decode one image.

        Raises:
            DataError: it is damaged, not of the size that the annotations state, or a mask of it
                cannot be decoded; names the file.
        """
        record = self.records[index]
        pixels = read_pixels(record)
        return DetectionImage(
            name=record.name,
            image=pixels if self.prepare is None else self.prepare(pixels),
            boxes=record.objects.boxes,
            labels=record.objects.labels,
            masks=self._masks(record),
            crowd=record.objects.crowd,
            areas=record.objects.areas,
        )

    def _masks(self, record: ImageRecord) -> Mask | None:
        if self.decode_mask is None:
            return None
        masks = np.zeros((len(record.objects), record.height, record.width), dtype=bool)
        for place, segmentation in enumerate(record.segmentations):
            try:
                masks[place] = self.decode_mask(segmentation, record.height, record.width)
            except (TypeError, ValueError) as error:
                raise DataError(f"{record.path}: mask {place}: {error}") from error
        return masks


def read_pixels(record: ImageRecord) -> Pixels:
    """The image of a record, (H, W, 3); raises DataError as `FileImages` does."""
    pixels = np.asarray(read_image(record.path))
    if pixels.shape[:2] != (record.height, record.width):
        raise DataError(
            f"{record.path}: expected {record.height} x {record.width} pixels from its "
            f"annotations, got {pixels.shape[0]} x {pixels.shape[1]}"
        )
    return pixels


def require_files(records: Sequence[ImageRecord]) -> tuple[ImageRecord, ...]:
    """All records; raises DataError, with the first that is missing, unless every file is there."""
    missing = [record.path for record in records if not record.path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(records)} images missing; first: {missing[0]}")
    return tuple(records)


def without_damaged(records: Sequence[ImageRecord]) -> tuple[ImageRecord, ...]:
    """The records whose image can be decoded; all are decoded once to find out.

    What is left out is named in the log.
    """

    def is_whole(record: ImageRecord) -> bool:
        try:
            read_pixels(record)
        except DataError as error:
            log.warning("skipped: %s", error)
            return False
        return True

    # Pillow lets go of the interpreter while it decodes, so threads do help.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        whole = list(pool.map(is_whole, records))
    return tuple(record for record, keep in zip(records, whole, strict=True) if keep)


def clip_boxes(
    boxes: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut boxes (n, 4) to the image; also (n,) bool, which of them still have width and height."""
    clipped = np.clip(boxes, 0, np.array([width, height] * 2, dtype=np.float32))
    sound = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    return clipped, sound


def fingerprint(annotations: str, *parts: Sequence[ImageRecord]) -> str:
    """sha256 of a digest of the annotations and of every file's name and size, in order.

    It does not read the images.
    """
    digest = hashlib.sha256(annotations.encode())
    for part in parts:
        digest.update(f"\0{len(part)}".encode())
        for record in part:
            digest.update(f"\0{record.name}\0{record.path.stat().st_size}".encode())
    return digest.hexdigest()
