"""Tiny segmentation datasets on disk, which tests may harm."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 6, 8


def write_image(path, *, size=(HEIGHT, WIDTH), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def write_labels(path, labels, *, palette=None):
    """Class numbers as a grey PNG, or as one with a palette (of colours by class)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, dtype=np.uint8))
    if palette is not None:
        image = image.convert("L")
        image.putpalette([byte for colour in palette for byte in colour])
    image.save(path)


def read_labels(path):
    """Mode and content of an image file."""
    with Image.open(path) as image:
        return image.mode, np.array(image)


def striped(*classes):
    """(HEIGHT, WIDTH): column i holds class i, in turn."""
    row = np.resize(np.array(classes), WIDTH)
    return np.tile(row, (HEIGHT, 1))


def camvid(root, *, labels=(0, 5, 11)):
    folder = root / "camvid"
    for part, count in (("train", 3), ("test", 2)):
        names = [f"{part}{index}" for index in range(count)]
        for index, name in enumerate(names):
            suffix = (".png", ".jpg")[index % 2]
            write_image(folder / part / f"{name}{suffix}", seed=index)
            write_labels(folder / f"{part}annot" / f"{name}.png", striped(*labels))
        (folder / f"{part}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder


def cityscapes(root, *, ending="_gtFine_labelIds.png", labels=(0, 7, 33)):
    folder = root / "cityscapes"
    for part, city in (("train", "ulm"), ("train", "bochum"), ("val", "lindau")):
        name = f"{city}_000000_000019"
        write_image(folder / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png")
        write_labels(folder / "gtFine" / part / city / f"{name}{ending}", striped(*labels))
    return folder


def ade20k(root, *, labels=(0, 1, 150)):
    folder = root / "ade20k"
    for part, short, count in (("training", "train", 2), ("validation", "val", 1)):
        for index in range(count):
            name = f"ADE_{short}_{index:08d}"
            write_image(folder / "images" / part / f"{name}.jpg")
            write_labels(folder / "annotations" / part / f"{name}.png", striped(*labels))
    return folder


def nyu39(root, *, labels=(0, 38, 255)):
    folder = root / "nyu39"
    for name in ("0000", "0001", "0002"):
        write_image(folder / "rgb" / f"{name}.jpg")
        write_labels(folder / "labels39" / f"{name}.png", striped(*labels))
    splits = {
        "segmentation": {"train": ["0001", "0002"], "test": ["0000"]},
        "classes39": [f"class {number}" for number in range(39)],
    }
    (folder / "splits.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder
