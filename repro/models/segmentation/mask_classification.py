"""What Mask2Former and MaskDINO share: padding, regions as targets, semantic inference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.segmentation.labels import (
    IGNORE,
    Regions,
    check_images,
    check_labels,
    padded,
    regions,
)

# Sides are padded to this multiple, the largest stride of the feature maps.
STRIDE = 32


class MaskClassifier(nn.Module):
    """A network that predicts a set of masks, and for each its class.

    Args:
        num_classes: semantic classes.
    Shape:
        Images (N, 3, H, W) to logits (N, num_classes, H, W); any H and W: images are padded with
        zeros at the right and at the bottom to multiples of 32, 64 at least, and the result is
        cropped.
    Raises:
        ValueError, TypeError: images of another shape or type.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    @property
    def backbone(self) -> nn.Module:
        """The part that makes the feature maps."""
        raise NotImplementedError

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities (N, Q, num_classes) and mask logits (N, Q, h, w) of the queries."""
        raise NotImplementedError

    def region_losses(self, images: Tensor, targets: list[Regions]) -> dict[str, Tensor]:
        """Named losses of padded images and their regions."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        check_images(images)
        height, width = images.shape[2:]
        images = padded(images, STRIDE, 0)
        probabilities, masks = self.predict(images)
        masks = F.interpolate(masks, size=images.shape[2:], mode="bilinear", align_corners=False)
        return semantic_logits(probabilities, masks[..., :height, :width])

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses that train the network, by name; their sum is to be minimised.

        Args:
            images: (N, 3, H, W).
            labels: (N, H, W), int64: classes, 255 where a pixel is ignored.
        Raises:
            ValueError, TypeError: images or labels of another shape or type, classes out of range.
        """
        check_images(images)
        check_labels(labels, images, self.num_classes)
        targets = regions(padded(labels, STRIDE, IGNORE), images.dtype)
        return self.region_losses(padded(images, STRIDE, 0), targets)


def semantic_logits(probabilities: Tensor, masks: Tensor) -> Tensor:
    """What the queries say about each pixel: log of the sum of class times mask probability.

    The sums are scaled to one over the classes, so that a softmax of the result gives them back:
    averages over scales and flips are then averages of probabilities, as for UPerNet.

    Args:
        probabilities: (N, Q, C), of the classes of each query.
        masks: (N, Q, H, W), logits.
    Returns:
        (N, C, H, W), float32.
    Source: MaskFormer (arXiv 2107.06278), semantic inference; the log and the scale are ours and
        leave the best class what it is.
    """
    device = "cpu" if masks.is_meta else masks.device.type  # autocast knows no meta device
    with torch.autocast(device, enabled=False):  # half precision would tie classes
        scores = torch.einsum("nqc,nqhw->nchw", probabilities.float(), masks.float().sigmoid())
        scores = scores.clamp_min(torch.finfo(scores.dtype).tiny)
        return scores.log() - scores.sum(1, keepdim=True).log()
