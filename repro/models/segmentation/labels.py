"""Images and label maps on their way into a segmenter: checks, padding, regions of one class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = 255


@dataclass(frozen=True)
class Regions:
    """What mask classification learns of one image: a region for each class in it.

    Attributes:
        labels: (K,) the classes, int64.
        masks: (K, H, W) where each is, 0 or 1 in floating point.
        boxes: (K, 4) around each mask: centre x, y, width, height, as shares of the image.
    """

    labels: Tensor
    masks: Tensor
    boxes: Tensor


def check_images(images: Tensor) -> None:
    """Raise ValueError or TypeError unless images are floating point (N, 3, H, W), N, H, W > 0."""
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"images must be (N, 3, H, W), none of them 0, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point, got {images.dtype}")


def check_labels(labels: Tensor, images: Tensor, num_classes: int) -> None:
    """Raise ValueError or TypeError unless labels are class numbers, or 255, of each image's pixel.

    Args:
        labels: (N, H, W), int64.
        images: (N, 3, H, W).
    """
    expected = (images.shape[0], *images.shape[2:])
    if labels.shape != expected:
        raise ValueError(
            f"labels must be {tuple(expected)} for images {tuple(images.shape)}, "
            f"got {tuple(labels.shape)}"
        )
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must be int64, got {labels.dtype}")
    wrong = labels[((labels < 0) | (labels >= num_classes)) & (labels != IGNORE)]
    if wrong.numel() > 0:
        values = torch.unique(wrong)[:5].tolist()
        raise ValueError(
            f"labels must be 0 to {num_classes - 1}, or {IGNORE} to ignore; "
            f"{wrong.numel()} pixels have others: {', '.join(map(str, values))}"
        )


def padded(maps: Tensor, multiple: int, value: float) -> Tensor:
    """Extend (..., H, W) at the right and at the bottom to multiples of `multiple`, two at least.

    One would leave a single cell in the coarsest feature map, which norms have no use for.
    """
    missing = [max(-size % multiple, 2 * multiple - size) for size in maps.shape[-2:]]
    return F.pad(maps, (0, missing[1], 0, missing[0]), value=value)


def regions(labels: Tensor, dtype: torch.dtype = torch.float32) -> list[Regions]:
    """The regions of every image; an image whose pixels are all ignored has none.

    Args:
        labels: (N, H, W), 255 where a pixel is ignored: it belongs to no region, and so counts as
            outside of every mask, as in the authors' Mask2Former.
        dtype: of masks and boxes.
    """
    found = []
    for image in labels:
        classes = torch.unique(image)
        classes = classes[classes != IGNORE]
        masks = image == classes[:, None, None]
        found.append(Regions(classes, masks.to(dtype), boxes_of_masks(masks).to(dtype)))
    return found


def boxes_of_masks(masks: Tensor) -> Tensor:
    """Boxes around masks (..., H, W), bool: (..., 4), centre x, y, width, height, float32.

    As shares of the image, so that the box of a mask that is True everywhere is (1/2, 1/2, 1, 1).
    An empty mask gets a box of no size at 0.
    """
    x_low, x_high = _extent(masks.any(-2))
    y_low, y_high = _extent(masks.any(-1))
    centres = torch.stack([x_low + x_high, y_low + y_high], -1) / 2
    sizes = torch.stack([x_high - x_low, y_high - y_low], -1)
    return torch.cat([centres, sizes], -1)


def _extent(hit: Tensor) -> tuple[Tensor, Tensor]:
    """Where True begins and where it ends along the last axis, as shares of its length."""
    size = hit.shape[-1]
    positions = torch.arange(size, device=hit.device)
    first = torch.where(hit, positions, size).amin(-1)
    end = torch.where(hit, positions + 1, 0).amax(-1)
    first = torch.where(hit.any(-1), first, 0)
    return first.float() / size, end.float() / size
