"""The default detection and segmentation task: textured shapes that hide one another.

Six shapes, turned, of sizes from 10 to 64 pixels, lie on a background of 128 x 128. Their textures
and the background are cut from the bundled photographs whatever the shape, so that outline alone
tells the class. Train and test scenes cut theirs from different parts of each photograph, with a
gap between. The limits of small, medium and large follow the image's short side: COCO's 32 and 96
pixels at 480 become 8.5 and 25.6 at 128.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from repro.data import bundled
from repro.data.detection_images import (
    DetectionData,
    DetectionImage,
    DetectionImages,
    Mask,
    Objects,
    Pixels,
)
from repro.data.shapes import SHAPES, Field

SOURCES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "china.jpg",
    "coffee.png",
    "flower.jpg",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""Where textures come from: all bundled images but the one that is blurred all over."""

_Window = tuple[slice, slice]
_Random = np.random.Generator


@dataclass(frozen=True)
class Recipe:
    """What scenes look like. The defaults are the task that all results refer to.

    Attributes:
        train_count, test_count: scenes of each part.
        side: of the square image, in pixels.
        fewest, most: objects that are placed in a scene.
        smallest, largest: diameter of the circle around a shape; even in its logarithm.
        least_visible: share of an object that others must leave visible.
        least_area: pixels of it that must be visible.
        least_contrast, most_contrast: between an object's mean grey level and that of what is
            behind it.
        test_share, gap: share of each photograph, at its right or lower end, whose pixels only test
            scenes use, and how many pixels before it nobody uses.
    """

    train_count: int = 300
    test_count: int = 100
    side: int = 128
    fewest: int = 3
    most: int = 8
    smallest: float = 10.0
    largest: float = 64.0
    least_visible: float = 0.5
    least_area: int = 24
    least_contrast: float = 40.0
    most_contrast: float = 90.0
    test_share: float = 0.3
    gap: int = 8


@dataclass(frozen=True)
class Scene:
    """One scene of n objects.

    Attributes:
        name: its part and number.
        image: (H, W, 3) uint8.
        labels: (H, W) uint8, the class of what is seen at each pixel; 0 is background.
        instances: (H, W) uint8, k where object k - 1 is seen; 0 is background.
        classes: (n,) int64, from 1 on.
    """

    name: str
    image: Pixels
    labels: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    classes: NDArray[np.int64]

    @property
    def masks(self) -> Mask:
        """(n, H, W) bool: what is seen of each object."""
        numbers = np.arange(1, len(self.classes) + 1, dtype=np.uint8)
        seen: Mask = self.instances == numbers[:, None, None]
        return seen

    def objects(self) -> Objects:
        """Boxes and areas of what is seen."""
        boxes = np.zeros((len(self.classes), 4), dtype=np.float32)
        masks = self.masks
        for place, mask in enumerate(masks):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            boxes[place] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        return Objects(
            boxes=boxes,
            labels=self.classes,
            crowd=np.zeros(len(self.classes), dtype=bool),
            areas=masks.sum((1, 2)).astype(np.float32),
        )


@dataclass(frozen=True)
class Scenes(DetectionImages):
    """Scenes made when they are asked for, and then kept.

    Scene i is a function of (recipe, seed, part, i) alone.

    Attributes:
        part: "train" or "test".
        seed: of everything that is drawn.
        recipe: what the scenes look like.
    """

    part: str
    seed: int
    recipe: Recipe
    _made: dict[int, Scene] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.recipe.train_count if self.part == "train" else self.recipe.test_count

    def scene(self, index: int) -> Scene:
        """Scene number `index`, with its label map; raises IndexError past the end."""
        place = range(len(self))[index]
        if place not in self._made:
            random = np.random.default_rng([self.seed, self.part == "test", place])
            regions = _regions(self.part, self.recipe.test_share, self.recipe.gap)
            self._made[place] = _draw(f"{self.part} {place}", regions, self.recipe, random)
        return self._made[place]

    def objects(self, index: int) -> Objects:
        return self.scene(index).objects()

    def __getitem__(self, index: int) -> DetectionImage:
        scene = self.scene(index)
        objects = scene.objects()
        return DetectionImage(
            name=scene.name,
            image=scene.image,
            boxes=objects.boxes,
            labels=objects.labels,
            masks=scene.masks,
            crowd=objects.crowd,
            areas=objects.areas,
        )


def load_scenes(seed: int = 0, recipe: Recipe | None = None) -> DetectionData:
    """The scenes as a detection dataset.

    Raises:
        DataError: a bundled image is missing or damaged; says how to repair it.
    """
    recipe = Recipe() if recipe is None else recipe
    sources = {name: bundled.manifest()[name] for name in SOURCES}
    identity = json.dumps([asdict(recipe), seed, sources], sort_keys=True)
    return DetectionData(
        name="scenes",
        class_names=tuple(SHAPES),
        has_masks=True,
        train=Scenes("train", seed, recipe),
        test=Scenes("test", seed, recipe),
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        category_ids={label: label for label in range(1, len(SHAPES) + 1)},
        note=f"scenes of seed {seed}, made from the bundled photographs",
        area_unit=32 * recipe.side / 480,
    )


