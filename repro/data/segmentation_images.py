"""What every segmentation dataset gives: images with a class for each pixel, decoded when used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from repro import files
from repro.data.errors import DataError
from repro.data.image_folder import read_image

IGNORE = 255
"""The label of a pixel that neither trains nor counts."""

Colour = tuple[int, int, int]
LabelLookup = NDArray[np.int16]
"""(256,): the train id of each value in a label file, -1 where the value must not occur."""

_CLASS_NUMBERS = ("L", "P")  # a palette only says in which colours to show the numbers
_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg")


@dataclass(frozen=True)
class SegmentationImage:
    """An image and the class of each of its pixels.

    Attributes:
        name: of the image, unique in its part of the dataset.
        image: (H, W, 3) uint8.
        labels: (H, W) uint8 train ids, `IGNORE` where there is none.
    Raises:
        ValueError: another type or shape, or sizes that differ.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.image.dtype != np.uint8 or self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(
                f"{self.name}: image must be (H, W, 3) uint8, got {self.image.shape} "
                f"{self.image.dtype}"
            )
        if self.labels.dtype != np.uint8 or self.labels.shape != self.image.shape[:2]:
            raise ValueError(
                f"{self.name}: labels must be {self.image.shape[:2]} uint8, the size of the "
                f"image, got {self.labels.shape} {self.labels.dtype}"
            )


@dataclass(frozen=True)
class LabelledFile:
    """An image file and the file of its labels."""

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class FileImages(Sequence[SegmentationImage]):
    """Images in files, decoded each time they are asked for; a slice decodes nothing.

    Attributes:
        files: one an image.
        lookup: what the values in the label files mean.
    """

    files: tuple[LabelledFile, ...]
    lookup: LabelLookup

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[SegmentationImage]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> SegmentationImage: ...

    @overload
    def __getitem__(self, index: slice) -> FileImages: ...

    def __getitem__(self, index: int | slice) -> SegmentationImage | FileImages:
        """Raises DataError: see `read_labelled`."""
        if isinstance(index, slice):
            return replace(self, files=self.files[index])
        return read_labelled(self.files[index], self.lookup)

    def chosen(self, indices: Iterable[int]) -> FileImages:
        """The images of these indices, in this order."""
        return replace(self, files=tuple(self.files[index] for index in indices))


@dataclass(frozen=True)
class SegmentationData:
    """Images with labels, split into train and test.

    Attributes:
        name: as `load_segmentation` takes it.
        class_names: by train id.
        colours: by train id; how the dataset's authors show each class.
        train, test: the images.
        fingerprint: sha256 that differs where images, labels or their order differ.
        note: what a reader of the figures must know of the data.
    """

    name: str
    class_names: tuple[str, ...]
    colours: tuple[Colour, ...]
    train: Sequence[SegmentationImage]
    test: Sequence[SegmentationImage]
    fingerprint: str
    note: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def read_labelled(file: LabelledFile, lookup: LabelLookup) -> SegmentationImage:
    """Decode an image and its labels.

    Raises:
        DataError: either is missing or damaged, the labels are not class numbers, a label is not
            in `lookup`, or the sizes differ; names the file.
    """
    pixels = np.asarray(read_image(file.image))
    values = _read_class_numbers(file.labels)
    if values.shape != pixels.shape[:2]:
        raise DataError(
            f"{file.image} has {pixels.shape[0]} x {pixels.shape[1]} pixels, {file.labels} "
            f"{values.shape[0]} x {values.shape[1]}; they must be equal"
        )
    labels = lookup[values]
    if labels.min() < 0:
        counts = np.bincount(values[labels < 0], minlength=256)
        wrong = ", ".join(f"{value} ({counts[value]} pixels)" for value in counts.nonzero()[0][:5])
        raise DataError(f"{file.labels}: labels {wrong}; expected {_ranges(lookup)}")
    return SegmentationImage(file.name, pixels, labels.astype(np.uint8))


def label_lookup(train_ids: Mapping[int, int]) -> LabelLookup:
    """The lookup of a mapping from values in label files to train ids."""
    lookup = np.full(256, -1, dtype=np.int16)
    for value, train_id in train_ids.items():
        lookup[value] = train_id
    return lookup


def image_file(folder: Path, stem: str) -> Path:
    """The image of that name in `folder`, whatever its format.

    Raises:
        DataError: there is none.
    """
    for suffix in _IMAGE_SUFFIXES:
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise DataError(f"{folder / stem}: no image with suffix {', '.join(_IMAGE_SUFFIXES)}")


def require_labels(part: Iterable[LabelledFile]) -> tuple[LabelledFile, ...]:
    """All files of a part; raises DataError, with the first, unless all labels are there."""
    found = tuple(part)
    missing = [file.labels for file in found if not file.labels.is_file()]
    if missing:
        raise DataError(f"labels of {len(missing)} of {len(found)} images missing: {missing[0]}")
    return found


def fingerprint(lookup: LabelLookup, *parts: Sequence[LabelledFile]) -> str:
    """sha256 of the lookup and of every file's name and sizes, in order; it reads no image."""
    digest = hashlib.sha256(lookup.tobytes())
    for part in parts:
        digest.update(f"\0{len(part)}".encode())
        for file in part:
            sizes = (file.image.stat().st_size, file.labels.stat().st_size)
            digest.update(f"\0{file.name}\0{sizes}".encode())
    return digest.hexdigest()


def read_table(name: str) -> list[dict[str, Any]]:
    """An official table of labels, as the files in label_tables/ hold them."""
    path = Path(__file__).with_name("label_tables") / f"{name}.json"
    labels: list[dict[str, Any]] = files.read_json(path)["labels"]
    return labels


def limited(
    data: SegmentationData, train_images: int | None, test_images: int | None
) -> SegmentationData:
    """A smaller version of a dataset, for a first look or a test.

    Args:
        train_images, test_images: how many images to keep, evenly spaced; None keeps all.
    Raises:
        ValueError: a number out of range.
    """
    if train_images is not None:
        train = _evenly(data, "train", data.train, train_images)
        data = replace(data, train=train, fingerprint=_cut(data, "train", train_images))
    if test_images is not None:
        test = _evenly(data, "test", data.test, test_images)
        data = replace(data, test=test, fingerprint=_cut(data, "test", test_images))
    return data


def _evenly(
    data: SegmentationData, part: str, images: Sequence[SegmentationImage], count: int
) -> Sequence[SegmentationImage]:
    if not 1 <= count <= len(images):
        raise ValueError(
            f"{part}_images must be from 1 to the {len(images)} of {data.name}, got {count}"
        )
    indices = [number * len(images) // count for number in range(count)]
    if isinstance(images, FileImages):
        return images.chosen(indices)
    return tuple(images[index] for index in indices)


def _cut(data: SegmentationData, part: str, count: int) -> str:
    return hashlib.sha256(f"{data.fingerprint} {part} {count}".encode()).hexdigest()


def _read_class_numbers(path: Path) -> NDArray[np.uint8]:
    """(H, W): the numbers in a grey or a palette image, never their colours."""
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode not in _CLASS_NUMBERS:
                raise DataError(
                    f"{path}: expected class numbers of 8 bits (mode {' or '.join(_CLASS_NUMBERS)})"
                    f", got mode {image.mode}; a picture in the classes' colours is no label file"
                )
            return np.array(image)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three on damaged files
        raise DataError(f"{path}: cannot be decoded: {error}") from error


def _ranges(lookup: LabelLookup) -> str:
    """The values a lookup knows: "0..11, 255"."""
    known = np.flatnonzero(lookup >= 0)
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
