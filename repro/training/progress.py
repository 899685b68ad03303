"""Live progress: a bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class TrainingProgress:
    """Shows loss, metric, images/s and time left while a run trains.

    On a terminal it is a live bar. Under papermill, in a notebook or in a log file it is a plain
    line at most every `every_seconds`, and one at the end.

    Args:
        name: names the run, with its seed.
        metric: name of the figure shown after each evaluation.
        epochs: epochs in all.
        steps_per_epoch: steps of each.
        steps_done: steps that a checkpoint already holds.
        enabled: False shows nothing.
        every_seconds: shortest time between two plain lines.
        console: where to; the process's standard output unless given.
    """

    def __init__(
        self,
        name: str,
        metric: str,
        *,
        epochs: int,
        steps_per_epoch: int,
        steps_done: int = 0,
        enabled: bool = True,
        every_seconds: float = 5.0,
        console: Console | None = None,
    ) -> None:
        self._name, self._metric = name, metric
        self._epochs, self._steps_per_epoch = epochs, steps_per_epoch
        self._first_step = self._step = steps_done
        self._enabled, self._every_seconds = enabled, every_seconds
        self._console = console or _console()
        self._started = self._last_line = time.monotonic()
        self._images = 0
        self._figures: dict[str, float] = {}
        self._written: tuple[int, dict[str, float]] | None = None  # the state last shown as a line
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._enabled and self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[tail]}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.add_task(self._name, total=self._total, completed=self._step, tail="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._enabled and error is None and self._written != (self._step, self._figures):
            self._write_line()

    def step(self, images: int, loss: float) -> None:
        """One optimiser step was taken."""
        self._step += 1
        self._images += images
        self._figures["loss"] = loss
        self._show()

    def evaluated(self, metrics: dict[str, float]) -> None:
        """The network was evaluated."""
        if self._metric in metrics:
            self._figures[self._metric] = metrics[self._metric]
            self._show()

    @property
    def _total(self) -> int:
        return self._epochs * self._steps_per_epoch

    def _show(self) -> None:
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._step, tail=self._tail())
        elif time.monotonic() - self._last_line >= self._every_seconds:
            self._write_line()

    def _write_line(self) -> None:
        self._last_line = time.monotonic()
        self._written = (self._step, dict(self._figures))
        self._console.print(f"{self._name} | {self._tail()}", highlight=False, soft_wrap=True)

    def _tail(self) -> str:
        """Epoch, figures, speed and time left."""
        elapsed = time.monotonic() - self._started
        taken = self._step - self._first_step
        epoch = min(self._step // self._steps_per_epoch + 1, self._epochs)
        parts = [f"epoch {epoch}/{self._epochs}"]
        parts += [f"{name} {value:.4g}" for name, value in self._figures.items()]
        if taken:
            left = elapsed / taken * (self._total - self._step)
            parts.append(f"{self._images / elapsed:.0f} images/s")
            parts.append(f"{_clock(left)} left" if left else f"done in {_clock(elapsed)}")
        return " | ".join(parts)


def _console() -> Console:
    """Standard output; a notebook's, which calls itself a terminal, does not count as one."""
    in_notebook = Console().is_jupyter
    return Console(force_jupyter=False, force_terminal=False if in_notebook else None)


def _clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
