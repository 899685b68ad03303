"""The transformer decoder: queries with boxes that every layer refines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.models.segmentation.mask_dino.deformable import (
    MLP,
    deformable_layers,
    level_arguments,
    sine_embedding,
)
from repro.models.segmentation.mask_dino.heads import Heads, Predictions
from repro.models.segmentation.mask_dino.pixel_decoder import Encoded
from repro.models.segmentation.mask_dino.settings import Settings


class Decoder(nn.Module):
    """Self-attention among queries, deformable attention inside their boxes, refined boxes.

    A query has content and a box. The box tells where it is (sine embedding, MLP) and how far its
    sampling points reach; each layer moves it. A layer's box is learnt through the next layer's
    prediction too ("look forward twice").

    Source: DINO (arXiv 2203.03605), which MaskDINO keeps.
    Deviates: box predictions and boxes handed on are the same; the authors' code leaves the norm
        out of the latter.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.layers = deformable_layers("Decoder", settings)
        self.position = MLP(2 * settings.width, settings.width, settings.width)

    def forward(
        self,
        content: Tensor,
        boxes: Tensor,
        encoded: Encoded,
        heads: Heads,
        *,
        hidden: Tensor | None = None,
        only_last: bool = False,
    ) -> list[Predictions]:
        """Predictions before the first layer and after each.

        Args:
            content: (N, Q, width).
            boxes: (N, Q, 4).
            hidden: (Q, Q), bool: True where a query may not look at another.
            only_last: leave out what inference does not need: all predictions but the last.
        """
        mask = None
        if hidden is not None:
            mask = torch.zeros_like(hidden, dtype=content.dtype)
            mask = mask.masked_fill(hidden, -torch.inf)[None, None]
        arguments = level_arguments(encoded.shapes, content.device)
        levels = len(encoded.shapes)
        found = []
        if not only_last:
            class_logits, masks = heads.class_and_mask(content, encoded.pixels)
            found.append(Predictions(class_logits, boxes, masks))
        for number, layer in enumerate(self.layers, start=1):
            reference = boxes.detach()
            # y before x, as in DETR
            order = reference[..., [1, 0, 2, 3]]
            position = self.position(sine_embedding(order, self.settings.width // 2))
            content = layer(
                content,
                object_queries_position_embeddings=position,
                reference_points=reference[:, :, None].expand(-1, -1, levels, -1),
                encoder_hidden_states=encoded.tokens,
                attention_mask=mask,
                **arguments,
            )
            boxes = heads.refine(content, boxes)
            if not only_last or number == len(self.layers):
                class_logits, masks = heads.class_and_mask(content, encoded.pixels)
                found.append(Predictions(class_logits, boxes, masks))
        return found
