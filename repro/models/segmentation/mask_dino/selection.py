"""Unified query selection, and anchors from masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from repro.models.segmentation.labels import boxes_of_masks
from repro.models.segmentation.mask_dino.deformable import Shape, cell_centres
from repro.models.segmentation.mask_dino.heads import Heads, Predictions
from repro.models.segmentation.mask_dino.pixel_decoder import Encoded


@dataclass(frozen=True)
class Selected:
    """The queries that the decoder starts with.

    Attributes:
        indices: (N, Q), which tokens were selected, the most certain first.
        content: (N, Q, width), without gradients.
        anchors: (N, Q, 4), boxes, without gradients.
        predictions: what the tokens themselves predict: the encoder learns from them.
    """

    indices: Tensor
    content: Tensor
    anchors: Tensor
    predictions: Predictions


class QuerySelection(nn.Module):
    """Let every token of the encoder predict class, box and mask; keep the most certain.

    The decoder's queries get their content and their anchor from the tokens with the highest class
    score. An anchor is the box around the token's predicted mask: masks are learnt earlier than
    boxes, being read from pixels.

    Args:
        width: of the tokens.
        queries: to be selected.
    Raises:
        ValueError: there are fewer tokens than queries.
    Source: MaskDINO (arXiv 2206.02777), "unified query selection for mask" and
        "mask-enhanced anchor box initialization".
    Deviates: a token whose mask is empty keeps the box it predicted; in the authors' code its
        anchor has no size and lies in the corner.
    """

    def __init__(self, width: int, queries: int) -> None:
        super().__init__()
        self.queries = queries
        self.output = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width))

    def forward(self, encoded: Encoded, heads: Heads) -> Selected:
        count = encoded.tokens.shape[1]
        if count < self.queries:
            raise ValueError(
                f"{self.queries} queries cannot be selected from {count} tokens "
                f"(levels of {encoded.shapes}): the images are too small"
            )
        boxes, is_valid = proposals(encoded.shapes, encoded.tokens)
        tokens = self.output(encoded.tokens * is_valid[:, None])
        # Class scores of all tokens, the other predictions only of the selected ones.
        scores = heads.classes(heads.norm(tokens)).amax(-1)  # (N, S)
        indices = top_tokens(scores, is_valid, self.queries)
        content = tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))
        class_logits, masks = heads.class_and_mask(content, encoded.pixels)
        predictions = Predictions(class_logits, heads.refine(content, boxes[indices]), masks)
        anchors = anchors_from_masks(masks.detach(), predictions.boxes.detach())
        return Selected(indices, content.detach(), anchors, predictions)


def proposals(shapes: Sequence[Shape], like: Tensor) -> tuple[Tensor, Tensor]:
    """A box for each token, and whether it may be selected.

    Returns:
        (S, 4): the cell's centre, and 0.05 of the image at the finest level, twice as much at each
        further one; (S,) bool: centres and sizes are from 0.01 to 0.99.
    Source: Deformable DETR (arXiv 2010.04159), two-stage variant.
    """
    centres = cell_centres(shapes, like)
    sizes = torch.cat(
        [
            torch.full((height * width, 2), 0.05 * 2.0**level)
            for level, (height, width) in enumerate(shapes)
        ]
    ).to(centres)
    boxes = torch.cat([centres, sizes], -1)
    return boxes, ((boxes > 0.01) & (boxes < 0.99)).all(-1)


def top_tokens(scores: Tensor, is_valid: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the highest scores (N, S), the highest first, invalid ones last."""
    return scores.masked_fill(~is_valid, -torch.inf).topk(count, 1).indices


def anchors_from_masks(masks: Tensor, boxes: Tensor) -> Tensor:
    """Boxes around mask logits (N, Q, h, w) above 0; `boxes` (N, Q, 4) where there are none."""
    inside = masks > 0
    around = boxes_of_masks(inside).to(boxes.dtype)
    return torch.where(inside.flatten(2).any(-1, keepdim=True), around, boxes)
