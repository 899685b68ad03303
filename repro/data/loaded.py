"""Batches that worker processes decode, from any place in an epoch on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader

from repro.data.augment import generator

Item = TypeVar("Item", covariant=True)
Made = TypeVar("Made")


class Items(Protocol[Item]):
    """The images of one epoch by their place in it."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> Item: ...


@dataclass(frozen=True)
class LoadedBatches(Generic[Item, Made]):
    """Batches of one epoch; number i needs none of the ones before it.

    Attributes:
        items: what is batched, in this order; each a function of its place alone.
        batch_size: the last batch may be smaller.
        workers: processes that decode; 0 decodes in this one.
        collate: makes a batch of items.
    """

    items: Items[Item]
    batch_size: int
    workers: int
    collate: Callable[[Sequence[Item]], Made]

    def __len__(self) -> int:
        return math.ceil(len(self.items) / self.batch_size)

    def __iter__(self) -> Iterator[Made]:
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Made]:
        """The batches from number `step` on."""
        yield from DataLoader(
            self.items,  # type: ignore[arg-type]  # it asks for a subclass of its Dataset
            batch_size=self.batch_size,
            sampler=range(step * self.batch_size, len(self.items)),
            num_workers=self.workers,
            collate_fn=self.collate,
            pin_memory=torch.cuda.is_available(),
            # Without one of its own, the loader would draw from the generator that training uses.
            generator=generator("loader"),
        )
