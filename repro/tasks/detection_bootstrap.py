"""How far average precision would move with other test images: a bootstrap over images.

Average precision is no mean over images, so it has no per-image values to compare. But which
detection matches which object is decided within an image. Those matches are computed once;
every resample of the images is then a weight for each, and only the sums are made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repro.stats import Estimate

RECALLS = np.linspace(0, 1, 101)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassMatches:
    """What was found of one class, D detections in all images, at each of T overlaps.

    Attributes:
        image: (D,) which image each is in, the detections by falling score.
        right: (T, D) bool: it matches an object that counts.
        wrong: (T, D) bool: it matches none. What is neither lies in a crowd.
        objects: (images,) how many there are to be found in each image.
    """

    image: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    objects: NDArray[np.int64]


@dataclass(frozen=True)
class Matches:
    """The outcome of an evaluation, image by image.

    Attributes:
        images: how many.
        classes: those that have an object or a detection.
    """

    images: int
    classes: Sequence[ClassMatches]

    def ap(self, weights: NDArray[np.int64] | None = None) -> float:
        """Average precision in percent, each image counted `weights` (images,) times; None: once.

        Equal to COCO's on images copied so often, but for the order of detections of equal score.
        NaN if no object is left.
        """
        weights = np.ones(self.images, dtype=np.int64) if weights is None else weights
        precisions = [
            _precision(found, weights) for found in self.classes if weights @ found.objects > 0
        ]
        return 100 * float(np.mean(precisions)) if precisions else float("nan")


def bootstrap_ap(matches: Matches, *, replicates: int = 1000, seed: int = 0) -> Floats:
    """Average precision, percent, of resampled test sets of the same size: (replicates,).

    The same seed and number of images give the same resamples, so two detectors can be compared
    replicate by replicate. A class that a resample has no object of is left out of its mean; with
    rare classes this widens the spread.

    Raises:
        ValueError: `replicates` is not positive.
    """
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    random = np.random.default_rng(seed)
    values = []
    for _ in range(replicates):
        drawn = random.integers(matches.images, size=matches.images)
        values.append(matches.ap(np.bincount(drawn, minlength=matches.images)))
    return np.array(values)


def bootstrap_difference(
    a: Matches,
    b: Matches,
    *,
    replicates: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Average precision of `a` less that of `b`, with its percentile interval over images.

    It says how sure the difference between these two trained networks is on other images of the
    kind, not how training them again would change it: that is what seeds are for.

    Returns:
        `mean` is the difference on the test set as it is, `n` its number of images.
    Raises:
        ValueError: the two were not evaluated on the same objects.
    """
    _require_same_objects(a, b)
    first = bootstrap_ap(a, replicates=replicates, seed=seed)
    second = bootstrap_ap(b, replicates=replicates, seed=seed)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.nanquantile(first - second, tails)
    return Estimate(a.ap() - b.ap(), float(low), float(high), a.images, confidence)


def _require_same_objects(a: Matches, b: Matches) -> None:
    counts = [
        sorted(tuple(found.objects.tolist()) for found in side.classes if found.objects.any())
        for side in (a, b)
    ]
    if a.images != b.images or counts[0] != counts[1]:
        raise ValueError(
            f"two detectors must be compared on the same objects; got {a.images} images with "
            f"{sum(map(sum, counts[0]))} objects and {b.images} with {sum(map(sum, counts[1]))}"
        )


def _precision(found: ClassMatches, weights: NDArray[np.int64]) -> float:
    """Mean over overlaps and recalls of the best precision at that recall or a higher one."""
    weight = weights[found.image].astype(np.float64)
    right = np.cumsum(found.right * weight, axis=1)  # (T, D)
    wrong = np.cumsum(found.wrong * weight, axis=1)  # (T, D)
    precision = right / (right + wrong + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = right / (weights @ found.objects)
    padded = np.pad(best, ((0, 0), (0, 1)))  # nothing is found at a recall that is not reached
    places = [np.searchsorted(row, RECALLS) for row in recall]
    return float(np.take_along_axis(padded, np.array(places), axis=1).mean())
