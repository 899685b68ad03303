"""Datasets too large for memory: decoded and augmented one image at a time by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from repro.data.augment import generator
from repro.data.batches import (
    Batch,
    Batches,
    ClassificationData,
    batch_count,
    epoch_order,
    require_positive,
)
from repro.data.image_folder import ImageList, read_image

Transform = Callable[[Image.Image], Tensor]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_SHARE_OF_SHORT_SIDE = 0.875  # 224 of 256: what every ImageNet figure of the papers is measured on


@dataclass(frozen=True)
class StreamedData(ClassificationData):
    """A dataset read from files while it is used.

    Training: a random crop of 8-100 % of the area and aspect 3/4-4/3, resized; mirrored by half.
    Testing: short side resized to image_size / 0.875, bicubic, centre crop.

    Source: DDF (arXiv 2104.14107), section 4.2: the augmentation of PSConv (arXiv 2007.06191).
    Deviates: the paper's text has "resize and centre crop" in training too; its code crops at
        random, as here, and adds RandAugment and random erasing, which this does not.

    Attributes:
        train, test: the files.
        workers: processes that decode; 0 decodes in this one.
    """

    train: ImageList
    test: ImageList
    workers: int

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, augment: bool = True
    ) -> Batches:
        order = epoch_order(self.train_count, batch_size, seed, epoch)
        transform = (
            training_transform(self.image_size) if augment else testing_transform(self.image_size)
        )
        items = _Items(self.train, order, transform, ("augment", seed, epoch))
        return _LoadedBatches(items, batch_size, self.workers)

    def test_batches(self, batch_size: int) -> Batches:
        require_positive(batch_size)
        order = torch.arange(self.test_count)
        items = _Items(self.test, order, testing_transform(self.image_size), ("test",))
        return _LoadedBatches(items, batch_size, self.workers)


def training_transform(size: int) -> Transform:
    """Random resized crop and mirror, drawing from torch's global generator."""
    steps = [
        v2.RandomResizedCrop(size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), antialias=True),
        v2.RandomHorizontalFlip(),
    ]
    return cast(Transform, v2.Compose([*steps, *_to_normalised_tensor()]))


def testing_transform(size: int) -> Transform:
    """Resize and centre crop."""
    steps = [
        v2.Resize(round(size / _SHARE_OF_SHORT_SIDE), v2.InterpolationMode.BICUBIC),
        v2.CenterCrop(size),
    ]
    return cast(Transform, v2.Compose([*steps, *_to_normalised_tensor()]))


def _to_normalised_tensor() -> list[Any]:
    return [
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_DEVIATION),
    ]


@dataclass(frozen=True)
class _Items(Dataset[tuple[Tensor, int]]):
    """The images of one epoch by their place in it."""

    images: ImageList
    order: Tensor
    transform: Transform
    key: tuple[object, ...]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        index = int(self.order[place])
        image = read_image(self.images.path(index))
        # The transforms know only torch's global generator: lend them one that depends on the place
        # in the epoch, and give back what the process had.
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator(*self.key, place).get_state())
            return self.transform(image), self.images.labels[index]


@dataclass(frozen=True)
class _LoadedBatches:
    """A DataLoader that can start anywhere in the epoch."""

    items: _Items
    batch_size: int
    workers: int

    def __len__(self) -> int:
        return batch_count(self.items.order, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Batch]:
        loader = DataLoader(
            self.items,
            batch_size=self.batch_size,
            sampler=range(step * self.batch_size, len(self.items)),
            num_workers=self.workers,
            collate_fn=default_collate,
            pin_memory=torch.cuda.is_available(),
            # Without one of its own, the loader would draw from the generator that training uses.
            generator=generator(*self.items.key),
        )
        for x, y in loader:
            yield cast(Tensor, x), cast(Tensor, y)
