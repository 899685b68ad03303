"""Intervals over seeds, and over test images: what a handful of runs says about a difference."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

FloatArray = NDArray[np.float64]


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


def image_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    *,
    pixels: ArrayLike | None = None,
    confidence: float = 0.95,
    replicates: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Mean of a - b over seeds and test images, with a percentile interval over both.

    Both sides are paired: one image and one seed are the same draw for a as for b. Images are drawn
    with replacement. To each replicate a draw is added for the seeds: Student's t with the standard
    error of the seeds' own differences. So the interval is Student's where all images say the same,
    and the plain percentile one where all seeds do.

    Args:
        a: errors of a method, (seeds, images); (images,) for one without seeds, which is the same
            in every seed.
        b: errors of what it is compared with, likewise.
        pixels: (images,); given, the errors of one seed are pooled as the root of their mean square
            over all pixels; else they are averaged over images.
        replicates: bootstrap samples; 10,000 leave 250 in either tail of a 95 % interval.
        seed: of the bootstrap's own draws; the same one gives the same interval.
    Returns:
        An Estimate whose n is the number of seeds (1 without seeds). A single seed or a single
        image leaves nothing to judge the spread by: `low` and `high` are None.
    Raises:
        ValueError: shapes that do not pair, errors that are not finite, no image, pixels that are
            not positive, or a confidence out of range.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6.5 (parametric
        draws) and 13 (percentile interval).
    Deviates: seeds are not drawn with replacement. If all spread lies between three seeds, that
        gives no interval wider than from the least to the greatest of them, which has a symmetric
        distribution's middle on one side of it in 2 cases of 2**3: it covers 75 %, not 95 %.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    mine, other = _errors("a", a), _errors("b", b)
    if mine.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"a and b must hold the same images, got {mine.shape[-1]} and {other.shape[-1]}"
        )
    if mine.ndim == other.ndim == 2 and len(mine) != len(other):
        raise ValueError(f"a and b must hold the same seeds, got {len(mine)} and {len(other)}")
    images = mine.shape[-1]
    weights = _pixel_weights(pixels, images)
    seeded = mine.ndim == 2 or other.ndim == 2
    return counted_bootstrap(
        lambda counts: _summary(mine, weights, counts) - _summary(other, weights, counts),
        images,
        seeded=seeded,
        confidence=confidence,
        replicates=replicates,
        seed=seed,
    )


def counted_bootstrap(
    figures: Callable[[FloatArray], FloatArray],
    images: int,
    *,
    seeded: bool = True,
    confidence: float = 0.95,
    replicates: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The interval of `image_bootstrap` for any figure of a set of images.

    Args:
        figures: how often each image counts, (sets, images), to the figure of each seed on each
            set, (sets, seeds).
        images: how many there are.
        seeded: whether the figures depend on seeds at all.
    Raises:
        ValueError: a confidence out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    by_seed = figures(np.ones((1, images)))
    mean, seeds = float(by_seed.mean()), by_seed.shape[1]
    if images == 1 or (seeded and seeds == 1):
        return Estimate(mean, None, None, seeds, confidence)
    replicate = figures(_image_counts(images, replicates, seed)).mean(axis=1)
    if seeds > 1:
        standard_error = float(by_seed.std(ddof=1)) / math.sqrt(seeds)
        draws = np.random.default_rng([seed, seeds]).standard_t(seeds - 1, replicates)
        replicate = replicate + standard_error * draws
    low, high = np.quantile(replicate, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(mean, float(low), float(high), seeds, confidence)


def _errors(name: str, values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or 0 in array.shape:
        raise ValueError(f"{name} must be (seeds, images) or (images,), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"errors must be finite, {name} has {(~np.isfinite(array)).sum()} not so")
    return array


def _pixel_weights(pixels: ArrayLike | None, images: int) -> FloatArray | None:
    if pixels is None:
        return None
    array = np.asarray(pixels, dtype=np.float64)
    if array.shape != (images,) or not (array > 0).all():
        raise ValueError(f"pixels must be {images} positive numbers, got {array}")
    return array


@functools.lru_cache(maxsize=2)
def _image_counts(images: int, replicates: int, seed: int) -> FloatArray:
    """(replicates, images): how often each image is drawn."""
    drawn = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=replicates
    )
    return drawn.astype(np.float64)


def _summary(errors: FloatArray, pixels: FloatArray | None, counts: FloatArray) -> FloatArray:
    """(replicates, seeds): the error over images that come `counts` times; one seed if it has none.

    Args:
        errors: (seeds, images) or (images,).
        counts: (replicates, images).
    """
    errors = np.atleast_2d(errors)
    if pixels is None:
        averaged: FloatArray = counts @ errors.T / counts.sum(axis=1, keepdims=True)
        return averaged
    pooled: FloatArray = np.sqrt((counts * pixels) @ (errors**2).T / (counts @ pixels)[:, None])
    return pooled
