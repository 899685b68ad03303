"""Several seeds of one task, and the run directory they leave for the stages that read it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from repro import env
from repro.files import write_json, write_text
from repro.paths import build_dir
from repro.stats import mean_interval
from repro.tasks.task import Task
from repro.train import NonFiniteError, TrainConfig, fit

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedRun:
    """What one seed found.

    Attributes:
        seed: the seed.
        metrics: the task's test metrics; empty if training broke down.
        history: one row an epoch, see `repro.train.TrainResult`.
        seconds: wall clock of its training; None if it broke down.
        model: the trained network, or None.
        failure: why training broke down, or None.
    """

    seed: int
    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, Any]]
    seconds: float | None
    model: nn.Module | None
    failure: str | None = None

    @property
    def max_grad_norm(self) -> float | None:
        """The largest gradient norm of any step; None if training broke down."""
        if self.failure is not None:
            return None
        return max(float(row["grad_norm_max"]) for row in self.history)


def train_seeds(
    task: Task,
    config: TrainConfig,
    seeds: Iterable[int],
    *,
    resume_dir: Path | None = None,
    stop_at_nan: bool = True,
    show_progress: bool = True,
) -> Iterator[SeedRun]:
    """Train one network a seed, each as soon as it is asked for.

    A seed that was finished before comes back without training, so adding one trains only that.

    Args:
        task: the same for every seed.
        config: its own seed is replaced by each of `seeds`.
        seeds: each at most once.
        resume_dir: see `repro.train.fit`; None takes `build/resume`.
        stop_at_nan: False turns a run whose loss or gradients became NaN into a `SeedRun` with a
            `failure`: where breaking down is a result.
        show_progress: see `repro.train.fit`.
    Raises:
        ValueError: no seeds, or one that comes twice.
        NonFiniteError: training broke down and `stop_at_nan` is set.
    """
    wanted = list(seeds)
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"seeds must be at least one, each once; got {wanted}")
    resume_dir = resume_dir or build_dir() / "resume"
    for seed in wanted:
        seeded = dataclasses.replace(config, seed=seed)
        try:
            result = fit(task, seeded, resume_dir=resume_dir, show_progress=show_progress)
        except NonFiniteError as error:
            if stop_at_nan:
                raise
            _log.warning("%s", error)
            yield SeedRun(seed, {}, error.history, None, None, str(error))
        else:
            yield SeedRun(seed, result.metrics, result.history, result.seconds, result.model)


def summarise(runs: Sequence[SeedRun]) -> dict[str, Any]:
    """Each metric as a list, one entry a seed; None where training broke down.

    Returns:
        "seeds", every metric, "max_grad_norm", "train_seconds"; "mean" with the mean of each metric
        over the seeds that have it, and its 95 % interval; "failures" by seed, if there are any.
    """
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    summary: dict[str, Any] = {
        "seeds": [run.seed for run in runs],
        **{name: [run.metrics.get(name) for run in runs] for name in names},
        "max_grad_norm": [run.max_grad_norm for run in runs],
        "train_seconds": [run.seconds for run in runs],
        "mean": {},
    }
    for name in names:
        values = [value for value in summary[name] if value is not None]
        summary["mean"][name] = dataclasses.asdict(mean_interval(values))
    failures = {run.seed: run.failure for run in runs if run.failure is not None}
    return {**summary, "failures": failures} if failures else summary


def history_table(runs: Mapping[str, Sequence[SeedRun]]) -> pd.DataFrame:
    """The histories of several methods as one table: method, seed, then a column a figure."""
    rows = [
        {"method": method, "seed": run.seed, **row}
        for method, seed_runs in runs.items()
        for run in seed_runs
        for row in run.history
    ]
    return pd.DataFrame(rows)


class RunDirectory:
    """The files of one run: metrics.json, history.csv, params.json, env.json, seeds/<seed>.json.

    Args:
        path: the directory; parameters and environment are written at once, so that one which
            cannot be written fails before hours of training.
        parameters: what was asked for.
    Raises:
        OSError: the directory cannot be written; the message names it.
    """

    def __init__(self, path: Path, parameters: Mapping[str, Any], config: TrainConfig) -> None:
        self.path = path
        # The loop asks for deterministic algorithms; outside of it nobody has.
        environment = {**env.describe(), "deterministic": config.deterministic}
        write_json(path / "params.json", parameters)
        write_json(path / "env.json", environment)
        # A directory describes one run: what an earlier one left would pass for this one's.
        for stale in (path / "metrics.json", path / "history.csv", *path.glob("seeds/**/*.json")):
            stale.unlink(missing_ok=True)

    def add_seed(self, run: SeedRun, method: str | None = None) -> None:
        """Write what one seed found, under seeds/, or under seeds/<method>/."""
        folder = self.path / "seeds" if method is None else self.path / "seeds" / method
        content = dataclasses.asdict(dataclasses.replace(run, model=None))
        del content["model"]
        write_json(folder / f"{run.seed}.json", content)

    def finish(self, metrics: Mapping[str, Any], history: pd.DataFrame) -> None:
        """Write metrics.json and history.csv: from now on the run is whole.

        Args:
            history: see `history_table`.
        """
        table = history.to_csv(index=False, float_format="%.8g", lineterminator="\n")
        write_text(self.path / "history.csv", table)
        write_json(self.path / "metrics.json", metrics)
