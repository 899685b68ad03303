"""Semantic segmentation without a download: mosaics of textures, the class of a pixel its texture.

A mosaic is a plane cut into curved cells, with a few blobs on top; each piece shows a turned and
scaled part of one bundled texture or photograph. Textures are grey with a flat histogram, then each
piece gets a contrast, a brightness and a tint of its own: neither brightness nor colour tells the
class. Train and test show different regions of each source. Labels are exact: pieces are not
blended.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import ImageOps

from repro.data import bundled
from repro.data.segmentation_images import Colour, SegmentationData, SegmentationImage

SIZE = 128
TRAIN_MOSAICS, TEST_MOSAICS = 200, 100
CELLS = (4, 7)  # at least, at most
BLOBS = (1, 3)
LARGEST_ZOOM = 1.2  # of the texture, either way
LARGEST_TURN = 20.0  # degrees, either way
NOISE = 6.0  # largest standard deviation, in bytes

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the source."""


@dataclass(frozen=True)
class Source:
    """Where a class's pixels come from.

    Attributes:
        file: of the bundled images.
        train, test: disjoint boxes with a gap between them.
        reduce: pixels of the source, along each side, that are averaged to one.
        colour: to show the class in.
    """

    file: str
    train: Box
    test: Box
    reduce: int
    colour: Colour


SOURCES = {
    "brick": Source("brick.png", (0, 0, 320, 512), (336, 0, 512, 512), 1, (204, 85, 51)),
    "grass": Source("grass.png", (0, 0, 320, 512), (336, 0, 512, 512), 1, (68, 153, 51)),
    "gravel": Source("gravel.png", (0, 0, 320, 512), (336, 0, 512, 512), 1, (153, 153, 153)),
    "text": Source("text.png", (0, 0, 270, 172), (286, 0, 448, 172), 1, (238, 221, 136)),
    "stars": Source(
        "hubble_deep_field.jpg", (0, 0, 600, 872), (616, 0, 1000, 872), 1, (34, 34, 102)
    ),
    "retina": Source("retina.jpg", (300, 330, 700, 1080), (716, 330, 1110, 1080), 2, (221, 85, 85)),
    "pagoda": Source("china.jpg", (100, 110, 200, 385), (208, 110, 310, 385), 1, (119, 170, 221)),
    "petals": Source("flower.jpg", (205, 130, 296, 310), (304, 130, 401, 310), 1, (238, 136, 187)),
}


def make(
    seed: int = 0, train_mosaics: int = TRAIN_MOSAICS, test_mosaics: int = TEST_MOSAICS
) -> SegmentationData:
    """Mosaics of 128 x 128 pixels; 300 take about two seconds.

    Args:
        seed: of everything random; mosaic i of a part does not depend on how many there are.
        train_mosaics, test_mosaics: how many, at least one each.
    Raises:
        ValueError: a number out of range.
        DataError: a bundled image is missing or damaged.
    """
    if min(train_mosaics, test_mosaics) < 1:
        raise ValueError(
            f"each part needs at least one mosaic, got {train_mosaics} and {test_mosaics}"
        )
    train = _part("train", train_mosaics, seed)
    test = _part("test", test_mosaics, seed)
    return SegmentationData(
        name="mosaics",
        class_names=tuple(SOURCES),
        colours=tuple(source.colour for source in SOURCES.values()),
        train=train,
        test=test,
        fingerprint=_fingerprint((*train, *test)),
        note="made from textures and photographs; train and test show different regions of them; "
        f"seed {seed}",
    )


def _part(part: str, count: int, seed: int) -> tuple[SegmentationImage, ...]:
    textures = [_texture(source, part) for source in SOURCES.values()]
    mosaics = []
    for index in range(count):
        random = np.random.default_rng([seed, part == "test", index])
        image, labels = _mosaic(textures, random)
        mosaics.append(SegmentationImage(f"{part}_{index:03d}", image, labels))
    return tuple(mosaics)


def _texture(source: Source, part: str) -> NDArray[np.float32]:
    """A region of a source in grey, its histogram flat."""
    box = source.train if part == "train" else source.test
    grey = bundled.load_image(source.file).convert("L").crop(box).reduce(source.reduce)
    return np.asarray(ImageOps.equalize(grey), dtype=np.float32)


