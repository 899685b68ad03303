"""MaskDINO put together: backbone, pixel decoder, query selection, decoder, losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from repro.models.segmentation.backbones import backbone_config, quietly, transformers
from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_classification import MaskClassifier
from repro.models.segmentation.mask_dino.decoder import Decoder
from repro.models.segmentation.mask_dino.denoising import Noised, attention_mask, noised
from repro.models.segmentation.mask_dino.heads import Heads, Predictions
from repro.models.segmentation.mask_dino.losses import layer_losses
from repro.models.segmentation.mask_dino.matching import WEIGHTS, Match, matched
from repro.models.segmentation.mask_dino.pixel_decoder import PixelDecoder
from repro.models.segmentation.mask_dino.selection import QuerySelection, Selected
from repro.models.segmentation.mask_dino.settings import SETTINGS, Settings


class MaskDINO(MaskClassifier):
    """DINO with a mask branch: queries with boxes, selected, denoised and matched with masks.

    Args:
        backbone: a name of `repro.models.segmentation.backbones.BACKBONES`.
        num_classes: semantic classes.
        size: "full" or "small".
        settings: sizes of everything behind the backbone; None for those of `size`.
    Raises:
        UnknownNameError: no such backbone or size.
        ImportError: transformers is not installed.
        ValueError: in use, images that give fewer tokens than there are queries.
    Source: MaskDINO (arXiv 2206.02777); see the package for what is where.
    Deviates: from the authors' configuration for semantic segmentation (published for ResNet-50),
        which learns its queries instead of selecting them and classifies with cross-entropy. This
        is the paper's method: selected queries, focal loss. All classes have boxes ("decoupled box
        prediction" leaves those of stuff out; labels do not tell stuff from things).
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        size: str = "full",
        settings: Settings | None = None,
    ) -> None:
        super().__init__(num_classes)
        config = backbone_config(backbone, size)
        self.settings = settings = settings or SETTINGS[size]
        with quietly():
            self.features: Any = transformers().AutoBackbone.from_config(config)
        self.pixel_decoder = PixelDecoder(self.features.channels, settings)
        self.heads = Heads(settings.width, num_classes)
        self.selection = QuerySelection(settings.width, settings.queries)
        self.decoder = Decoder(settings)
        self.label_embedding = nn.Embedding(num_classes, settings.width)

    @property
    def backbone(self) -> nn.Module:
        found: nn.Module = self.features
        return found

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.pixel_decoder(self.features(images).feature_maps)
        selected = self.selection(encoded, self.heads)
        last = self.decoder(
            selected.content, selected.anchors, encoded, self.heads, only_last=True
        )[-1]
        return last.class_logits.sigmoid(), last.masks

    def region_losses(self, images: Tensor, targets: list[Regions]) -> dict[str, Tensor]:
        """ "class", "mask", "dice", "box" and "giou", summed over the layers; the same, named
        "denoising_...", of the noised queries."""
        encoded = self.pixel_decoder(self.features(images).feature_maps)
        selected = self.selection(encoded, self.heads)
        noise = noised(
            targets,
            queries=self.settings.denoising_queries,
            noise=self.settings.noise,
            num_classes=self.num_classes,
        )
        content, boxes, hidden = self._decoder_input(selected, noise)
        layers = self.decoder(content, boxes, encoded, self.heads, hidden=hidden)
        count = 0 if noise is None else noise.count
        selected_parts = [selected.predictions, *(layer.part(count, None) for layer in layers)]
        regions = max(sum(len(target.labels) for target in targets), 1)
        losses = self._summed(
            [(part, self._matched(part, targets)) for part in selected_parts], targets, regions
        )
        if noise is None:  # the same names for every batch, and a gradient for the embedding
            zero = 0 * self.label_embedding.weight.sum()
            noised_losses = dict.fromkeys(WEIGHTS, zero)
        else:
            noised_parts = [(layer.part(0, count), noise.matches) for layer in layers]
            noised_losses = self._summed(noised_parts, targets, regions * noise.groups)
        return losses | {f"denoising_{name}": value for name, value in noised_losses.items()}

    def _decoder_input(
        self, selected: Selected, noise: Noised | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        if noise is None:
            return selected.content, selected.anchors, None
        content = self.label_embedding(noise.labels) * noise.is_used[..., None]
        hidden = attention_mask(noise.groups, noise.group_size, self.settings.queries)
        return (
            torch.cat([content, selected.content], 1),
            torch.cat([noise.boxes.to(content.dtype), selected.anchors], 1),
            hidden.to(content.device),
        )

    def _matched(self, predictions: Predictions, targets: Sequence[Regions]) -> list[Match]:
        return matched(predictions, targets, self.settings.mask_points)

    def _summed(
        self,
        parts: Sequence[tuple[Predictions, Sequence[Match]]],
        targets: Sequence[Regions],
        normaliser: float,
    ) -> dict[str, Tensor]:
        """Losses of each part, summed over the parts."""
        found = [
            layer_losses(
                predictions,
                targets,
                matches,
                points=self.settings.mask_points,
                normaliser=normaliser,
            )
            for predictions, matches in parts
        ]
        return {name: torch.stack([losses[name] for losses in found]).sum() for name in WEIGHTS}