@functools.cache
def _regions(part: str, test_share: float, gap: int) -> tuple[Pixels, ...]:
    """The part of each photograph, cut along its longer side, that scenes of `part` may use."""
    regions = []
    for name in SOURCES:
        pixels = np.asarray(bundled.load_image(name).convert("RGB"))
        axis = 0 if pixels.shape[0] > pixels.shape[1] else 1
        border = round(pixels.shape[axis] * (1 - test_share))
        chosen = slice(border, None) if part == "test" else slice(0, border - gap)
        regions.append(pixels[chosen] if axis == 0 else pixels[:, chosen])
    return tuple(regions)


def _draw(name: str, regions: tuple[Pixels, ...], recipe: Recipe, random: _Random) -> Scene:
    side = recipe.side
    image = _texture(regions, random, low=side // 2, high=side, size=side)
    instances = np.zeros((side, side), dtype=np.uint8)
    whole: list[int] = []  # pixels of each object as it was drawn
    classes: list[int] = []
    for _ in range(int(random.integers(recipe.fewest, recipe.most + 1))):
        label = int(random.integers(len(SHAPES))) + 1
        placed = _place(label, instances, whole, recipe, random)
        if placed is None:
            continue
        window, cover, mask = placed
        texture = _texture(regions, random, low=side // 4, high=side, size=side)
        _paint(image[window], cover, texture[window], recipe, random)
        classes.append(label)
        whole.append(int(mask.sum()))
        instances[window][mask] = len(classes)
    labels = np.array([0, *classes], dtype=np.uint8)[instances]
    pixels = image.round().clip(0, 255).astype(np.uint8)
    return Scene(name, pixels, labels, instances, np.array(classes, dtype=np.int64))


def _place(
    label: int,
    instances: NDArray[np.uint8],
    whole: list[int],
    recipe: Recipe,
    random: _Random,
) -> tuple[_Window, Field, Mask] | None:
    """Part of the image, how far a shape covers it (0..1), where it counts; None: no place is left.

    A place will do if every object, this one included, stays visible enough.
    """
    side = recipe.side
    shape = list(SHAPES.values())[label - 1]
    before = np.bincount(instances.ravel(), minlength=len(whole) + 1)
    enough = np.maximum(recipe.least_area, recipe.least_visible * np.array([0, *whole]))
    enough[0] = 0  # the background need not be seen
    for _ in range(20):
        diameter = math.exp(random.uniform(math.log(recipe.smallest), math.log(recipe.largest)))
        x, y = random.uniform(diameter / 4, side - diameter / 4, 2)
        turn = random.uniform(0, 2 * math.pi)
        reach, radius = diameter / 2 + 1, np.float32(diameter / 2)
        rows, columns = (
            np.arange(max(0, int(middle - reach)), min(side, math.ceil(middle + reach)))
            for middle in (y, x)
        )
        u = (columns + 0.5 - x).astype(np.float32)[None, :]
        v = (rows + 0.5 - y).astype(np.float32)[:, None]
        cos, sin = np.float32(math.cos(turn)), np.float32(math.sin(turn))
        distance = radius * shape((cos * u + sin * v) / radius, (cos * v - sin * u) / radius)
        mask: Mask = distance < 0
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        hidden = np.bincount(instances[window][mask], minlength=len(whole) + 1)
        if mask.sum() >= recipe.least_area and (before - hidden >= enough).all():
            return window, (0.5 - distance).clip(0, 1), mask
    return None


def _paint(image: Field, cover: Field, texture: Field, recipe: Recipe, random: _Random) -> None:
    """Lay a tinted texture over the image, its mean level well off that of what it hides."""
    behind = float((image.mean(2) * cover).sum() / cover.sum())
    tinted = texture * random.uniform(0.6, 1.4, 3).astype(np.float32)
    own = float((tinted.mean(2) * cover).sum() / cover.sum())
    contrast = random.uniform(recipe.least_contrast, recipe.most_contrast)
    lighter = behind < 128
    level = behind + contrast if lighter else behind - contrast
    painted = (tinted + np.float32(level - own)).clip(0, 255)
    image += cover[..., None] * (painted - image)


def _texture(regions: tuple[Pixels, ...], random: _Random, low: int, high: int, size: int) -> Field:
    """A square of `low` to `high` pixels of some region, as (size, size, 3) float32, mirrored."""
    region = regions[int(random.integers(len(regions)))]
    largest = min(high, *region.shape[:2])
    side = int(random.integers(min(low, largest), largest + 1))
    top = int(random.integers(region.shape[0] - side + 1))
    left = int(random.integers(region.shape[1] - side + 1))
    square = Image.fromarray(region[top : top + side, left : left + side])
    resized = square.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.array(resized, dtype=np.float32)
    return pixels[:, ::-1].copy() if random.random() < 0.5 else pixels
