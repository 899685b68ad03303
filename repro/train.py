"""One training loop for all tasks.

A run is decided by its task, its configuration and the code: the same three give the same network,
the same metrics and the same history, however often the run was killed and started again (bit for
bit on a CPU with the same number of threads).
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from repro.env import versions
from repro.nn.per_sample import anneal_temperature
from repro.tasks.task import Batches, Task
from repro.training.checkpoint import CheckpointFolder, exclusive, key_of
from repro.training.config import TrainConfig
from repro.training.guard import NonFiniteError, find_cause
from repro.training.history import EpochSums
from repro.training.optimisation import (
    annealing_progress,
    build_optimizer,
    learning_rate,
    set_learning_rate,
)
from repro.training.progress import TrainingProgress
from repro.training.randomness import isolated, random_state, seed_everything, set_random_state
from repro.training.source import source_digest

__all__ = ["NonFiniteError", "TrainConfig", "TrainResult", "fit", "run_identity"]


@dataclass
class TrainResult:
    """What a run found.

    Attributes:
        metrics: the task's test metrics after the last epoch.
        history: one row an epoch: epoch, lr (of its last step), train_loss, grad_norm (mean over
            steps), grad_norm_max, test_<metric> where it was evaluated, seconds and
            images_per_second of its training steps.
        seconds: wall clock of the whole run, all its parts if it was resumed.
        model: the trained network, in evaluation mode, on the device it was trained on.
        remembered: the run was finished before; nothing was trained.
    """

    metrics: dict[str, float]
    history: list[dict[str, Any]]
    seconds: float
    model: nn.Module
    remembered: bool


def fit(
    task: Task,
    config: TrainConfig,
    *,
    resume_dir: Path | None = None,
    show_progress: bool = True,
) -> TrainResult:
    """Train one network, or continue where a killed run of the same identity stopped.

    Args:
        task: data, network, loss and metric.
        config: everything else, the seed included.
        resume_dir: folder in which each run keeps its checkpoints, in a folder of its own named by
            a hash of the run's identity; None keeps none.
        show_progress: a live bar on a terminal, else a line now and then.
    Returns:
        The result; at once, if the same run was finished before.
    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite; the message names the first
            module at fault, and `history` holds the epochs before.
        ValueError: the task has no training batch.
        OSError: `resume_dir` cannot be written.
    """
    device = _device(config.accelerator)
    with ExitStack() as stack:
        checkpoints = None
        if resume_dir is not None:
            identity = run_identity(task, config)
            folder = resume_dir / key_of(identity)
            stack.enter_context(exclusive(folder))
            checkpoints = CheckpointFolder(folder, identity)
        stack.enter_context(isolated(config.deterministic))
        fabric = Fabric(accelerator=device, devices=1, precision=config.precision)
        run = _Run(task, config, fabric, checkpoints)
        remembered = run.resume()
        if not remembered:
            run.train(show_progress)
        return TrainResult(run.metrics, run.history, run.seconds, run.model.eval(), remembered)


def run_identity(task: Task, config: TrainConfig) -> dict[str, Any]:
    """What decides a run's result, as plain values: what its checkpoints are found by."""
    return {
        "task": {"class": type(task).__qualname__, **task.identity()},
        "config": config.what_decides(),
        "device": _device(config.accelerator),
        "code": source_digest(__name__, type(task).__module__),
        "python": platform.python_version(),
        "versions": versions(),
    }


