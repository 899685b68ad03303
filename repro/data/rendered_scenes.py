"""RGB-D pairs without a download: rendered scenes, and regions of scikit-image's stereo pair.

A scene is a slanted wall and floor behind a few objects, each covered with a bundled photograph.
Depth is rendered directly as disparity in pixels, in the range of the stereo pair: a plane in
space is linear in disparity, and the largest disparity at a pixel is what the camera sees. So the
photographs have edges where depth has none, and where two objects carry the same photograph depth
has an edge that the colours hardly show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from repro.data import bundled
from repro.data.errors import DataError
from repro.data.rgbd_pairs import RGBDData, RGBDPair, mask_unknown

TRAIN_PHOTOGRAPHS = ("brick.png", "china.jpg", "coffee.png", "flower.jpg", "grass.png")
TEST_PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "gravel.png", "rocket.jpg", "text.png")
TRAIN_SCENES, TEST_SCENES = 20, 6
HEIGHT, WIDTH = 240, 320
NEAREST, FARTHEST = 56.0, 8.0
"""Disparities in pixels; those of the stereo pair lie between 7 and 60."""

Field = NDArray[np.floating[Any]]


def bundled_rgbd(seed: int = 0) -> RGBDData:
    """Rendered scenes and two regions of the stereo pair for each part; made in a second.

    Test scenes have photographs and a seed of their own; of the stereo pair the left 320 columns
    train, the right 320 test, and the 101 between them are in neither part.

    Args:
        seed: of the scenes.
    Raises:
        DataError: a bundled photograph, or the stereo pair of scikit-image, is missing.
    """
    if not bundled.has_stereo_pair():
        raise DataError(
            "the stereo pair is missing: it comes in the wheel of scikit-image; install that"
        )
    left, right = _stereo_regions()
    train = (*_scenes("train", TRAIN_SCENES, TRAIN_PHOTOGRAPHS, seed), *left)
    test = (*_scenes("test", TEST_SCENES, TEST_PHOTOGRAPHS, seed), *right)
    return RGBDData(
        name="bundled_rgbd",
        unit="px",
        unit_scale=1.0,
        train=train,
        test=test,
        fingerprint=_fingerprint((*train, *test)),
        note=f"disparity; {TRAIN_SCENES} rendered scenes and 2 regions of a real stereo pair "
        f"train, {TEST_SCENES} and 2 test; unknown in 7 % of the stereo pair; seed {seed}",
    )


def render(name: str, photographs: Sequence[NDArray[np.uint8]], random: Generator) -> RGBDPair:
    """One scene; the same photographs and the same state of `random` give the same pixels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    disparity, rgb = _room(rows, columns, photographs, random)
    for _ in range(random.integers(7, 12)):
        inside, surface = _object(rows, columns, random)
        visible = inside & (surface > disparity)
        disparity = np.where(visible, surface, disparity)
        texture = _texture(rows, columns, photographs, random)
        rgb = np.where(visible[..., None], texture, rgb)
    # The camera's optics: colour edges are two pixels wide, as in photographs; depth stays sharp.
    rgb = _blurred(_blurred(rgb, axis=0), axis=1)
    return RGBDPair(name, rgb.round().astype(np.uint8), disparity.astype(np.float32))


def _room(
    rows: Field, columns: Field, photographs: Sequence[NDArray[np.uint8]], random: Generator
) -> tuple[Field, Field]:
    """A wall that is slanted to one side, and a floor that comes nearer towards the bottom."""
    far = random.uniform(FARTHEST + 4, FARTHEST + 10)
    wall = far + random.uniform(-0.01, 0.01) * (columns - WIDTH / 2)
    horizon = random.uniform(0.4, 0.7) * HEIGHT
    floor = far + random.uniform(0.08, 0.16) * (rows - horizon)
    disparity = np.maximum(wall, floor).clip(FARTHEST, NEAREST)
    on_wall = (wall >= floor)[..., None]
    textures = [_texture(rows, columns, photographs, random) for _ in range(2)]
    return disparity, np.where(on_wall, *textures)


