"""Sizes of a MaskDINO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What tells one MaskDINO from another.

    Attributes:
        width: channels of tokens, queries and pixel embeddings.
        heads, points: of deformable attention, points per head and level.
        first_stage: first stage of the backbone that the encoder sees, 0 for stride 4.
        levels: feature maps of the encoder; those behind the backbone's last are made from it.
        encoder_layers, encoder_hidden: of the pixel decoder's encoder.
        decoder_layers, decoder_hidden: of the transformer decoder.
        queries: selected in each image.
        denoising_queries: at most so many noised regions are added in training.
        noise: how far boxes are moved, as a share of their size; labels are redrawn half as often.
        mask_points: at which masks are compared, in matching and in losses.
    """

    width: int = 256
    heads: int = 8
    points: int = 4
    first_stage: int = 1
    levels: int = 3
    encoder_layers: int = 6
    encoder_hidden: int = 1024
    decoder_layers: int = 9
    decoder_hidden: int = 2048
    queries: int = 100
    denoising_queries: int = 100
    noise: float = 0.4
    mask_points: int = 12544


SETTINGS: Mapping[str, Settings] = {
    # The authors' for semantic segmentation: 100 queries, hidden size 1024, three levels. Theirs
    # are published for ResNet-50; of Swin-L only those of instance segmentation are.
    "full": Settings(),
    "small": Settings(
        width=32,
        heads=4,
        points=2,
        encoder_layers=1,
        encoder_hidden=64,
        decoder_layers=2,
        decoder_hidden=64,
        queries=24,
        denoising_queries=16,
        mask_points=256,
    ),
}

# The authors' Swin-L for instance segmentation on COCO (80 classes): printed with 223 M parameters.
COCO_INSTANCES = Settings(first_stage=0, levels=5, encoder_hidden=2048, queries=300)
