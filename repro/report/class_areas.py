"""Mean IoU of semantic segmentation, and how much two methods differ over the same images.

Notebook 23 writes `results/<scale>/segmentation/per_image.csv`:

    method,seed,metric,image,class,right,true,taken

A line says how many pixels of an image are of a class, were taken for it, and both ("right"), with
one scale (metric "miou") or several ("miou_ms"). Classes that are neither there nor predicted have
no line. Every figure follows from these counts: they are added up, then divided.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from repro.report.result_files import BrokenResultError, missing, shown
from repro.report.results import Results
from repro.report.runs import Run, RunFamily
from repro.stats import Estimate, FloatArray, counted_bootstrap

_COUNTS = ("right", "true", "taken")
_COLUMNS = ("method", "seed", "metric", "image", "class", *_COUNTS)

# metrics.json rounds; more than this apart, in percent, it is of another run.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ClassAreas:
    """What one method took every test image for.

    Attributes:
        seeds: those that finished.
        right, true, taken: (seeds, images, classes), pixels; images and classes are those of the
            whole file.
    """

    seeds: tuple[int, ...]
    right: FloatArray
    true: FloatArray
    taken: FloatArray

    def miou(self, counts: FloatArray, seeds: tuple[int, ...] | None = None) -> FloatArray:
        """Mean IoU in percent, (sets, seeds), of sets in which each image comes `counts` times.

        Args:
            counts: (sets, images).
            seeds: some of `self.seeds`; None takes all.
        """
        chosen = [self.seeds.index(seed) for seed in seeds or self.seeds]
        totals = (
            np.einsum("ri,sic->rsc", counts, side[chosen], optimize=True) for side in self._sides
        )
        right, true, taken = totals  # (sets, seeds, classes)
        either = true + taken - right
        present = either > 0
        shares = np.divide(right, either, out=np.zeros_like(right), where=present)
        mean: FloatArray = 100 * shares.sum(-1) / present.sum(-1)
        return mean

    @property
    def _sides(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.right, self.true, self.taken


def miou_difference(
    results: Results,
    family: RunFamily,
    method: str,
    base: str,
    metric: str = "miou",
    *,
    confidence: float = 0.95,
) -> Estimate | None:
    """Mean IoU of `method` less that of `base`, with its interval over images and seeds.

    Returns:
        In percentage points; None where no seed finished in both.
    Raises:
        MissingResultError: one of them was not run.
        BrokenResultError: the two were not run with the same seeds or not tested on the same
            images, or metrics.json and per_image.csv contradict each other.
    """
    run, reference = results.run(family, method), results.run(family, base)
    if set(run.seeds) != set(reference.seeds):
        raise BrokenResultError(
            f"{method} was run with the seeds {sorted(run.seeds)} but {base} with "
            f"{sorted(reference.seeds)}; a paired difference needs the same ones"
        )
    common = run.figures(metric).keys() & reference.figures(metric).keys()
    seeds = tuple(seed for seed in run.seeds if seed in common)
    if not seeds:
        return None
    path = results.root / family.folder / "per_image.csv"
    areas = read_class_areas(path, family.stage)
    mine, other = (_checked(areas, own, metric, path) for own in (run, reference))
    if not np.array_equal(mine.true[0], other.true[0]):
        raise BrokenResultError(
            f"{shown(path)}: {method} and {base} must be tested on the same images; their labels "
            "differ"
        )
    return counted_bootstrap(
        lambda counts: mine.miou(counts, seeds) - other.miou(counts, seeds),
        mine.true.shape[1],
        confidence=confidence,
    )


def read_class_areas(path: Path, stage: str) -> Mapping[tuple[str, str], ClassAreas]:
    """All of per_image.csv, by method and metric.

    Raises:
        MissingResultError: it is not there.
        BrokenResultError: a column is missing, a cell is no whole number, or a line comes twice.
    """
    if not path.is_file():
        raise missing(path, stage)
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4)  # tables and claims read it a dozen times
def _read(path: Path, modified: int, size: int) -> Mapping[tuple[str, str], ClassAreas]:
    kinds = {name: str if name in ("method", "metric", "image") else np.int64 for name in _COLUMNS}
    try:
        table = pd.read_csv(path, usecols=list(_COLUMNS), dtype=kinds, keep_default_na=False)
    except ValueError as error:
        raise BrokenResultError(f"{shown(path)}: {error}") from error
    if table.empty or table[["class", *_COUNTS]].to_numpy().min() < 0:
        raise BrokenResultError(f"{shown(path)} must hold counts of pixels, none below 0")
    keys = ["method", "seed", "metric", "image", "class"]
    if table.duplicated(keys).any():
        twice = table[table.duplicated(keys)][keys].iloc[0].to_list()
        raise BrokenResultError(f"{shown(path)} has a line twice: {twice}")
    images = {name: place for place, name in enumerate(dict.fromkeys(table["image"]))}
    classes = int(table["class"].max()) + 1
    found = {}
    for (method, metric), own in table.groupby(["method", "metric"], sort=False):
        seeds = tuple(int(seed) for seed in dict.fromkeys(own["seed"]))
        place = (own["seed"].map(seeds.index), own["image"].map(images), own["class"])
        sides = []
        for name in _COUNTS:
            side = np.zeros((len(seeds), len(images), classes))
            side[tuple(part.to_numpy() for part in place)] = own[name]
            sides.append(side)
        found[str(method), str(metric)] = ClassAreas(seeds, *sides)
    return found


def _checked(
    areas: Mapping[tuple[str, str], ClassAreas], run: Run, metric: str, path: Path
) -> ClassAreas:
    """The counts that a run's figures follow from; refuses others."""
    if (run.method, metric) not in areas:
        raise BrokenResultError(f"{shown(path)} has no line of {run.method!r} with {metric!r}")
    own = areas[run.method, metric]
    stated = run.figures(metric)
    found = dict(zip(own.seeds, own.miou(np.ones((1, own.true.shape[1])))[0], strict=True))
    wrong = [s for s, x in stated.items() if not abs(found.get(s, np.inf) - x) <= _ROUNDING]
    if wrong:
        raise BrokenResultError(
            f"{shown(run.path)} and per_image.csv beside it disagree: {metric} of {run.method}, "
            f"seed {wrong[0]}, is {stated[wrong[0]]} there and {found.get(wrong[0])} here; make "
            "both anew"
        )
    return own
