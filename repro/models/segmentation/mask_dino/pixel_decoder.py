"""The encoder over all levels, and the pixel embeddings that masks are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.models.segmentation.mask_dino.deformable import (
    Shape,
    cell_centres,
    deformable_layers,
    level_arguments,
    sine_embedding,
)
from repro.models.segmentation.mask_dino.settings import Settings


@dataclass(frozen=True)
class Encoded:
    """What the pixel decoder makes of the feature maps.

    Attributes:
        tokens: (N, S, width), of all levels, the finest first.
        shapes: height and width of each level.
        pixels: (N, width, h, w) pixel embeddings at stride 4.
    """

    tokens: Tensor
    shapes: list[Shape]
    pixels: Tensor


class PixelDecoder(nn.Module):
    """Deformable encoder layers over the levels, then one feature pyramid step to stride 4.

    The pixel embeddings are M(T(C_b) + F(C_e)): T a 1x1 convolution of the backbone's map at stride
    4, F the finest map of the encoder enlarged, M a 3x3 and a 1x1 convolution.

    Args:
        channels: of the backbone's maps at strides 4, 8, 16 and 32.
        settings: sizes.
    Source: MaskDINO (arXiv 2206.02777), "segmentation branch"; the norms are those of the
        authors' code.
    """

    def __init__(self, channels: Sequence[int], settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.settings = settings
        seen = list(channels)[settings.first_stage :]
        projections = [_projection(inputs, width) for inputs in seen]
        for level in range(len(seen), settings.levels):
            inputs = seen[-1] if level == len(seen) else width
            projections.append(_projection(inputs, width, kernel_size=3, stride=2))
        self.projections = nn.ModuleList(projections)
        self.level_embedding = nn.Parameter(torch.randn(settings.levels, width))
        self.layers = deformable_layers("Encoder", settings)
        self.lateral = nn.Sequential(
            nn.Conv2d(channels[0], width, 1, bias=False), nn.GroupNorm(32, width)
        )
        self.output = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(32, width), nn.ReLU()
        )
        self.pixels = nn.Conv2d(width, width, 1)

    def forward(self, maps: Sequence[Tensor]) -> Encoded:
        levels = self._levels(maps)
        shapes: list[Shape] = [(level.shape[2], level.shape[3]) for level in levels]
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)  # (N, S, C)
        centres = cell_centres(shapes, tokens)  # (S, 2)
        sizes = [height * width for height, width in shapes]
        level_embedding = self.level_embedding.repeat_interleave(
            torch.tensor(sizes, device=tokens.device), 0, output_size=sum(sizes)
        )
        # y before x, as in DETR
        positions = sine_embedding(centres.flip(-1), self.settings.width // 2) + level_embedding
        references = centres[None, :, None].expand(len(tokens), -1, len(shapes), -1)
        arguments = level_arguments(shapes, tokens.device)
        for layer in self.layers:
            tokens = layer(
                tokens,
                None,
                spatial_position_embeddings=positions[None],
                reference_points=references,
                **arguments,
            )
        finest = tokens[:, : sizes[0]].transpose(1, 2).reshape(len(tokens), -1, *shapes[0])
        lateral = self.lateral(maps[0])
        finest = F.interpolate(finest, size=lateral.shape[2:], mode="bilinear", align_corners=False)
        return Encoded(tokens, shapes, self.pixels(self.output(lateral + finest)))

    def _levels(self, maps: Sequence[Tensor]) -> list[Tensor]:
        seen = list(maps)[self.settings.first_stage :]
        levels = []
        source = seen[-1]
        for level, projection in enumerate(self.projections):
            if level >= len(seen):
                source = projection(source)
                levels.append(source)
            else:
                levels.append(projection(seen[level]))
        return levels


def _projection(inputs: int, width: int, kernel_size: int = 1, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, width, kernel_size, stride=stride, padding=kernel_size // 2)
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(cast(Tensor, conv.bias))
    return nn.Sequential(conv, nn.GroupNorm(32, width))
