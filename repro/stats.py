"""Intervals over seeds: what a handful of runs says about a method, and about a difference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit


@dataclass(frozen=True)
class Estimate:
    """A mean over runs and its confidence interval.

    Attributes:
        mean: arithmetic mean of the runs.
        low: lower end of the interval; None when one run leaves nothing to judge its spread by.
        high: upper end of the interval, or None.
        n: number of runs (of pairs, for a difference).
        confidence: how often such an interval covers the true mean.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    confidence: float = 0.95

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None for a single run."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    def __str__(self) -> str:
        if self.half_width is None:
            return f"{self.mean:.2f} (one run, no interval)"
        return f"{self.mean:.2f} ± {self.half_width:.2f} (n={self.n})"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Mean of independent runs with its Student t interval.

    The interval supposes that runs scatter normally around the method's true mean. With a single
    run `low` and `high` are None: a spread of nought would claim certainty.

    Args:
        values: one figure a run, all finite.
        confidence: between 0 and 1, exclusive.
    Raises:
        ValueError: no values, one that is not finite, or a confidence out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if len(values) == 0:
        raise ValueError("an interval needs at least one value, got none")
    for position, value in enumerate(values):
        if value is None or not math.isfinite(value):
            raise ValueError(f"values must be finite, got {value} at position {position}")
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if array.size == 1:
        return Estimate(mean, None, None, 1, confidence)
    standard_error = float(array.std(ddof=1)) / math.sqrt(array.size)
    half_width = float(stdtrit(array.size - 1, (1 + confidence) / 2)) * standard_error
    return Estimate(mean, mean - half_width, mean + half_width, int(array.size), confidence)


def paired_difference(
    a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95
) -> Estimate:
    """Mean of a - b over the seeds both were run with, with its Student t interval.

    One seed gives both methods the same order and augmentation of the data, so what it adds to
    both cancels in the difference.

    Args:
        a: seed -> figure of the method; see `by_seed`.
        b: seed -> figure of what it is compared with.
        confidence: between 0 and 1, exclusive.
    Raises:
        ValueError: the seeds differ; the message names those that lack a partner.
    """
    if set(a) != set(b):
        lonely = f"only in a: {sorted(set(a) - set(b))}, only in b: {sorted(set(b) - set(a))}"
        raise ValueError(f"a paired difference needs the same seeds on both sides; {lonely}")
    return mean_interval([a[seed] - b[seed] for seed in sorted(a)], confidence)


def by_seed(seeds: Iterable[int], values: Iterable[float]) -> dict[int, float]:
    """Pair the seeds of a run directory with its figures, for `paired_difference`.

    Raises:
        ValueError: the lengths differ, or a seed comes twice.
    """
    seeds, values = list(seeds), list(values)
    if len(seeds) != len(values):
        raise ValueError(f"got {len(seeds)} seeds but {len(values)} values")
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"each seed must come once, got {seeds}")
    return dict(zip(seeds, values, strict=True))
