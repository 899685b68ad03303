"""One row an epoch: what training did, summed as it goes so that a checkpoint can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The columns of a history that tell the time; all others repeat exactly.
CLOCK_COLUMNS = ("seconds", "images_per_second")


@dataclass
class EpochSums:
    """Sums over the steps an epoch has taken so far."""

    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    grad_norms: int = 0  # fewer than steps where a loss scaler skipped some
    grad_norm: float = 0.0
    grad_norm_max: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)  # weighted by images

    def add(
        self, losses: Mapping[str, float], grad_norm: float | None, images: int, seconds: float
    ) -> None:
        """One step: mean losses over its images, its gradient's norm (None: it was skipped)."""
        self.steps += 1
        self.images += images
        self.seconds += seconds
        if grad_norm is not None:
            self.grad_norms += 1
            self.grad_norm += grad_norm
            self.grad_norm_max = max(self.grad_norm_max, grad_norm)
        for name, value in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + value * images

    def row(self) -> dict[str, Any]:
        """The training half of a row of the history."""
        means = {name: value / self.images for name, value in self.losses.items()}
        parts = {f"train_{name}": mean for name, mean in means.items()} if len(means) > 1 else {}
        return {
            "train_loss": sum(means.values()),
            **parts,
            "grad_norm": self.grad_norm / self.grad_norms if self.grad_norms else None,
            "grad_norm_max": self.grad_norm_max,
            "seconds": self.seconds,
            "images_per_second": self.images / self.seconds,
        }