def _object(rows: Field, columns: Field, random: Generator) -> tuple[NDArray[np.bool_], Field]:
    """A board, a disc, a ball or a pole, anywhere: its pixels, and its disparity."""
    kind = random.choice(("board", "disc", "ball", "pole"), p=(0.35, 0.2, 0.2, 0.25))
    turn = random.uniform(0, np.pi)
    y = rows - random.uniform(0, HEIGHT)
    x = columns - random.uniform(0, WIDTH)
    long, short = random.uniform(30, 75), random.uniform(15, 40)
    if kind == "ball":
        long = short
    if kind == "pole":  # 3 to 8 pixels wide: less than a cell at 8x and 16x
        long, short = random.uniform(60, 150), random.uniform(1.5, 4)
    u = (np.cos(turn) * x + np.sin(turn) * y) / long
    v = (np.cos(turn) * y - np.sin(turn) * x) / short
    round_one = kind in ("disc", "ball")
    radius = np.hypot(u, v) if round_one else np.maximum(abs(u), abs(v))
    slant = random.uniform(-4, 4) * u + random.uniform(-2, 2) * v
    bulge = 6 * np.sqrt(np.maximum(0, 1 - radius**2)) if kind == "ball" else 0
    disparity = random.uniform(FARTHEST + 8, NEAREST - 8) + slant + bulge
    return radius <= 1, disparity.clip(FARTHEST, NEAREST).astype(np.float32)


def _texture(
    rows: Field, columns: Field, photographs: Sequence[NDArray[np.uint8]], random: Generator
) -> Field:
    """A photograph, shifted, turned, scaled and lit from one side; mirrored where it ends."""
    photograph = photographs[int(random.integers(len(photographs)))]
    turn, scale = random.uniform(0, 2 * np.pi), random.uniform(0.6, 1.4)
    shift = random.uniform(0, 1000, 2)
    y = scale * (np.cos(turn) * rows - np.sin(turn) * columns) + shift[0]
    x = scale * (np.sin(turn) * rows + np.cos(turn) * columns) + shift[1]
    pixels = photograph[_mirrored(y, photograph.shape[0]), _mirrored(x, photograph.shape[1])]
    ramp = random.uniform(-0.3, 0.3, 2)
    light = random.uniform(0.7, 1.1) + ramp[0] * rows / HEIGHT + ramp[1] * columns / WIDTH
    lit: Field = pixels * light[..., None]
    return lit.clip(0, 255).astype(np.float32)


def _mirrored(position: Field, size: int) -> NDArray[np.intp]:
    folded = np.floor(position).astype(np.intp) % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def _blurred(rgb: Field, axis: int) -> Field:
    """Filtered with (1, 2, 1) / 4 along one axis, the edge pixels repeated."""
    widths = [(0, 0)] * 3
    widths[axis] = (1, 1)
    padded = np.pad(rgb, widths, mode="edge")
    size = rgb.shape[axis]
    before, here, after = (padded.take(range(i, i + size), axis) for i in range(3))
    return (before + 2 * here + after) / 4


def _scenes(part: str, count: int, names: Iterable[str], seed: int) -> Iterable[RGBDPair]:
    photographs = [np.asarray(bundled.load_image(name).convert("RGB")) for name in names]
    for index in range(count):
        random = np.random.default_rng([seed, part == "test", index])
        yield render(f"{part}_scene_{index:02d}", photographs, random)


def _stereo_regions() -> tuple[tuple[RGBDPair, ...], tuple[RGBDPair, ...]]:
    """Two regions at the left edge and two at the right, one above the other."""
    pair = bundled.stereo_pair()
    height, width = pair.disparity.shape

    def region(name: str, top: int, left: int) -> RGBDPair:
        window = np.s_[top : top + HEIGHT, left : left + WIDTH]
        return RGBDPair(name, pair.left[window], mask_unknown(pair.disparity[window]))

    tops = {"upper": 0, "lower": height - HEIGHT}
    return (
        tuple(region(f"motorcycle_left_{where}", top, 0) for where, top in tops.items()),
        tuple(
            region(f"motorcycle_right_{where}", top, width - WIDTH) for where, top in tops.items()
        ),
    )


def _fingerprint(pairs: Iterable[RGBDPair]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(f"{pair.name}\0{pair.depth.shape}\0".encode())
        digest.update(np.ascontiguousarray(pair.rgb).tobytes())
        digest.update(np.ascontiguousarray(pair.depth).tobytes())
    return digest.hexdigest()
