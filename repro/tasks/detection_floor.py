"""What detectors without a network reach: a result means little until it clears these.

All are computed without chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.data.detection import DetectionData, Objects
from repro.data.detection_images import Pixels
from repro.tasks.detection import as_tensors
from repro.tasks.detection_metric import AveragePrecision

DETECTIONS = 100
"""As many as COCO's metric counts in an image."""

Prediction = dict[str, Tensor]
Detector = Callable[[Pixels], Prediction]


def measure(data: DetectionData, *, masks: bool | None = None) -> dict[str, dict[str, float]]:
    """Average precision, percent, of each trivial detector on the test images.

    Args:
        masks: evaluate masks too; None does where the dataset has them.
    Returns:
        By name, what `AveragePrecision.compute` gives:
        `whole_image`: around everything, one box for each class, the most frequent class first;
        `grid`: boxes of the mean size of the most frequent class, side by side, the 100 next to the
        middle of the image, whatever it shows;
        `regions`: of the most frequent class too, the connected regions on the smaller side of
        Otsu's threshold, those of a usual area first. It sees the image, so it is no trivial
        floor where objects differ from the background in brightness.
    Raises:
        ValueError: the training images have no object.
    """
    masks = data.has_masks if masks is None else masks
    detectors = _detectors(data)
    metrics = {name: AveragePrecision(masks=masks, area_unit=data.area_unit) for name in detectors}
    for index, found in enumerate(data.test):
        _, target = as_tensors(found, index, masks=masks)
        for name, detect in detectors.items():
            metrics[name].update([detect(found.image)], [target])
    return {name: metric.compute() for name, metric in metrics.items()}


def _detectors(data: DetectionData) -> Mapping[str, Detector]:
    objects = [data.train.objects(index) for index in range(len(data.train))]
    labels, sizes, areas = _without_crowds(objects)
    if len(labels) == 0:
        raise ValueError(f"the training images of {data.name} have no object")
    counts = np.bincount(labels, minlength=data.num_classes + 1)[1:]
    ranked = torch.tensor(np.argsort(-counts, kind="stable") + 1)
    most_frequent = int(ranked[0])
    mine = labels == most_frequent
    width, height = sizes[mine].mean(axis=0).tolist()
    area = float(areas[mine].mean())

    def whole_image(image: Pixels) -> Prediction:
        box = torch.tensor([[0.0, 0.0, image.shape[1], image.shape[0]]])
        chosen = ranked[:DETECTIONS]
        return _filled(box.expand(len(chosen), 4), chosen, image)

    def grid(image: Pixels) -> Prediction:
        boxes = _grid(image.shape[0], image.shape[1], height, width)
        return _filled(boxes, torch.full((len(boxes),), most_frequent), image)

    return {
        "whole_image": whole_image,
        "grid": grid,
        "regions": lambda image: _regions(image, most_frequent, area),
    }


def _without_crowds(
    parts: list[Objects],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Labels (n,), widths and heights (n, 2) and areas (n,) of all objects but the crowds."""
    alone = ~np.concatenate([part.crowd for part in parts])
    labels = np.concatenate([part.labels for part in parts])[alone]
    boxes = np.concatenate([part.boxes for part in parts])[alone]
    areas = np.concatenate([part.areas for part in parts])[alone]
    return labels, boxes[:, 2:] - boxes[:, :2], areas


def _grid(image_height: int, image_width: int, height: float, width: float) -> Tensor:
    """Boxes of one size side by side, (n, 4), n at most 100, from the middle of the image on."""
    rows, columns = math.ceil(image_height / height), math.ceil(image_width / width)
    y = (torch.arange(rows) + 0.5) * image_height / rows
    x = (torch.arange(columns) + 0.5) * image_width / columns
    middles = torch.cartesian_prod(x, y)  # (n, 2)
    from_centre = (middles - torch.tensor([image_width / 2, image_height / 2])).norm(dim=1)
    nearest = middles[from_centre.argsort(stable=True)[:DETECTIONS]]
    half = torch.tensor([width, height]) / 2
    limits = torch.tensor([image_width, image_height] * 2, dtype=torch.float32)
    return torch.cat([nearest - half, nearest + half], 1).clamp(torch.zeros(4), limits)


def _filled(boxes: Tensor, labels: Tensor, image: Pixels) -> Prediction:
    """Boxes, best first, with themselves for masks."""
    x1, y1, x2, y2 = boxes.round()[:, :, None, None].unbind(1)  # (n, 1, 1) each
    y, x = torch.arange(image.shape[0])[:, None], torch.arange(image.shape[1])
    masks = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)  # (n, H, W)
    return {"boxes": boxes, "labels": labels, "scores": _falling(len(boxes)), "masks": masks}


def _regions(image: Pixels, label: int, area: float) -> Prediction:
    """Connected regions that Otsu's threshold sets off, those of nearly that area first."""
    from scipy import ndimage  # both are slow to import
    from skimage.filters import threshold_otsu

    grey = image.mean(axis=2)
    above = grey > threshold_otsu(grey) if grey.max() > grey.min() else np.zeros(grey.shape, bool)
    numbers, count = ndimage.label(above if above.mean() <= 0.5 else ~above)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    likely = np.argsort(np.abs(np.log(sizes / area)), kind="stable")[:DETECTIONS]
    masks = torch.tensor(numbers == likely[:, None, None] + 1)
    return {
        "boxes": _around(ndimage.find_objects(numbers), likely),
        "labels": torch.full((len(likely),), label),
        "scores": _falling(len(likely)),
        "masks": masks,
    }


def _around(slices: list[tuple[slice, slice]], chosen: NDArray[np.int64]) -> Tensor:
    boxes = [
        (columns.start, rows.start, columns.stop, rows.stop)
        for rows, columns in (slices[place] for place in chosen)
    ]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def _falling(count: int) -> Tensor:
    return torch.linspace(1, 0.5, count)