def _mosaic(
    textures: list[NDArray[np.float32]], random: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    pieces = _pieces(rows, columns, random)
    classes = _classes_of_pieces(pieces.max() + 1, random)
    pixels = np.empty((SIZE, SIZE, 3), dtype=np.float32)
    for piece, label in enumerate(classes):
        inside = pieces == piece
        grey = _sampled(textures[label], rows[inside], columns[inside], random)  # (pixels,)
        contrast = random.uniform(0.6, 0.9)
        brightness = random.uniform(0, 1 - contrast) * 255
        tint = random.uniform(0.75, 1.0, 3).astype(np.float32)
        pixels[inside] = (contrast * grey + brightness)[:, None] * tint
    pixels += random.uniform(0, NOISE) * random.standard_normal(pixels.shape, dtype=np.float32)
    image = pixels.round().clip(0, 255).astype(np.uint8)
    return image, classes[pieces].astype(np.uint8)


def _pieces(
    rows: NDArray[np.float32], columns: NDArray[np.float32], random: Generator
) -> NDArray[np.intp]:
    """(SIZE, SIZE): the number of the piece that each pixel belongs to."""
    seeds = random.uniform(0, SIZE, (random.integers(CELLS[0], CELLS[1] + 1), 2))
    # The nearest seed, seen through a wavy glass: cells with curved edges.
    wavy_rows, wavy_columns = (axis + _waves(rows, columns, random) for axis in (rows, columns))
    distances = [(wavy_rows - y) ** 2 + (wavy_columns - x) ** 2 for y, x in seeds.tolist()]
    pieces = np.argmin(distances, axis=0)
    for _ in range(random.integers(BLOBS[0], BLOBS[1] + 1)):
        pieces[_blob(rows, columns, random)] = pieces.max() + 1
    # A cell may be covered, or empty: number those that are left.
    left = np.bincount(pieces.ravel()) > 0
    renumbered: NDArray[np.intp] = (np.cumsum(left) - 1)[pieces]
    return renumbered


def _waves(
    rows: NDArray[np.float32], columns: NDArray[np.float32], random: Generator
) -> NDArray[np.float32]:
    """A smooth displacement of at most 12 pixels."""
    total = np.zeros_like(rows)
    for _ in range(3):
        turn, phase = random.uniform(0, 2 * math.pi, 2).tolist()
        steps = 2 * math.pi / random.uniform(25, 70)  # per pixel
        total += 4 * np.sin(
            steps * math.cos(turn) * rows + steps * math.sin(turn) * columns + phase
        )
    return total


def _blob(
    rows: NDArray[np.float32], columns: NDArray[np.float32], random: Generator
) -> NDArray[np.bool_]:
    """The inside of a closed wavy line."""
    y, x = random.uniform(0, SIZE, 2).tolist()
    radius, dent = random.uniform(10, 22), random.uniform(0, 0.35)
    lobes, phase = int(random.integers(2, 6)), random.uniform(0, 2 * math.pi)
    angle = np.arctan2(rows - y, columns - x)
    reach = radius * (1 + dent * np.cos(lobes * angle + phase))
    inside: NDArray[np.bool_] = np.hypot(rows - y, columns - x) < reach
    return inside


def _classes_of_pieces(count: int, random: Generator) -> NDArray[np.intp]:
    """(count,): no class twice before each was there once."""
    rounds = -(-count // len(SOURCES))
    order = np.concatenate([random.permutation(len(SOURCES)) for _ in range(rounds)])
    return order[:count]


def _sampled(
    texture: NDArray[np.float32],
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    random: Generator,
) -> NDArray[np.float32]:
    """Values (n,) of a turned, scaled, shifted and perhaps mirrored texture at n pixels."""
    limit = math.log(LARGEST_ZOOM)
    scale = math.exp(random.uniform(-limit, limit))
    turn = math.radians(random.uniform(-LARGEST_TURN, LARGEST_TURN))
    mirror = 1 if random.random() < 0.5 else -1
    down, right = random.uniform(0, texture.shape).tolist()
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    y = _reflected(cos * rows - sin * columns + down, texture.shape[0])
    x = _reflected(mirror * (sin * rows + cos * columns) + right, texture.shape[1])
    top = np.minimum(y.astype(np.int32), texture.shape[0] - 2)
    left = np.minimum(x.astype(np.int32), texture.shape[1] - 2)
    v, u = y - top.astype(np.float32), x - left.astype(np.float32)
    above = (1 - u) * texture[top, left] + u * texture[top, left + 1]
    below = (1 - u) * texture[top + 1, left] + u * texture[top + 1, left + 1]
    values: NDArray[np.float32] = (1 - v) * above + v * below
    return values


def _reflected(position: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Positions mirrored at the edges until they lie between 0 and size - 1."""
    last = size - 1
    folded: NDArray[np.float32] = last - np.abs(np.mod(position, 2 * last) - last)
    return folded


def _fingerprint(mosaics: Iterable[SegmentationImage]) -> str:
    digest = hashlib.sha256()
    for mosaic in mosaics:
        digest.update(mosaic.image.tobytes())
        digest.update(mosaic.labels.tobytes())
    return digest.hexdigest()