class _Run:
    """The state of one run, and how it advances."""

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        fabric: Fabric,
        checkpoints: CheckpointFolder | None,
    ) -> None:
        self.task, self.config, self.fabric, self.checkpoints = task, config, fabric, checkpoints
        seed_everything(config.seed)
        self.model = task.build_model()
        self.optimizer = build_optimizer(self.model.parameters(), config)
        self.wrapped_model, self.wrapped_optimizer = fabric.setup(self.model, self.optimizer)
        self.precision = fabric.strategy.precision
        self.scaler = getattr(self.precision, "scaler", None)  # only "16-mixed" has one
        self.epoch = 0  # epochs completed
        self.step = 0  # optimiser steps taken in all
        self.sums = EpochSums()  # of the epoch under way
        self.history: list[dict[str, Any]] = []
        self.metrics: dict[str, float] = {}
        self.seconds = 0.0
        self._counted = self._saved = time.monotonic()
        self._randomness: dict[str, Any] = {}  # to go on with, when resumed

    def resume(self) -> bool:
        """Take up the newest intact checkpoint, if there is one; True if it is of the end."""
        state = self.checkpoints.newest() if self.checkpoints is not None else None
        if state is None:
            return False
        self.model.load_state_dict(state["model"])
        self.metrics, self.history = state["metrics"], state["history"]
        self.step, self.epoch, self.seconds = state["step"], state["epoch"], state["seconds"]
        if state["finished"]:
            self._anneal(self.epoch)
            return True
        self.sums = EpochSums(**state["sums"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        self._randomness = state["randomness"]
        return False

    def train(self, show_progress: bool) -> None:
        """Take the steps that are left."""
        steps_per_epoch = len(self._batches())
        if steps_per_epoch == 0:
            raise ValueError(
                f"{self.task.name} has no training batch of batch_size={self.config.batch_size}"
            )
        progress = TrainingProgress(
            f"{self.task.name} seed {self.config.seed}",
            self.task.metric,
            epochs=self.config.epochs,
            steps_per_epoch=steps_per_epoch,
            steps_done=self.step,
            enabled=show_progress,
        )
        with progress:
            while self.epoch < self.config.epochs:
                self._train_epoch(progress)
                self._finish_epoch(progress)
        self._save(finished=True)

    def _train_epoch(self, progress: TrainingProgress) -> None:
        # Stream 0 made the weights; epoch e draws from stream e + 1, whatever was drawn before.
        seed_everything(self.config.seed, self.epoch + 1)
        batches = self._batches()
        remaining = batches.starting_at(self.sums.steps)
        if self.sums.steps:  # resumed within an epoch
            set_random_state(self._randomness)
        self.wrapped_model.train()
        started = time.monotonic()
        for batch in remaining:
            self._schedule(self.epoch + self.sums.steps / len(batches))
            losses, grad_norm = self._take_step(self.fabric.to_device(batch))
            self.step += 1
            images = self.task.images_in(batch)
            self.sums.add(losses, grad_norm, images, time.monotonic() - started)
            progress.step(images, sum(losses.values()))
            self._save_if_due()
            started = time.monotonic()

    def _schedule(self, position: float) -> None:
        """Set what depends on how many epochs have passed, fractions included."""
        set_learning_rate(self.optimizer, learning_rate(self.config, position))
        self._anneal(position)

    def _anneal(self, position: float) -> None:
        # No checkpoint holds a temperature: it follows from the position.
        anneal_temperature(self.model, annealing_progress(self.config, position))

    def _take_step(self, batch: Any) -> tuple[dict[str, float], float | None]:
        """One optimiser step; the losses, and the gradient's norm (None: the scaler skips it)."""
        randomness = random_state()
        self.optimizer.zero_grad()
        parts = self.task.losses(self.wrapped_model, batch)
        values = {name: float(part.detach()) for name, part in parts.items()}
        if not math.isfinite(sum(values.values())):
            raise self._failure(f"the loss became {values}", batch, randomness)
        self.fabric.backward(_total(parts))
        self.precision.unscale_gradients(self.optimizer)
        gradients = [
            parameter.grad for parameter in self.model.parameters() if parameter.grad is not None
        ]
        norm = get_total_norm(gradients)
        grad_norm: float | None = float(norm)
        if not math.isfinite(float(norm)):
            if self.scaler is None or self.scaler.get_scale() < 1:
                raise self._failure(f"the gradient's norm became {norm}", batch, randomness)
            grad_norm = None
        elif self.config.max_grad_norm is not None:
            clip_grads_with_norm_(self.model.parameters(), self.config.max_grad_norm, norm)
        self.wrapped_optimizer.step()
        return values, grad_norm

    def _failure(self, what: str, batch: Any, randomness: dict[str, Any]) -> NonFiniteError:
        set_random_state(randomness)
        cause = find_cause(
            self.model,
            batch,
            lambda: self.task.losses(self.wrapped_model, batch),
            lambda parts: self.fabric.backward(_total(parts)),
        )
        message = (
            f"{self.task.name} seed {self.config.seed} stopped at step {self.step} "
            f"(epoch {self.epoch + 1}): {what}; first at fault: {cause}"
        )
        return NonFiniteError(message, step=self.step, cause=cause, history=self.history)

    def _finish_epoch(self, progress: TrainingProgress) -> None:
        row = {"epoch": self.epoch + 1, "lr": self.optimizer.param_groups[0]["lr"]}
        row |= self.sums.row()
        last = self.epoch + 1 == self.config.epochs
        self._anneal(self.epoch + 1)
        if last or (self.epoch + 1) % self.config.evaluate_every_epochs == 0:
            self.metrics = self._evaluate()
            row |= {f"test_{name}": value for name, value in self.metrics.items()}
            progress.evaluated(self.metrics)
        self.history.append(row)
        self.epoch, self.sums = self.epoch + 1, EpochSums()
        self._save_if_due()

    def _evaluate(self) -> dict[str, float]:
        self.wrapped_model.eval()
        batches = self.task.test_batches(self.config.batch_size)
        with torch.no_grad():
            moved = (self.fabric.to_device(batch) for batch in batches)
            return self.task.evaluate(self.wrapped_model, moved)

    def _batches(self) -> Batches:
        return self.task.train_batches(self.config.batch_size, self.config.seed, self.epoch)

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved >= self.config.checkpoint_every_seconds:
            self._save()

    def _save(self, *, finished: bool = False) -> None:
        now = time.monotonic()
        self.seconds, self._counted = self.seconds + now - self._counted, now
        if self.checkpoints is None:
            return
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "metrics": self.metrics,
            "history": self.history,
            "step": self.step,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "finished": finished,
        }
        if not finished:
            state |= {
                "sums": asdict(self.sums),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.precision.state_dict(),
                "randomness": random_state(),
            }
        self.checkpoints.save(self.step, state)
        self._saved = time.monotonic()


def _total(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum()


def _device(accelerator: str) -> str:
    """ "cpu" or "cuda"; "auto" prefers the latter, and never Apple's, which our kernels lack."""
    if accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ValueError('accelerator="cuda" but PyTorch sees no CUDA device; "auto" takes the CPU')
    return accelerator
