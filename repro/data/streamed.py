"""Datasets too large for memory: decoded and augmented one image at a time by worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from repro.data.augment import generator
from repro.data.batches import (
    Batch,
    Batches,
    ClassificationData,
    epoch_order,
    require_positive,
)
from repro.data.image_folder import ImageList, read_image
from repro.data.loaded import LoadedBatches

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
        return LoadedBatches(items, batch_size, self.workers, _stacked)

    def test_batches(self, batch_size: int) -> Batches:
        require_positive(batch_size)
        order = torch.arange(self.test_count)
        items = _Items(self.test, order, testing_transform(self.image_size), ("test",))
        return LoadedBatches(items, batch_size, self.workers, _stacked)


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
class _Items:
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


def _stacked(items: Sequence[tuple[Tensor, int]]) -> Batch:
    images, labels = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(labels)
