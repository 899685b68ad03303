"""Mask2Former over a ResNet or a Swin: masked attention, and masks matched to regions.

Masked-attention Mask Transformer for Universal Image Segmentation (arXiv 2112.01527).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from repro.models.segmentation.backbones import backbone_config, quietly, transformers
from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_classification import MaskClassifier

# Beside the library's defaults, which are the paper's: 100 queries, 6 + 9 layers, width 256.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "small": {
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 64,
        "dim_feedforward": 64,
        "encoder_layers": 1,
        "decoder_layers": 4,  # three, and the prediction before them
        "num_attention_heads": 4,
        "num_queries": 24,
        "train_num_points": 256,
    },
}

# Our names of the library's losses.
_LOSSES = {"class": "loss_cross_entropy", "mask": "loss_mask", "dice": "loss_dice"}


class Mask2Former(MaskClassifier):
    """The transformers library's Mask2Former with the interface of our segmenters.

    Args:
        backbone: a name of `repro.models.segmentation.backbones.BACKBONES`.
        num_classes: semantic classes.
        size: "full" or "small".
    Raises:
        UnknownNameError: no such backbone or size.
        ImportError: transformers is not installed.
    Source: Mask2Former (arXiv 2112.01527); matching and losses are the library's: class,
        mask and dice weigh 2, 5 and 5, and masks are compared at points drawn at random.
    """

    def __init__(self, backbone: str, num_classes: int, size: str = "full") -> None:
        super().__init__(num_classes)
        library = transformers()
        with quietly():
            config = library.Mask2FormerConfig(
                backbone_config=backbone_config(backbone, size),
                num_labels=num_classes,
                **SETTINGS[size],
            )
            self.network: Any = library.Mask2FormerForUniversalSegmentation(config)

    @property
    def backbone(self) -> nn.Module:
        found: nn.Module = self.network.model.pixel_level_module.encoder
        return found

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        out = self.network(pixel_values=images)
        # The last class says that a query has found nothing.
        return out.class_queries_logits.softmax(-1)[..., :-1], out.masks_queries_logits

    def region_losses(self, images: Tensor, targets: list[Regions]) -> dict[str, Tensor]:
        """ "class", "mask" and "dice", each summed over the layers."""
        out = self.network(pixel_values=images, output_auxiliary_logits=True)
        found = self.network.get_loss_dict(
            out.masks_queries_logits,
            out.class_queries_logits,
            [target.masks for target in targets],
            [target.labels for target in targets],
            out.auxiliary_logits,
        )
        return {
            ours: sum(
                (value for name, value in found.items() if name.startswith(theirs)),
                start=images.new_zeros(()),
            )
            for ours, theirs in _LOSSES.items()
        }
