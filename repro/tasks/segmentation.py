"""Semantic segmentation: a network of the tables on a dataset, with its loss and mean IoU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.data.batches import Batch, epoch_order
from repro.data.segmentation_crops import CropBatches, RandomCrops, WholeImages
from repro.data.segmentation_images import IGNORE, SegmentationData
from repro.tasks.segmentation_inference import Inference, image_areas
from repro.tasks.segmentation_metric import ClassAreas, mean_iou, pixel_accuracy
from repro.training.source import source_digest

MULTI_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Of the multi-scale figures on ADE20K (MMSegmentation); each also mirrored."""


class Builder(Protocol):
    """Makes an untrained segmenter; a plain function of a module.

    The segmenter maps (N, 3, H, W) to logits (N, num_classes, H, W). It learns by cross-entropy, or
    by its own `losses(images, labels)`, which gives named scalars and leaves out pixels labelled
    `IGNORE`.
    """

    __module__: str
    __qualname__: str

    def __call__(
        self, method: str, *, num_classes: int, size: str, **options: Any
    ) -> nn.Module: ...


class SegmentationTask:
    """Train one segmenter on one dataset; see `repro.tasks.task.Task`.

    Args:
        method: the segmenter, as `build` knows it.
        data: the dataset.
        size: "small" or "full", for `build`.
        build: makes the network.
        crop: how training images are cut; None takes windows of 256 x 256.
        inference: how test images are predicted; None takes one scale, not mirrored.
        options: further arguments of `build`.
    """

    metric = "miou"

    def __init__(
        self,
        method: str,
        data: SegmentationData,
        *,
        size: str,
        build: Builder,
        crop: RandomCrops | None = None,
        inference: Inference | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.data, self.size, self.build = method, data, size, build
        self.crop = crop or RandomCrops((256, 256))
        self.inference = inference or Inference()
        self.options = dict(options or {})

    def identity(self) -> dict[str, Any]:
        return {
            "method": self.name,
            "size": self.size,
            "options": self.options,
            "dataset": self.data.name,
            "data": self.data.fingerprint,
            "crop": asdict(self.crop),
            "inference": asdict(self.inference),
            "builder": f"{self.build.__module__}.{self.build.__qualname__}",
            # The loop hashes the code that this module imports; the builder is not among it.
            "builder_code": source_digest(self.build.__module__),
        }

    def build_model(self) -> nn.Module:
        """The network; one that has its own losses in a `WithLosses`."""
        network = self.build(
            self.name, num_classes=self.data.num_classes, size=self.size, **self.options
        )
        return WithLosses(network) if hasattr(network, "losses") else network

    def train_batches(self, batch_size: int, seed: int, epoch: int) -> CropBatches:
        order = epoch_order(len(self.data.train), batch_size, seed, epoch)
        return CropBatches(self.data.train, order, batch_size, self.crop, ("crop", seed, epoch))

    def test_batches(self, batch_size: int) -> WholeImages:
        return WholeImages(self.data.test, batch_size)

    def images_in(self, batch: Batch) -> int:
        return len(batch[0])

    def losses(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        images, labels = batch
        if getattr(model, "gives_losses", False):  # made by build_model
            parts: Mapping[str, Tensor] = model(images, labels)
            return parts
        return {"loss": cross_entropy(model(images), labels)}

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean IoU and pixel accuracy over all images, in percent."""
        areas = self.areas(model, batches).total()
        return {
            "miou": 100 * float(mean_iou(areas)),
            "pixel_accuracy": 100 * float(pixel_accuracy(areas)),
        }

    def areas(
        self, model: nn.Module, batches: Iterable[Batch], inference: Inference | None = None
    ) -> ClassAreas:
        """What the figures, and intervals over images, follow from: (images, classes).

        Args:
            model: in evaluation mode.
            batches: those of `test_batches`, on any device.
            inference: how they are predicted, at several scales for instance; None takes the
                task's.
        """
        return image_areas(model, batches, self.data.num_classes, inference or self.inference)


class WithLosses(nn.Module):
    """Makes a network's `losses` part of its forward pass, which alone runs in mixed precision.

    Shape:
        images (N, 3, H, W) to logits; with labels (N, H, W) to a mapping of named losses.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.gives_losses = True

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Any:
        if labels is None:
            return self.network(images)
        losses: Any = self.network.losses
        return losses(images, labels)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the labelled pixels; zero, with zero gradients, where there is none.

    Args:
        logits: (N, classes, H, W).
        labels: (N, H, W), `IGNORE` where there is no label.
    Raises:
        ValueError: the sizes differ.
    """
    if logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise ValueError(
            f"logits must be (N, classes, H, W) for labels {tuple(labels.shape)}, got "
            f"{tuple(logits.shape)}"
        )
    # As a list of pixels: PyTorch's sum over images of pixels does not repeat exactly on a GPU.
    pixels = logits.movedim(1, -1).flatten(0, -2)  # (N * H * W, classes)
    total = F.cross_entropy(pixels, labels.flatten(), ignore_index=IGNORE, reduction="sum")
    count = torch.count_nonzero(labels != IGNORE)
    return total / count.clamp_min(1)
