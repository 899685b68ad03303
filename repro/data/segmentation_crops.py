"""Batches of segmentation images: random crops to train on, whole images to test on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from repro.data.augment import generator
from repro.data.batches import Batch, batch_count, require_positive
from repro.data.segmentation_images import IGNORE, SegmentationImage
from repro.data.streamed import IMAGENET_DEVIATION, IMAGENET_MEAN

Item = TypeVar("Item")

TRIES = 10  # crops that are drawn in search of one with a labelled pixel
AHEAD = 2  # batches that are made while the network works
_BILINEAR, _NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


@dataclass(frozen=True)
class RandomCrops:
    """Scale an image, cut out a window, mirror half of them.

    Where the scaled image is smaller than the window, zeros (the mean colour) and `IGNORE` fill it
    up on the right and at the bottom. A window without any labelled pixel is drawn again, ten times
    at most.

    Attributes:
        size: height and width of the window.
        scales: smallest and largest factor, drawn evenly.
        short_side: the shorter side of the image at factor 1; None takes the image as it is.
        flip: whether to mirror.
    Raises:
        ValueError: a number out of range.
    Source: MMSegmentation's recipe for UPerNet, `RandomResize`, `RandomCrop`, `RandomFlip`.
    Deviates: no limit to one class's share of the window, no distortion of colours; images are
        averaged where they shrink.
    """

    size: tuple[int, int]
    scales: tuple[float, float] = (0.5, 2.0)
    short_side: int | None = None
    flip: bool = True

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"a crop needs height and width, got {self.size}")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError(f"scales must be positive and rise, got {self.scales}")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"short_side must be at least 1, got {self.short_side}")

    def describe(self) -> str:
        """In words, for parameters and tables."""
        low, high = self.scales
        base = "" if self.short_side is None else f"short side {self.short_side} "
        flip = ", mirror" if self.flip else ""
        return f"{base}scaled by {low:g} to {high:g}, crop {self.size[0]} x {self.size[1]}{flip}"

    def cut(self, item: SegmentationImage, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """One window: (3, *size) float32, normalised, and (*size) int64."""
        height, width = item.labels.shape
        factor = _between(*self.scales, random)
        if self.short_side is not None:
            factor *= self.short_side / min(height, width)
        scaled = (max(1, round(factor * height)), max(1, round(factor * width)))
        window = (min(self.size[0], scaled[0]), min(self.size[1], scaled[1]))
        for _ in range(TRIES):
            top = _at_most(scaled[0] - window[0], random)
            left = _at_most(scaled[1] - window[1], random)
            box = (
                left * width / scaled[1],
                top * height / scaled[0],
                min(width, (left + window[1]) * width / scaled[1]),
                min(height, (top + window[0]) * height / scaled[0]),
            )
            labels = _resized(item.labels, window, _NEAREST, box)
            if (labels != IGNORE).any():
                break
        image = _resized(item.image, window, _BILINEAR, box)
        if self.flip and _between(0, 1, random) < 0.5:
            image, labels = image[:, ::-1], labels[:, ::-1]
        x = torch.zeros(3, *self.size)
        y = torch.full(self.size, IGNORE, dtype=torch.int64)
        x[:, : window[0], : window[1]] = normalised(image)
        y[: window[0], : window[1]] = torch.from_numpy(labels.astype(np.int64))
        return x, y


@dataclass(frozen=True)
class CropBatches:
    """One epoch of random crops; batch i depends on nothing but the attributes and i.

    Attributes:
        images: of the training part.
        order: their indices, in the order of the epoch.
        batch_size: crops a batch; the last may be smaller.
        crops: how they are cut.
        key: names the epoch's random draws.
        workers: threads that decode and cut; None takes one a core, at most eight.
    """

    images: Sequence[SegmentationImage]
    order: Tensor
    batch_size: int
    crops: RandomCrops
    key: tuple[object, ...]
    workers: int | None = None

    def __len__(self) -> int:
        return batch_count(self.order, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Batch]:
        places = range(step * self.batch_size, len(self.order))
        made = _made_ahead(self._make, places, self.workers, AHEAD * self.batch_size)
        batch = []
        for place, pair in zip(places, made, strict=True):
            batch.append(pair)
            if len(batch) == self.batch_size or place == places[-1]:
                yield _stacked(batch)
                batch = []

    def _make(self, place: int) -> tuple[Tensor, Tensor]:
        item = self.images[int(self.order[place])]
        return self.crops.cut(item, generator(*self.key, place))


@dataclass(frozen=True)
class WholeImages:
    """All images in their order, neighbours of equal size in one batch.

    Attributes:
        images: of the test part.
        batch_size: images a batch at most.
        workers: as of `CropBatches`.
    Raises:
        ValueError: the batch size is not positive.
    """

    images: Sequence[SegmentationImage]
    batch_size: int
    workers: int | None = None

    def __post_init__(self) -> None:
        require_positive(self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        places = range(len(self.images))
        batch: list[tuple[Tensor, Tensor]] = []
        for pair in _made_ahead(self._make, places, self.workers, AHEAD * self.batch_size):
            if len(batch) == self.batch_size or (batch and batch[0][1].shape != pair[1].shape):
                yield _stacked(batch)
                batch = []
            batch.append(pair)
        if batch:
            yield _stacked(batch)

    def _make(self, place: int) -> tuple[Tensor, Tensor]:
        item = self.images[place]
        return normalised(item.image), torch.from_numpy(item.labels.astype(np.int64))


def normalised(image: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) bytes to (3, H, W) float32 with ImageNet's mean and deviation taken out."""
    mean = 255 * np.array(IMAGENET_MEAN, dtype=np.float32)
    deviation = 255 * np.array(IMAGENET_DEVIATION, dtype=np.float32)
    planes = ((image - mean) / deviation).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))


def _made_ahead(
    make: Callable[[int], Item], places: Sequence[int], workers: int | None, ahead: int
) -> Iterator[Item]:
    """`make` of each place, in order, up to `ahead` of them before they are asked for."""
    # Threads, not processes: Pillow and NumPy let go of the interpreter while they work.
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        waiting: deque[Future[Item]] = deque()
        for place in places:
            waiting.append(pool.submit(make, place))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _stacked(pairs: Sequence[tuple[Tensor, Tensor]]) -> Batch:
    return torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs])


def _resized(
    pixels: NDArray[np.uint8],
    size: tuple[int, int],
    resampling: Image.Resampling,
    box: tuple[float, float, float, float],
) -> NDArray[np.uint8]:
    """The part of an image in `box` (left, top, right, bottom), as `size` (height, width)."""
    resized = Image.fromarray(pixels).resize((size[1], size[0]), resampling, box)
    return np.asarray(resized)


def _between(low: float, high: float, random: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), generator=random, dtype=torch.float64).item()


def _at_most(largest: int, random: torch.Generator) -> int:
    return int(torch.randint(largest + 1, (), generator=random))
