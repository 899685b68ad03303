"""How a network is trained: one frozen record, checked when it is made."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from repro.names import require_known

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("cosine", "step", "constant")
PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed")
ACCELERATORS = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class TrainConfig:
    """Everything about a run that is not the task.

    Attributes:
        epochs: passes over the training data.
        batch_size: images a step.
        lr: peak learning rate, reached when the warm-up ends.
        optimizer: "sgd", "adam" or "adamw".
        momentum: of SGD; Adam and AdamW keep PyTorch's betas.
        nesterov: Nesterov's form of SGD's momentum.
        weight_decay: on every parameter, normalisation and biases included, as the papers state it.
        schedule: "cosine" from lr to min_lr over the epochs after the warm-up, "step" times `gamma`
            at each milestone, or "constant"; all per step, not per epoch.
        min_lr: where the cosine ends.
        milestones: epochs, counted from 0 and fractions allowed, at which "step" falls.
        gamma: factor of each fall.
        warmup_epochs: epochs, fractions allowed, of linear growth from warmup_lr to lr.
        warmup_lr: where the warm-up starts.
        annealing_epochs: epochs, fractions allowed, over which attention temperatures go from their
            start to their end (DY-Conv, ODConv, KernelWarehouse); 0 keeps them at the end, None is
            the papers' 10, or half of a run shorter than 20.
        max_grad_norm: clip the gradient's total 2-norm to this; None does not clip.
        seed: decides initial weights, order and augmentation.
        evaluate_every_epochs: the last epoch is evaluated in any case.
        precision: "32-true", "64-true", "16-mixed" or "bf16-mixed".
        accelerator: "auto" takes a GPU where there is one; else "cpu" or "cuda".
        deterministic: ask PyTorch for algorithms whose results repeat exactly, where it has them.
        checkpoint_every_seconds: 0 writes one after every step. No effect on the result.
    Raises:
        UnknownNameError: optimizer, schedule, precision or accelerator of another name.
        ValueError: a number out of range; the message names it.
    """

    epochs: int
    batch_size: int
    lr: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    min_lr: float = 0.0
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    warmup_lr: float = 0.0
    annealing_epochs: float | None = None
    max_grad_norm: float | None = None
    seed: int = 0
    evaluate_every_epochs: int = 1
    precision: str = "32-true"
    accelerator: str = "auto"
    deterministic: bool = True
    checkpoint_every_seconds: float = 30.0

    def __post_init__(self) -> None:
        require_known("optimizer", self.optimizer, OPTIMIZERS)
        require_known("schedule", self.schedule, SCHEDULES)
        require_known("precision", self.precision, PRECISIONS)
        require_known("accelerator", self.accelerator, ACCELERATORS)
        for name in ("epochs", "batch_size", "evaluate_every_epochs"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be a whole number of at least 0, got {self.seed!r}")
        if not self.lr > 0:
            raise ValueError(f"lr must be positive, got {self.lr!r}")
        for name in ("momentum", "weight_decay", "min_lr", "warmup_epochs", "warmup_lr"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")
        if self.warmup_epochs >= self.epochs and self.schedule == "cosine":
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs} leaves nothing of epochs={self.epochs} "
                "for the cosine"
            )
        if self.annealing_epochs is not None and not 0 <= self.annealing_epochs <= self.epochs:
            raise ValueError(
                f"annealing_epochs must lie between 0 and epochs={self.epochs}, "
                f"got {self.annealing_epochs!r}"
            )
        if self.max_grad_norm is not None and not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be positive or None, got {self.max_grad_norm!r}")
        # YAML gives lists; a tuple keeps the record hashable.
        object.__setattr__(self, "milestones", _milestones(self.milestones, self.epochs))
        if bool(self.milestones) != (self.schedule == "step"):
            raise ValueError(
                f'milestones belong to schedule "step", and it needs them; got milestones='
                f"{self.milestones} with schedule {self.schedule!r}"
            )

    def what_decides(self) -> dict[str, Any]:
        """The fields that decide the result.

        Not how often a checkpoint is written, and not the accelerator, whose "auto" says nothing:
        a run's identity names the device that was taken.
        """
        values = asdict(self)
        del values["checkpoint_every_seconds"], values["accelerator"]
        return values


def field_names() -> set[str]:
    """Names of the fields of TrainConfig: which parameters of a stage are the loop's."""
    return {field.name for field in fields(TrainConfig)}


def _milestones(milestones: Iterable[float], epochs: int) -> tuple[float, ...]:
    found = tuple(milestones)
    if any(later <= earlier for earlier, later in itertools.pairwise(found)):
        raise ValueError(f"milestones must rise, got {found}")
    if any(not 0 < milestone < epochs for milestone in found):
        raise ValueError(f"milestones must lie between 0 and epochs={epochs}, got {found}")
    return found
