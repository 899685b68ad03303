"""Layers of the transformers library's Deformable DETR, and the positions that they are told."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from repro.models.segmentation.backbones import transformers
from repro.models.segmentation.mask_dino.settings import Settings

Shape = tuple[int, int]

_MODULE = "transformers.models.deformable_detr.modeling_deformable_detr"
# Started by the library in a way of their own, so that the first points lie around the reference.
_OWN_START = ("sampling_offsets", "attention_weights")


def deformable_layers(kind: str, settings: Settings) -> nn.ModuleList:
    """The layers of an encoder or of a decoder, with deformable attention over all levels.

    Args:
        kind: "Encoder" or "Decoder".
    Raises:
        ImportError: transformers is not installed.
    """
    config = transformers().DeformableDetrConfig(
        d_model=settings.width,
        encoder_layers=settings.encoder_layers,
        encoder_ffn_dim=settings.encoder_hidden,
        encoder_attention_heads=settings.heads,
        encoder_n_points=settings.points,
        decoder_layers=settings.decoder_layers,
        decoder_ffn_dim=settings.decoder_hidden,
        decoder_attention_heads=settings.heads,
        decoder_n_points=settings.points,
        num_feature_levels=settings.levels,
        dropout=0.0,
    )
    layers: nn.ModuleList = getattr(transformers(_MODULE), f"DeformableDetr{kind}")(config).layers
    for name, module in layers.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith(_OWN_START):
            nn.init.xavier_uniform_(module.weight)
    return layers


def level_arguments(shapes: Sequence[Shape], device: torch.device) -> dict[str, Any]:
    """The arguments by which a layer finds the levels in a row of tokens."""
    spatial_shapes = torch.tensor(shapes, device=device)
    starts = [0]
    for height, width in shapes[:-1]:
        starts.append(starts[-1] + height * width)
    return {
        "spatial_shapes": spatial_shapes,
        "spatial_shapes_list": list(shapes),
        "level_start_index": torch.tensor(starts, device=device),
    }


def cell_centres(shapes: Sequence[Shape], like: Tensor) -> Tensor:
    """Centres of the cells of all levels, one after the other: (S, 2), x and y as shares."""
    centres = []
    for height, width in shapes:
        y = (torch.arange(height, device=like.device) + 0.5) / height
        x = (torch.arange(width, device=like.device) + 0.5) / width
        centres.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1))
    return torch.cat(centres).to(like.dtype)


def sine_embedding(positions: Tensor, channels: int) -> Tensor:
    """Sines and cosines of positions: (..., D) in [0, 1] to (..., D * channels).

    Channels 2i and 2i + 1 of each are the sine and cosine of 2 pi position / 10000^(2i / channels).
    """
    exponents = torch.arange(0, channels, 2, device=positions.device, dtype=positions.dtype)
    angles = 2 * math.pi * positions[..., None] / 10000 ** (exponents / channels)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-3)


class MLP(nn.Sequential):
    """Linear layers with ReLU between them: `widths` are those of input, hidden layers, output."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        super().__init__(*layers[:-1])
