"""Datasets of small images, kept in memory as bytes and augmented a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from repro.data import augment
from repro.data.batches import (
    Batch,
    Batches,
    ClassificationData,
    batch_count,
    epoch_order,
    require_positive,
)


class Policy(Protocol):
    """How stored bytes become what the network sees."""

    def for_training(self, images: Tensor, random: torch.Generator) -> Tensor:
        """(N, C, H, W) uint8 to float32, augmented and normalised."""
        ...

    def for_testing(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 to float32, normalised only."""
        ...


@dataclass(frozen=True)
class CropAndFlip:
    """Pad, cut out a window of the old size, mirror half: the usual recipe for CIFAR.

    Attributes:
        mean, deviation: of each channel, in bytes.
        padding: black pixels on each side before the crop.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    padding: int

    def for_training(self, images: Tensor, random: torch.Generator) -> Tensor:
        padded = F.pad(images, (self.padding,) * 4)
        windows = augment.random_crop(padded, images.shape[-1], random)
        return self.for_testing(augment.random_flip(windows, random))

    def for_testing(self, images: Tensor) -> Tensor:
        mean = torch.tensor(self.mean)[:, None, None]
        deviation = torch.tensor(self.deviation)[:, None, None]
        return (images.float() - mean) / deviation


@dataclass(frozen=True)
class InMemoryData(ClassificationData):
    """A dataset held as tensors.

    Attributes:
        train_images, test_images: (N, C, H, W) uint8.
        train_labels, test_labels: (N,) int64.
        policy: how bytes become inputs.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    policy: Policy

    def train_batches(
        self, batch_size: int, seed: int, epoch: int, augment: bool = True
    ) -> Batches:
        order = epoch_order(self.train_count, batch_size, seed, epoch)

        def make(start: int, chosen: Tensor) -> Tensor:
            images = self.train_images[chosen]
            if not augment:
                return self.policy.for_testing(images)
            return self.policy.for_training(images, _generator(seed, epoch, start))

        return _TensorBatches(order, self.train_labels, batch_size, make)

    def test_batches(self, batch_size: int) -> Batches:
        require_positive(batch_size)
        return _TensorBatches(
            torch.arange(self.test_count),
            self.test_labels,
            batch_size,
            lambda start, chosen: self.policy.for_testing(self.test_images[chosen]),
        )


@dataclass(frozen=True)
class _TensorBatches:
    """Batches made on demand: number i needs none of the ones before it."""

    order: Tensor
    labels: Tensor
    batch_size: int
    make: Callable[[int, Tensor], Tensor]

    def __len__(self) -> int:
        return batch_count(self.order, self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Batch]:
        for start in range(step * self.batch_size, len(self.order), self.batch_size):
            chosen = self.order[start : start + self.batch_size]
            yield self.make(start, chosen), self.labels[chosen]


def _generator(seed: int, epoch: int, start: int) -> torch.Generator:
    return augment.generator("augment", seed, epoch, start)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of (N, C, H, W) bytes, from exact counts."""
    values = torch.arange(256, dtype=torch.float64)
    means, deviations = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * values).sum()
        means.append(mean.item())
        deviations.append((share * (values - mean).square()).sum().sqrt().clamp_min(1).item())
    return tuple(means), tuple(deviations)
