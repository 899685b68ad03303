"""Detection and instance segmentation: a detector on a dataset, with the losses it brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from repro.data.augment import generator
from repro.data.batches import epoch_order, require_positive
from repro.data.detection import DetectionData, DetectionImage, DetectionImages
from repro.data.loaded import LoadedBatches
from repro.tasks.detection_metric import AveragePrecision, require_evaluator
from repro.training.source import source_digest

Target = dict[str, Tensor]
Batch = tuple[list[Tensor], list[Target]]
"""As torchvision's detectors take them: images (3, H, W) float32 in 0..1, sizes may differ; targets
with boxes (n, 4), labels (n,), image_id (), area (n,), iscrowd (n,), and masks (n, H, W) uint8."""


Batches = LoadedBatches[tuple[Tensor, Target], Batch]


class DetectionTask:
    """Train one detector on one dataset; see `repro.tasks.task.Task`.

    Args:
        method: names the detector.
        data: the dataset.
        size: "small" or "full".
        build: a function that makes the untrained detector, as
            `repro.models.detection.build_detector` does: called with the method, num_classes
            (without the background), size and `options`; its code is part of the run's identity. In
            training mode the detector takes images and targets and returns named losses; otherwise
            it takes images and returns boxes, labels, scores and perhaps masks of each.
        options: more arguments of `build`, plain values; they belong to the run's identity.
        workers: processes that decode images; 0 decodes in this one.
        masks: train and evaluate masks; None does where the dataset has them.
    Raises:
        ValueError: masks of a dataset that has none.
        ImportError: a package that evaluation needs is missing: every run ends with one.
    """

    metric = "ap"

    def __init__(
        self,
        method: str,
        data: DetectionData,
        *,
        size: str,
        build: Callable[..., nn.Module],
        options: Mapping[str, Any] | None = None,
        workers: int = 0,
        masks: bool | None = None,
    ) -> None:
        require_evaluator()
        self.name, self.data, self.size, self.build = method, data, size, build
        self.options, self.workers = dict(options or {}), workers
        self.masks = data.has_masks if masks is None else masks
        if self.masks and not data.has_masks:
            raise ValueError(f"{data.name} has no masks")

    def identity(self) -> dict[str, Any]:
        return {
            "method": self.name,
            "size": self.size,
            "options": self.options,
            "dataset": self.data.name,
            "masks": self.masks,
            "augmentation": "mirror",
            "data": self.data.fingerprint,
            # The loop knows the code of this module; the detector comes from elsewhere.
            "detector": source_digest(self.build.__module__),
        }

    def build_model(self) -> nn.Module:
        classes = self.data.num_classes
        return self.build(self.name, num_classes=classes, size=self.size, **self.options)

    def train_batches(self, batch_size: int, seed: int, epoch: int) -> Batches:
        """Whole batches in a random order, half of the images mirrored, crowds left out."""
        order = epoch_order(len(self.data.train), batch_size, seed, epoch)
        key = ("mirror", batch_size, seed, epoch)
        items = _Items(self.data.train, order, self.masks, key)
        return LoadedBatches(items, batch_size, self.workers, _listed)

    def test_batches(self, batch_size: int) -> Batches:
        require_positive(batch_size)
        order = torch.arange(len(self.data.test))
        items = _Items(self.data.test, order, self.masks, None)
        return LoadedBatches(items, batch_size, self.workers, _listed)

    def images_in(self, batch: Batch) -> int:
        return len(batch[0])

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        images, targets = batch
        losses: dict[str, Tensor] = model(images, targets)
        return losses

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Average precision in percent; see `AveragePrecision.compute`."""
        return self.measure(model, batches).compute()

    def measure(self, model: nn.Module, batches: Iterable[Batch]) -> AveragePrecision:
        """What `evaluate` summarises, for curves and for intervals over images."""
        metric = AveragePrecision(masks=self.masks, area_unit=self.data.area_unit)
        with torch.no_grad():
            for images, targets in batches:
                metric.update(model(images), targets)
        return metric


@dataclass(frozen=True)
class _Items:
    """The images of one epoch by their place in it; `key` is None for testing."""

    images: DetectionImages
    order: Tensor
    masks: bool
    key: tuple[object, ...] | None

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> tuple[Tensor, Target]:
        index = int(self.order[place])
        image, target = as_tensors(self.images[index], index, masks=self.masks)
        if self.key is None:
            return image, target
        alone = ~target["iscrowd"].bool()
        target = {k: v[alone] if v.dim() else v for k, v in target.items()}
        if torch.rand(1, generator=generator(*self.key, place)) < 0.5:
            return mirrored(image, target)
        return image, target


def as_tensors(found: DetectionImage, index: int, *, masks: bool) -> tuple[Tensor, Target]:
    """One image as a detector takes it, and its target, crowds included."""
    target = {
        "boxes": torch.tensor(found.boxes),
        "labels": torch.tensor(found.labels),
        "area": torch.tensor(found.areas),
        "iscrowd": torch.tensor(found.crowd, dtype=torch.int64),
        "image_id": torch.tensor(index),
    }
    if masks:
        if found.masks is None:
            raise ValueError(f"{found.name} has no masks")
        target["masks"] = torch.tensor(found.masks, dtype=torch.uint8)
    return torch.tensor(found.image).permute(2, 0, 1).float() / 255, target


def mirrored(image: Tensor, target: Target) -> tuple[Tensor, Target]:
    """Image and target, left and right exchanged."""
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    width = image.shape[-1]
    changed = {"boxes": torch.stack([width - x2, y1, width - x1, y2], 1)}
    if "masks" in target:
        changed["masks"] = target["masks"].flip(-1)
    return image.flip(-1), {**target, **changed}


def _listed(items: Sequence[tuple[Tensor, Target]]) -> Batch:
    return [image for image, _ in items], [target for _, target in items]
