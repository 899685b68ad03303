"""UPerNet over a ResNet: pyramid pooling, a feature pyramid, and an auxiliary FCN head.

Unified Perceptual Parsing for Scene Understanding (arXiv 1807.10221).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.segmentation.backbones import backbone_config, quietly, transformers
from repro.models.segmentation.labels import IGNORE, check_images, check_labels

# Widths of the heads; "full" is MMSegmentation's.
HEADS = {
    "full": {"hidden_size": 512, "auxiliary_channels": 256},
    "small": {"hidden_size": 32, "auxiliary_channels": 16},
}
AUXILIARY_WEIGHT = 0.4


class UPerNet(nn.Module):
    """The transformers library's UPerNet with the interface of our segmenters.

    Args:
        backbone: a name of `repro.models.segmentation.backbones.BACKBONES`.
        num_classes: semantic classes.
        size: "full" or "small".
    Shape:
        Images (N, 3, H, W) to logits (N, num_classes, H, W). Any H and W: maps of unequal rounding
        are resized to each other. In training N must be at least 2 (batch norm of a 1 x 1 map).
    Raises:
        ValueError, TypeError: images of another shape or type.
        UnknownNameError: no such backbone or size.
        ImportError: transformers is not installed.
    Source: UPerNet (arXiv 1807.10221) as MMSegmentation has it, which is where the baseline of
        FDConv's Table 2 comes from: auxiliary FCN head on stride 16, its loss times 0.4.
    Deviates: from MMSegmentation, whose ResNets have a stem of three 3x3 convolutions (19 k more
        parameters), whose heads have dropout of 0.1, and whose losses are means over all pixels,
        ignored ones included.
    """

    def __init__(self, backbone: str, num_classes: int, size: str = "full") -> None:
        super().__init__()
        self.num_classes = num_classes
        library = transformers()
        config = library.UperNetConfig(
            backbone_config=backbone_config(backbone, size), num_labels=num_classes, **HEADS[size]
        )
        with quietly():
            self.network: Any = library.UperNetForSemanticSegmentation(config)

    @property
    def backbone(self) -> nn.Module:
        """The part that makes the feature maps."""
        found: nn.Module = self.network.backbone
        return found

    def forward(self, images: Tensor) -> Tensor:
        check_images(images)
        maps = self.network.backbone(images).feature_maps
        return self._resized(self.network.decode_head(maps), images)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of both heads, means over the pixels that are not ignored.

        Args:
            images: (N, 3, H, W).
            labels: (N, H, W), int64: classes, 255 where a pixel is ignored.
        Returns:
            "cross_entropy" and "auxiliary", which is weighted; both are 0 where no pixel counts.
        Raises:
            ValueError, TypeError: images or labels of another shape or type, classes out of range.
        """
        check_images(images)
        check_labels(labels, images, self.num_classes)
        maps = self.network.backbone(images).feature_maps
        heads = {
            "cross_entropy": self.network.decode_head,
            "auxiliary": self.network.auxiliary_head,
        }
        found = {
            name: mean_cross_entropy(self._resized(head(maps), images), labels)
            for name, head in heads.items()
        }
        return {**found, "auxiliary": AUXILIARY_WEIGHT * found["auxiliary"]}

    def _resized(self, logits: Tensor, images: Tensor) -> Tensor:
        return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the pixels that are not ignored; 0, not NaN, where there are none."""
    counted = (labels != IGNORE).sum().clamp_min(1)
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / counted
