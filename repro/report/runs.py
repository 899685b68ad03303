"""The runs that tables and claims rest on: where each kind lies, and what one holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from repro.report.result_files import BrokenResultError, shown
from repro.stats import by_seed


@dataclass(frozen=True)
class RunFamily:
    """Where the runs of one kind lie, and which stage makes them.

    Attributes:
        folder: below `results/<scale>/`.
        stage: the stage in dvc.yaml.
        together: one `metrics.json` holds all methods under "variants", because one process trains
            them; otherwise every method has a folder, and a stage `<stage>@<method>`.
        by_row: its methods are ids of rows, not of systems or networks.
    """

    folder: str
    stage: str
    together: bool = False
    by_row: bool = False


CLASSIFICATION = RunFamily("classification", "train_classification")
DDF_ABLATION = RunFamily("ablate_ddf", "ablate_ddf", together=True)
FDCONV_ABLATION = RunFamily("ablate_fdconv", "ablate_fdconv", together=True)
COMPARISON = RunFamily("compare_networks", "compare_networks", together=True)
JOINT_UPSAMPLING = RunFamily("joint_upsampling", "joint_upsampling", together=True)
UPSAMPLING_ABLATION = RunFamily("ablate_joint_upsampling", "ablate_joint_upsampling", together=True)
DETECTION = RunFamily("detection", "detection", together=True, by_row=True)
SEGMENTATION = RunFamily("segmentation", "segmentation", together=True, by_row=True)

FAMILIES = (
    CLASSIFICATION,
    DDF_ABLATION,
    FDCONV_ABLATION,
    COMPARISON,
    JOINT_UPSAMPLING,
    UPSAMPLING_ABLATION,
    DETECTION,
    SEGMENTATION,
)


@dataclass(frozen=True)
class Run:
    """One method at one scale: a list of figures a metric, one figure a seed.

    A seed whose training broke down has None where its figure would be.

    Attributes:
        details: dataset and budget: what metrics.json says of all its methods, and under "details"
            of this one.
        own: what it says of this one.
    """

    method: str
    path: Path
    seeds: tuple[int, ...]
    values: Mapping[str, tuple[float | None, ...]]
    details: Mapping[str, Any]
    own: Mapping[str, Any] = field(default_factory=dict)

    def figures(self, metric: str) -> dict[int, float]:
        """Seed -> figure, without the seeds that have none.

        Raises:
            BrokenResultError: the run did not record that metric.
        """
        if metric not in self.values:
            known = ", ".join(sorted(self.values))
            raise BrokenResultError(
                f"{shown(self.path)} lacks {metric!r} of {self.method}; has: {known}"
            )
        pairs = zip(self.seeds, self.values[metric], strict=True)
        kept = [(seed, figure) for seed, figure in pairs if figure is not None]
        return by_seed([seed for seed, _ in kept], [figure for _, figure in kept])

    @property
    def deterministic(self) -> bool:
        """Whether no seed matters: a method that is not trained."""
        return bool(self.own.get("deterministic", False))


def parse_run(method: str, path: Path, own: Mapping[str, Any], details: Mapping[str, Any]) -> Run:
    """A run from its part of metrics.json.

    Raises:
        BrokenResultError: no seeds, or not one figure for each.
    """
    seeds = own.get("seeds", details.get("seeds"))
    if not isinstance(seeds, list) or not seeds:
        raise BrokenResultError(f"{shown(path)} must list the seeds of {method}, got {seeds!r}")
    values: dict[str, tuple[float | None, ...]] = {}
    for name, entry in own.items():
        if name == "seeds" or not isinstance(entry, list):
            continue
        if not all(item is None or isinstance(item, int | float) for item in entry):
            continue
        if len(entry) != len(seeds):
            counts = f"{len(seeds)} seeds but {len(entry)} figures of {name!r}"
            raise BrokenResultError(f"{shown(path)}: {method} has {counts}")
        values[name] = _finite(entry)
    return Run(method, path, tuple(seeds), values, {**details, **own.get("details", {})}, own)


def _finite(entry: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if x is None or not math.isfinite(x) else float(x) for x in entry)
