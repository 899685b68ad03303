"""The prediction heads that the encoder's tokens and all decoder layers share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from repro.models.segmentation.mask_dino.deformable import MLP

# Probability of every class at the start: focal loss would drown in negatives otherwise.
PRIOR = 0.01


@dataclass(frozen=True)
class Predictions:
    """What one layer says about its queries.

    Attributes:
        class_logits: (N, Q, classes), for sigmoids.
        boxes: (N, Q, 4), centre x, y, width, height as shares of the image.
        masks: (N, Q, h, w), logits.
    """

    class_logits: Tensor
    boxes: Tensor
    masks: Tensor

    def part(self, start: int, stop: int | None) -> Predictions:
        """Those of the queries from `start` to `stop`."""
        return Predictions(
            self.class_logits[:, start:stop], self.boxes[:, start:stop], self.masks[:, start:stop]
        )


class Heads(nn.Module):
    """Class, box and mask of a query.

    Args:
        width: of queries and pixel embeddings.
        num_classes: outputs of the class head.
    Source: MaskDINO (arXiv 2206.02777), "segmentation branch": a mask is the product of a
        query with the pixel embeddings; the box head is DINO's.
    Deviates: the class head's bias starts at a probability of 0.01, as in RetinaNet and DINO; the
        authors' code leaves it at PyTorch's start.
    """

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.classes = nn.Linear(width, num_classes)
        self.box = MLP(width, width, width, 4)
        self.mask = MLP(width, width, width, width)
        nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR))
        last = self.box[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def class_and_mask(self, queries: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (N, Q, classes) and mask logits (N, Q, h, w) of queries (N, Q, width)."""
        queries = self.norm(queries)
        masks = torch.einsum("nqc,nchw->nqhw", self.mask(queries), pixels)
        return self.classes(queries), masks

    def refine(self, queries: Tensor, boxes: Tensor) -> Tensor:
        """Boxes (N, Q, 4) moved by what the queries say, in the space before the sigmoid."""
        moved: Tensor = self.box(self.norm(queries)) + torch.logit(boxes, eps=1e-5)
        return moved.sigmoid()
