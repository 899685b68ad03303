"""Mean intersection over union and pixel accuracy, from the confusion counts of each image.

All figures follow from counts that are added over images, so an interval over images is a matter of
adding them up again with other weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.segmentation_images import IGNORE, SegmentationData
from repro.stats import Estimate

Counts = NDArray[np.int64]
Figures = NDArray[np.float64]


@dataclass(frozen=True)
class ClassAreas:
    """Pixels of each class, of one image or of many; pixels without a label are left out.

    Attributes:
        right: (..., classes), of that class and taken for it.
        true: (..., classes), of that class.
        taken: (..., classes), taken for that class.
    """

    right: Counts
    true: Counts
    taken: Counts

    def total(self) -> ClassAreas:
        """The sum over the first axis."""
        return ClassAreas(self.right.sum(0), self.true.sum(0), self.taken.sum(0))


def confusion(predicted: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """How often each class (row) was taken for each class (column), in each image.

    Args:
        predicted: (N, H, W), whole numbers below `num_classes`.
        labels: (N, H, W), below `num_classes` or `IGNORE`, which is left out.
    Returns:
        (N, num_classes, num_classes) int64, on the CPU.
    Raises:
        ValueError: shapes differ, or a number is out of range.
    """
    if predicted.shape != labels.shape or labels.ndim != 3:
        raise ValueError(
            f"predicted and labels must both be (N, H, W), got {tuple(predicted.shape)} and "
            f"{tuple(labels.shape)}"
        )
    counts = torch.zeros(len(labels), num_classes, num_classes, dtype=torch.int64)
    for image, (taken, true) in enumerate(zip(predicted.long(), labels.long(), strict=True)):
        labelled = true != IGNORE
        taken, true = taken[labelled], true[labelled]
        for name, classes in (("predicted", taken), ("labels", true)):
            if classes.numel() and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
                raise ValueError(
                    f"{name} of image {image} must lie in 0..{num_classes - 1}, got "
                    f"{int(classes.min())}..{int(classes.max())}"
                )
        cells = torch.bincount(true * num_classes + taken, minlength=num_classes**2)
        counts[image] = cells.view(num_classes, num_classes).cpu()
    return counts


def class_areas(confusions: Tensor) -> ClassAreas:
    """What the figures need of confusion counts (..., classes, classes): a small part of them."""
    counts = confusions.numpy()
    return ClassAreas(
        np.ascontiguousarray(np.diagonal(counts, axis1=-2, axis2=-1)),
        counts.sum(-1),
        counts.sum(-2),
    )


def joined(parts: Sequence[ClassAreas]) -> ClassAreas:
    """The areas of several batches, one after the other."""
    return ClassAreas(
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.true for part in parts]),
        np.concatenate([part.taken for part in parts]),
    )


def iou(areas: ClassAreas) -> Figures:
    """(..., classes): intersection over union; NaN for a class neither there nor predicted."""
    return _iou(areas.right, areas.true, areas.taken)


def mean_iou(areas: ClassAreas) -> Figures:
    """(...): mean over the classes that are there or were predicted; a share, not percent.

    The areas are those of a whole set, added up before they are divided, as the papers (and
    MMSegmentation) do; torchmetrics' MeanIoU divides image by image.

    Raises:
        ValueError: there is no such class: nothing has a label.
    """
    return _mean_iou(areas.right, areas.true, areas.taken)


def pixel_accuracy(areas: ClassAreas) -> Figures:
    """(...): the share of the labelled pixels that are right.

    Raises:
        ValueError: no pixel has a label.
    """
    labelled = areas.true.sum(-1)
    if not np.all(labelled):
        raise ValueError("no pixel has a label, so there is no accuracy")
    accuracy: Figures = areas.right.sum(-1) / labelled
    return accuracy


def resampled_mean_iou(areas: ClassAreas, draws: NDArray[np.intp]) -> Figures:
    """Mean IoU of sets drawn from the images.

    Args:
        areas: (images, classes), one row an image.
        draws: (sets, n), the images in each set, some of them more than once.
    Returns:
        (sets,), shares.
    Raises:
        ValueError: a set holds no labelled pixel.
    """
    images = len(areas.true)
    weights = np.zeros((len(draws), images))
    np.add.at(weights, (np.arange(len(draws))[:, None], draws), 1)
    # Sums of whole numbers far below 2^53: exact in floating point.
    return _mean_iou(weights @ areas.right, weights @ areas.true, weights @ areas.taken)


def bootstrap_difference(
    areas: ClassAreas,
    base: ClassAreas | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """Mean IoU less that of `base` on the same images, in percent, with its bootstrap interval.

    Both get the same draws of images, so what makes an image hard for both cancels. The interval
    (percentiles) tells how far the difference depends on which images are in the test set; not on
    the seed of the training.

    Args:
        areas, base: (images, classes), of the same images; without a base the figure itself.
        resamples: test sets that are drawn, each of as many images as there are.
        seed: of the draws.
        confidence: between 0 and 1, exclusive.
    Raises:
        ValueError: the images are not the same, judged by their labels; or a number out of range.
    """
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"got confidence {confidence}, resamples {resamples}")
    if base is not None and not np.array_equal(areas.true, base.true):
        raise ValueError("a paired difference needs the same images, in one order, on both sides")
    images = len(areas.true)
    whole = float(mean_iou(areas.total()))
    if base is not None:
        whole -= float(mean_iou(base.total()))
    random = np.random.default_rng(seed)
    found = []
    # In portions, so that the weights of thousands of images fit in memory.
    for portion in np.array_split(np.arange(resamples), -(-resamples // 1000)):
        draws = random.integers(0, images, (len(portion), images))
        figures = resampled_mean_iou(areas, draws)
        found.append(figures if base is None else figures - resampled_mean_iou(base, draws))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return Estimate(100 * whole, 100 * float(low), 100 * float(high), images, confidence)


def majority_floor(data: SegmentationData) -> dict[str, float]:
    """What a prediction that never looks at the image reaches, in percent.

    Every pixel gets the class that it most often had in training (the lowest of equals; where it
    never had one, the commonest class of all).

    Returns:
        "miou" and "pixel_accuracy" over the test images.
    Raises:
        ValueError: the images differ in size, or no training pixel has a label.
    """
    prediction = _majority(data)[None]
    parts = []
    for item in data.test:
        if item.labels.shape != prediction.shape[1:]:
            raise ValueError(_sizes_differ(data, item.labels.shape, prediction.shape[1:]))
        labels = torch.from_numpy(item.labels)[None]
        parts.append(class_areas(confusion(prediction, labels, data.num_classes)))
    areas = joined(parts).total()
    return {
        "miou": 100 * float(mean_iou(areas)),
        "pixel_accuracy": 100 * float(pixel_accuracy(areas)),
    }


def _majority(data: SegmentationData) -> Tensor:
    """(H, W): the commonest training label of each pixel."""
    counts = np.zeros((data.num_classes, *data.train[0].labels.shape), dtype=np.int32)
    flat = counts.reshape(data.num_classes, -1)
    for item in data.train:
        if item.labels.shape != counts.shape[1:]:
            raise ValueError(_sizes_differ(data, item.labels.shape, counts.shape[1:]))
        labels = item.labels.ravel()
        labelled = np.flatnonzero(labels != IGNORE)
        flat[labels[labelled], labelled] += 1  # each pixel once
    if not counts.any():
        raise ValueError(f"no training pixel of {data.name} has a label")
    commonest = counts.sum((1, 2), dtype=np.int64).argmax()
    majority = np.where(counts.any(0), counts.argmax(0), commonest)
    return torch.from_numpy(majority)


def _sizes_differ(data: SegmentationData, got: tuple[int, ...], first: tuple[int, ...]) -> str:
    return f"images of {data.name} differ in size, {got} and {first}: no class of a pixel is usual"


def _iou(
    right: NDArray[np.generic], true: NDArray[np.generic], taken: NDArray[np.generic]
) -> Figures:
    both = right.astype(np.float64)
    either = true.astype(np.float64) + taken.astype(np.float64) - both
    shares: Figures = np.full(both.shape, np.nan)
    np.divide(both, either, out=shares, where=either > 0)
    return shares


def _mean_iou(
    right: NDArray[np.generic], true: NDArray[np.generic], taken: NDArray[np.generic]
) -> Figures:
    shares = _iou(right, true, taken)
    present = np.isfinite(shares)
    if not present.any(-1).all():
        raise ValueError("no pixel has a label, so there is no mean IoU")
    mean: Figures = np.nansum(shares, -1) / present.sum(-1)
    return mean
