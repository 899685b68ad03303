"""The default classification task: which photograph is this grey 32 x 32 patch from?

Each bundled image is cut into tiles; patches of every fourth tile are for testing, those of the
others for training, and a gap lies between neighbours, so no pixel is in both. A patch is grey,
turned, scaled, and its histogram made flat, so neither colour nor brightness nor contrast decides;
then it is blurred or sharpened, lit from one side, and covered with noise that grows across it, so
no fixed filter suits all patches, or all of one. The strengths were chosen such that a small ResNet
gets 70 to 80 % right after two to four epochs, and classifiers without a network at most 55 %
(`repro.data.floors`, measured at every preparation).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from repro import files
from repro.data import augment, bundled, floors
from repro.data.errors import DataError
from repro.data.in_memory import InMemoryData

SOURCES = (
    "brick.png",
    "cell.png",
    "china.jpg",
    "flower.jpg",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""The classes. Of the other bundled images one is blurred all over, and four (a face, a man in a
field, a cat, a cup on a table) show something else in each corner: a small network got 6 to 31 % of
their patches right."""

SIZE = 32
_LEVELS_PER_DEVIATION = 32.0  # test patches are stored as 127.5 + 32 z, clipped beyond 4 deviations


@dataclass(frozen=True)
class Recipe:
    """How patches are cut and disturbed. The defaults are the task all results refer to.

    Attributes:
        train_per_class, test_per_class: patches of each image.
        tile, gap: about how large the tiles are, and what is left free between two, in pixels.
        margin: pixels stored around each side of a training patch, to shift it.
        smallest_scale, largest_scale: source pixels per patch pixel.
        largest_turn: degrees, either way.
        detail_share: the share of cut patches that is kept, those with the largest differences
            between neighbours; the others (a black sky, a blurred leaf) could come from anywhere.
        focus: largest blur, or sharpening, in 3 x 3 binomial filters.
        lighting: largest brightness ramp, in standard deviations of the patch, from middle to edge.
        noise: largest standard deviation of the noise, in the same unit, at the noisier edge.
    """

    train_per_class: int = 1500
    test_per_class: int = 720
    tile: int = 80
    gap: int = 8
    margin: int = 2
    smallest_scale: float = 0.7
    largest_scale: float = 1.3
    largest_turn: float = 15.0
    detail_share: float = 0.4
    focus: float = 1.0
    lighting: float = 0.5
    noise: float = 1.0


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image, edges in pixels, and the part its patches belong to."""

    part: str  # "train" or "test"
    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class PatchPolicy:
    """Shift and mirror a training patch, then disturb it as the test patches were disturbed."""

    focus: float
    lighting: float
    noise: float

    def for_training(self, images: Tensor, random: torch.Generator) -> Tensor:
        windows = augment.random_flip(augment.random_crop(images, SIZE, random), random)
        return self.disturb(windows, random)

    def for_testing(self, images: Tensor) -> Tensor:
        return augment.standardise(augment.center_crop(images, SIZE).float())

    def disturb(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Blur or sharpen, light from one side, add uneven noise; standardised throughout."""
        patches = augment.random_focus(images.float(), self.focus, random)
        patches = augment.random_lighting(augment.standardise(patches), self.lighting, random)
        return augment.standardise(augment.random_noise(patches, self.noise, random))


def tiles(width: int, height: int, recipe: Recipe) -> list[Tile]:
    """The tiles of an image; one in four is for testing, a knight's move from the next one."""
    columns = max(2, round(width / recipe.tile))
    rows = max(2, round(height / recipe.tile))
    half = recipe.gap // 2
    return [
        Tile(
            "test" if (2 * row + column) % 4 == 1 else "train",
            round(column * width / columns) + half,
            round(row * height / rows) + half,
            round((column + 1) * width / columns) - half,
            round((row + 1) * height / rows) - half,
        )
        for row in range(rows)
        for column in range(columns)
    ]


def prepare_patches(out_dir: Path, seed: int = 0, recipe: Recipe | None = None) -> dict[str, Any]:
    """Cut the patches and measure what trivial classifiers make of them.

    Writes `patches.npz` (train_images, train_labels, test_images, test_labels) and `task.json` (the
    recipe, the classes, the floors, the sha256 of the arrays). Equal arguments give equal bytes.

    Args:
        out_dir: made if need be; what it holds is replaced only when the new files are whole.
        seed: of the patches' places and of the disturbance of the test patches.
    Returns:
        The content of `task.json`.
    Raises:
        DataError: a bundled image is missing or changed, or a tile is too small for a patch.
    """
    recipe = Recipe() if recipe is None else recipe
    bundled.verify_bundled()
    arrays = _cut_all(seed, recipe)
    task = {
        "classes": [Path(name).stem for name in SOURCES],
        "floors": _floors(arrays, seed, recipe),
        "image_size": SIZE,
        "recipe": asdict(recipe),
        "seed": seed,
        "sources": {name: bundled.manifest()[name] for name in SOURCES},
    }
    # The description goes first and comes back last: a run killed in between leaves no task.json,
    # never one that describes other arrays.
    (out_dir / "task.json").unlink(missing_ok=True)
    files.write_with(out_dir / "patches.npz", lambda file: np.savez(file, **arrays))
    task["sha256"] = files.sha256(out_dir / "patches.npz")
    files.write_json(out_dir / "task.json", task)
    return task


