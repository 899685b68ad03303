"""Reading images sorted into class folders: CIFAR-10, Tiny-ImageNet, ImageNet."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from repro.data.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
TEST_NAMES = (
    "val",
    "validation",
    "test",
)  # in this order: the test images of ImageNet are unlabelled
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


@dataclass(frozen=True)
class ImageList:
    """Files and their labels, sorted by class and name.

    Attributes:
        folder: what the paths are relative to.
        paths: one per image.
        labels: one per image, the index of its class.
    """

    folder: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        return self.folder / self.paths[index]


@dataclass(frozen=True)
class ImageFolder:
    """A dataset on disk: its classes, sorted by folder name, and its two parts."""

    class_names: tuple[str, ...]
    train: ImageList
    test: ImageList

    def fingerprint(self) -> str:
        """sha256 of every path, size and label; it does not read the images."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            for index, (path, label) in enumerate(zip(part.paths, part.labels, strict=True)):
                digest.update(f"{path}\0{part.path(index).stat().st_size}\0{label}\n".encode())
        return digest.hexdigest()


def scan(folder: Path) -> ImageFolder:
    """List the images of `folder`/train and of `folder`/val, /validation or /test.

    A class is a folder; images may lie in subfolders of it (Tiny-ImageNet has `images/`). A test
    part with `val_annotations.txt` is read as Tiny-ImageNet distributes it.

    Raises:
        DataError: no such part; a class folder without images; parts whose classes differ.
    """
    train = folder / "train"
    test = next((folder / name for name in TEST_NAMES if (folder / name).is_dir()), None)
    if test is None or not train.is_dir():
        raise DataError(
            f"{folder} must hold train/ and one of {', '.join(TEST_NAMES)}/, found "
            f"{sorted(path.name for path in folder.glob('*')) or 'nothing'}"
        )
    in_train = _by_class(train)
    annotations = test / "val_annotations.txt"
    in_test = _annotated(annotations) if annotations.is_file() else _by_class(test)
    if set(in_train) != set(in_test):
        raise DataError(
            f"classes differ: only in {train}: {_some(set(in_train) - set(in_test))}; "
            f"only in {test}: {_some(set(in_test) - set(in_train))}"
        )
    classes = tuple(sorted(in_train))
    return ImageFolder(classes, _listed(train, in_train), _listed(test, in_test))


def read_image(path: Path) -> Image.Image:
    """Decode one image to RGB; grey ones get three equal channels.

    Raises:
        DataError: it is truncated or no image, or has more than 8 bits a channel; names the path.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode not in _EIGHT_BIT:
                raise DataError(f"{path}: expected 8 bits a channel, got mode {image.mode}")
            return image.convert("RGB")
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three on damaged files
        raise DataError(f"{path}: cannot be decoded: {error}") from error


def read_all(images: ImageList, size: int) -> Tensor:
    """Every image of a list, in memory.

    Returns:
        (N, 3, size, size) uint8.
    Raises:
        DataError: one is damaged or of another size; names its path.
    """
    pixels = np.empty((len(images), size, size, 3), dtype=np.uint8)

    def read(index: int) -> None:
        image = read_image(images.path(index))
        if image.size != (size, size):
            raise DataError(
                f"{images.path(index)}: expected {size} x {size} pixels, got "
                f"{image.height} x {image.width}"
            )
        pixels[index] = np.asarray(image)

    # Pillow lets go of the interpreter while it decodes, so threads do help.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(read, range(len(images)), chunksize=256):
            pass
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _by_class(part: Path) -> dict[str, list[str]]:
    """Image paths, relative to `part`, by class."""
    found = {
        entry.name: _images_below(part, entry.name)
        for entry in sorted(part.iterdir())
        if entry.is_dir()
    }
    if not found:
        loose = sum(path.suffix.lower() in SUFFIXES for path in part.iterdir())
        raise DataError(f"{part}: expected one folder a class, found none and {loose} loose images")
    empty = {name for name, paths in found.items() if not paths}
    if empty:
        raise DataError(f"{part}: no .jpg, .jpeg or .png in class folder {_some(empty)}")
    return found


def _images_below(part: Path, name: str) -> list[str]:
    return sorted(
        os.path.relpath(os.path.join(folder, file), part)
        for folder, _, names in os.walk(part / name)
        for file in names
        if os.path.splitext(file)[1].lower() in SUFFIXES
    )


def _annotated(annotations: Path) -> dict[str, list[str]]:
    """Tiny-ImageNet's own validation layout: images/<file>, and lines of file, class and box."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(annotations.read_text(encoding="utf-8").splitlines(), start=1):
        file, _, rest = line.partition("\t")
        if not rest:
            raise DataError(f"{annotations}:{number}: expected file, class, box, got {line!r}")
        found.setdefault(rest.split("\t")[0], []).append(os.path.join("images", file))
    return found


def _listed(folder: Path, by_class: dict[str, list[str]]) -> ImageList:
    paths, labels = [], []
    for label, name in enumerate(sorted(by_class)):
        paths += sorted(by_class[name])
        labels += [label] * len(by_class[name])
    return ImageList(folder, tuple(paths), tuple(labels))


def _some(names: set[str]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "") or "none"
