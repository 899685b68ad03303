"""Predicting the class of every pixel, at one scale or averaged over several, mirrored or not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.data.batches import Batch
from repro.tasks.segmentation_metric import ClassAreas, class_areas, confusion, joined


@dataclass(frozen=True)
class Inference:
    """How a network is applied to whole images.

    At factor 1 the image keeps its pixels: zeros (the mean colour) fill it up, on the right and at
    the bottom, to multiples of `stride`, and what the network says of them is cut off. At any other
    factor the image is resampled anyway, so straight to the nearest multiples of `stride`; the
    aspect changes by that much. Logits are brought back to the image's size, bilinear, turned into
    probabilities, and averaged over factors and mirrorings.

    Attributes:
        scales: factors of the image's size.
        flip: whether each is also predicted mirrored.
        stride: what the sides that the network sees are multiples of.
        short_side: the shorter side at factor 1; None takes the image as it is.
    Raises:
        ValueError: a number out of range.
    Source: MMSegmentation's test-time augmentation (`aug_test`).
    Deviates: it rounds scaled sizes to whole pixels, not to multiples, and leaves the rest to the
        network; shrinking averages pixels here.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    stride: int = 32
    short_side: int | None = None

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"scales must be positive, at least one, got {self.scales}")
        if self.stride < 1 or (self.short_side is not None and self.short_side < 1):
            raise ValueError(
                f"stride and short_side must be at least 1, got {self.stride}, {self.short_side}"
            )

    def probabilities(self, model: nn.Module, images: Tensor) -> Tensor:
        """The mean probability of each class at each pixel.

        Args:
            model: in evaluation mode; (N, 3, h, w) to logits (N, classes, h, w).
            images: (N, 3, H, W), normalised, on the model's device.
        Returns:
            (N, classes, H, W) float32.
        Raises:
            ValueError: the model's output has not the size of its input.
        """
        size = (images.shape[-2], images.shape[-1])
        total = images.new_zeros((), dtype=torch.float32)
        for scale in self.scales:
            for mirrored in (False, True)[: 1 + self.flip]:
                seen, kept = self._seen(images.flip(-1) if mirrored else images, scale)
                logits = _logits(model, seen)[..., : kept[0], : kept[1]]
                if kept != size:
                    logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
                found = logits.softmax(1)
                total = total + (found.flip(-1) if mirrored else found)
        return total / (len(self.scales) * (1 + self.flip))

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width that the network sees, at each scale, of an image of that size."""
        return [self._size(height, width, scale)[0] for scale in self.scales]

    def _size(self, height: int, width: int, scale: float) -> tuple[tuple[int, int], bool]:
        """What the network sees at one scale, and whether it is resampled to that."""
        factor = scale
        if self.short_side is not None:
            factor *= self.short_side / min(height, width)
        if factor == 1:
            rows, columns = -(-height // self.stride), -(-width // self.stride)
        else:
            rows = max(1, round(factor * height / self.stride))
            columns = max(1, round(factor * width / self.stride))
        return (rows * self.stride, columns * self.stride), factor != 1

    def _seen(self, images: Tensor, scale: float) -> tuple[Tensor, tuple[int, int]]:
        """The images at one scale, and height and width of what is not filling."""
        height, width = images.shape[-2:]
        size, resampled = self._size(height, width, scale)
        if not resampled:
            filling = (0, size[1] - width, 0, size[0] - height)
            return F.pad(images, filling), (height, width)
        resized = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        return resized, size


def image_areas(
    model: nn.Module, batches: Iterable[Batch], num_classes: int, inference: Inference
) -> ClassAreas:
    """Predict all images and count, image by image.

    Args:
        model: in evaluation mode, on any device.
        batches: (N, 3, H, W) normalised and (N, H, W), on any device.
        num_classes: of the labels.
    Returns:
        (images, num_classes), in the order of the batches.
    Raises:
        ValueError: there is no image; or as `Inference.probabilities` and `confusion`.
    """
    device = next(model.parameters()).device
    parts = []
    with torch.no_grad():
        for x, y in batches:
            predicted = inference.probabilities(model, x.to(device)).argmax(1)
            parts.append(class_areas(confusion(predicted, y.to(device), num_classes)))
    if not parts:
        raise ValueError("there is no image to evaluate")
    return joined(parts)


def _logits(model: nn.Module, seen: Tensor) -> Tensor:
    logits: Tensor = model(seen)
    if logits.shape[-2:] != seen.shape[-2:]:
        raise ValueError(
            f"a segmenter's output must have the size of its input, {tuple(seen.shape[-2:])}, got "
            f"{tuple(logits.shape[-2:])}"
        )
    return logits.float()