def load_patches(folder: Path, seed: int | None = None) -> InMemoryData:
    """Read what `prepare_patches` wrote.

    Args:
        seed: what it must have been prepared with; None takes any.
    Raises:
        DataError: it is missing, damaged or of another seed; names the file, what was expected and
            found, and how to make it anew.
    """
    repair = "repair with: python -m repro run notebooks/00_prepare_data.ipynb --set "
    repair += f"seed={seed or 0} --out {folder}"
    arrays_path, task_path = folder / "patches.npz", folder / "task.json"
    for path in (task_path, arrays_path):
        if not path.is_file():
            raise DataError(f"{path}: no such file; {repair}")
    try:
        task = json.loads(task_path.read_text(encoding="utf-8"))
        expected, recipe = task["sha256"], Recipe(**task["recipe"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{task_path} is damaged: {error!r}; {repair}") from error
    found = files.sha256(arrays_path)
    if found != expected:
        raise DataError(f"{arrays_path}: expected sha256 {expected}, found {found}; {repair}")
    if seed is not None and task["seed"] != seed:
        raise DataError(f"{folder}: expected seed {seed}, found {task['seed']}; {repair}")
    with np.load(arrays_path) as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in stored.files}
    return InMemoryData(
        name="patches",
        class_names=tuple(task["classes"]),
        image_size=SIZE,
        in_channels=1,
        augmentation=f"shift by {recipe.margin}, mirror, blur or sharpen, light, uneven noise",
        train_count=len(arrays["train_images"]),
        test_count=len(arrays["test_images"]),
        fingerprint=expected,
        policy=PatchPolicy(recipe.focus, recipe.lighting, recipe.noise),
        **arrays,
    )


def _cut_all(seed: int, recipe: Recipe) -> dict[str, Any]:
    train: list[NDArray[np.uint8]] = []
    test: list[NDArray[np.uint8]] = []
    for label, name in enumerate(SOURCES):
        image = bundled.load_image(name).convert("L")
        random = np.random.default_rng([seed, label])
        places = tiles(*image.size, recipe)
        for part, size, count, patches in (
            ("train", SIZE + 2 * recipe.margin, recipe.train_per_class, train),
            ("test", SIZE, recipe.test_per_class, test),
        ):
            chosen = [tile for tile in places if tile.part == part]
            patches.append(cut(image, chosen, size, count, recipe, random))
    policy = PatchPolicy(recipe.focus, recipe.lighting, recipe.noise)
    disturbed = policy.disturb(_equalised(test), augment.generator("test", seed))
    levels = (127.5 + _LEVELS_PER_DEVIATION * disturbed).round().clamp(0, 255)
    labels = np.arange(len(SOURCES), dtype=np.int64)
    return {
        "train_images": _equalised(train).numpy(),
        "train_labels": labels.repeat(recipe.train_per_class),
        "test_images": levels.to(torch.uint8).numpy(),
        "test_labels": labels.repeat(recipe.test_per_class),
    }


def _equalised(patches: list[NDArray[np.uint8]]) -> Tensor:
    return augment.equalise(torch.from_numpy(np.concatenate(patches))[:, None])


def cut(
    image: Image.Image,
    places: list[Tile],
    size: int,
    count: int,
    recipe: Recipe,
    random: np.random.Generator,
) -> NDArray[np.uint8]:
    """`count` patches of random place, turn and scale, each within one tile: (N, size, size)."""
    areas = np.array([(t.right - t.left) * (t.bottom - t.top) for t in places], dtype=float)
    made = math.ceil(count / recipe.detail_share)
    chosen = random.choice(len(places), size=made, p=areas / areas.sum())
    low, high = math.log(recipe.smallest_scale), math.log(recipe.largest_scale)
    scales = np.exp(random.uniform(low, high, made))
    turns = np.radians(random.uniform(-recipe.largest_turn, recipe.largest_turn, made))
    shares = random.random((made, 2))
    patches = np.stack(
        [
            _cut_one(image, places[index], size, float(scale), float(turn), share)
            for index, scale, turn, share in zip(chosen, scales, turns, shares, strict=True)
        ]
    )
    # In whole numbers, so that no rounding decides which patches are kept.
    levels = patches.astype(np.int32)
    detail = sum((np.diff(levels, axis=axis) ** 2).sum(axis=(1, 2)) for axis in (1, 2))
    return patches[np.sort(np.argsort(-detail, kind="stable")[:count])]


def _cut_one(
    image: Image.Image,
    tile: Tile,
    size: int,
    scale: float,
    turn: float,
    share: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """One patch; `share` says where in the tile: (0, 0) is as far up and left as it fits."""
    reach = size / 2 * scale * (abs(math.cos(turn)) + abs(math.sin(turn))) + 1
    free = (tile.right - tile.left - 2 * reach, tile.bottom - tile.top - 2 * reach)
    if min(free) < 0:
        raise DataError(
            f"{tile} is too small for a patch of {size} pixels at scale {scale:.2f} turned by "
            f"{math.degrees(turn):.0f} degrees, which reaches over {2 * reach:.0f} pixels"
        )
    x = tile.left + reach + share[0] * free[0]
    y = tile.top + reach + share[1] * free[1]
    cos, sin, half = scale * math.cos(turn), scale * math.sin(turn), size / 2
    inverse = (cos, -sin, x - half * (cos - sin), sin, cos, y - half * (sin + cos))
    patch = image.transform(
        (size, size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
    )
    return np.asarray(patch)


def _floors(arrays: dict[str, Any], seed: int, recipe: Recipe) -> dict[str, float]:
    policy = PatchPolicy(recipe.focus, recipe.lighting, recipe.noise)
    random = augment.generator("floors", seed)
    train = torch.from_numpy(arrays["train_images"])
    return floors.measure(
        policy.for_training(train, random),
        torch.from_numpy(arrays["train_labels"]),
        policy.for_testing(torch.from_numpy(arrays["test_images"])),
        torch.from_numpy(arrays["test_labels"]),
    )
