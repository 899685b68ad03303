"""What every classification dataset gives the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from repro.data.augment import generator

Batch = tuple[Tensor, Tensor]
"""x: (N, C, H, W) float32, normalised; y: (N,) int64."""


class Batches(Protocol):
    """One pass over a dataset: `for x, y in batches`, `len(batches)`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches from number `step` on, without making the ones before: for resuming."""
        ...


@dataclass(frozen=True)
class ClassificationData(ABC):
    """Images with one label each, split into train and test.

    Attributes:
        name: as `load_classification` takes it.
        class_names: by label.
        image_size: side of the square images that the batches hold.
        in_channels: 1 for grey, 3 for colour.
        augmentation: what `train_batches` does to an image, in words.
        train_count, test_count: images in each part.
        fingerprint: sha256 that differs where the images or their order differ.
    """

    name: str
    class_names: tuple[str, ...]
    image_size: int
    in_channels: int
    augmentation: str
    train_count: int
    test_count: int
    fingerprint: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @abstractmethod
    def train_batches(
        self, batch_size: int, seed: int, epoch: int, augment: bool = True
    ) -> Batches:
        """One epoch in a random order, without the incomplete batch at its end.

        Batch i is a function of (batch_size, seed, epoch, i) alone: it is the same whether or not
        earlier epochs, or earlier batches of this one, were made in this process.
        """

    @abstractmethod
    def test_batches(self, batch_size: int) -> Batches:
        """All test images in a fixed order, never augmented; the last batch may be smaller."""


def epoch_order(count: int, batch_size: int, seed: int, epoch: int) -> Tensor:
    """A random order of the images, cut to whole batches unless there is not even one.

    Raises:
        ValueError: the batch size is not positive.
    """
    require_positive(batch_size)
    order = torch.randperm(count, generator=generator("order", seed, epoch))
    return order[: max(count // batch_size * batch_size, min(count, batch_size))]


def require_positive(batch_size: int) -> None:
    """Raises ValueError unless a batch holds at least one image."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def batch_count(images: Tensor | Sequence[int], batch_size: int) -> int:
    """How many batches hold `images`, the last one possibly smaller."""
    return -(-len(images) // batch_size)
