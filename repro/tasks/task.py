"""What the training loop asks of a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Batches(Protocol):
    """One pass over the training data."""

    def __len__(self) -> int: ...

    def starting_at(self, step: int) -> Iterator[Any]:
        """The batches from number `step` on: where a resumed run goes on."""
        ...


class Task(Protocol):
    """Data, network, loss and metric of one experiment.

    A batch is the task's own business: a pair of tensors, or lists of images and of targets of
    different sizes. The loop moves the tensors in it to the device and hands it back.

    Attributes:
        name: names the run in the progress display.
        metric: the entry of `evaluate` that the progress display shows.
    """

    name: str
    metric: str

    def identity(self) -> Mapping[str, Any]:
        """Plain values that decide the result: method, dataset and its fingerprint, options.

        Checkpoints and finished runs are found by it (and by the configuration and the code): two
        tasks with equal identities must train to the same network.
        """
        ...

    def build_model(self) -> nn.Module:
        """The untrained network. Called once, after the generators were seeded."""
        ...

    def train_batches(self, batch_size: int, seed: int, epoch: int) -> Batches:
        """One epoch, at least one batch; it depends on nothing but the arguments."""
        ...

    def test_batches(self, batch_size: int) -> Iterable[Any]:
        """The batches `evaluate` is given, always in the same order."""
        ...

    def images_in(self, batch: Any) -> int:
        """How many images a batch holds; losses are averaged over images."""
        ...

    def losses(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """The named losses of a batch, scalars; the loop minimises their sum."""
        ...

    def evaluate(self, model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
        """Test metrics by name. The model is in evaluation mode and gradients are off."""
        ...
