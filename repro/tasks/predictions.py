"""What a classifier says of a test set, and where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from repro.data.batches import Batch


def predict(model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) and labels (N,) of all batches, on the CPU.

    Args:
        model: in evaluation mode, on any device.
        batches: on any device.
    """
    device = next(model.parameters()).device
    with torch.no_grad():
        pairs = [(model(x.to(device)).float().cpu(), y.cpu()) for x, y in batches]
    return torch.cat([logits for logits, _ in pairs]), torch.cat([labels for _, labels in pairs])


@dataclass(frozen=True)
class Mistake:
    """A test image that was taken for another class.

    Attributes:
        image: (C, H, W), as the network saw it.
        label, taken_for: what it is, and what the network said.
        confidence: the probability it gave that.
    """

    image: Tensor
    label: int
    taken_for: int
    confidence: float


def mistakes(model: nn.Module, batches: Iterable[Batch], count: int) -> list[Mistake]:
    """For each pair of classes its most confident mistake, and of those the `count` most confident.

    One batch is held at a time, so it suits datasets that do not fit in memory.
    """
    worst: dict[tuple[int, int], Mistake] = {}
    for x, y in batches:
        probabilities = predict(model, [(x, y)])[0].softmax(1)
        confidences, taken = probabilities.max(1)
        for index in (taken != y.cpu()).nonzero().flatten().tolist():
            pair = int(y[index]), int(taken[index])
            confidence = float(confidences[index])
            if pair not in worst or confidence > worst[pair].confidence:
                worst[pair] = Mistake(x[index].cpu(), *pair, confidence)
    return sorted(worst.values(), key=lambda mistake: -mistake.confidence)[:count]


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """How often each class (row) was taken for each class (column); (classes, classes) int64."""
    classes = logits.shape[1]
    cells = labels * classes + logits.argmax(1)
    return torch.bincount(cells, minlength=classes**2).view(classes, classes)
