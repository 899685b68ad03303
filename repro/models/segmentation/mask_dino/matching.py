"""Hybrid matching: which query answers for which region, by class, box and mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou

from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_dino.heads import Predictions
from repro.models.segmentation.mask_dino.points import sampled

# Indices of queries, and of the regions they answer for.
Match = tuple[Tensor, Tensor]

# Weights of the terms, in matching and in the loss alike.
WEIGHTS = {"class": 4.0, "mask": 5.0, "dice": 5.0, "box": 5.0, "giou": 2.0}

FOCAL_ALPHA = 0.25
FOCAL_GAMMA = 2


@torch.no_grad()
def matched(predictions: Predictions, targets: Sequence[Regions], points: int) -> list[Match]:
    """The cheapest assignment of queries to the regions of each image.

    Args:
        points: at which masks are compared, drawn anew for each image and shared by all its masks.
    Source: MaskDINO (arXiv 2206.02777), "hybrid matching": the sum of class, box and mask costs, so
        that one query answers for both box and mask.
    """
    found = []
    for image, target in enumerate(targets):
        cost = matching_cost(
            predictions.class_logits[image],
            predictions.boxes[image],
            predictions.masks[image],
            target,
            torch.rand(1, points, 2, device=predictions.masks.device),
        )
        rows, columns = linear_sum_assignment(cost.float().cpu().numpy())
        found.append((torch.as_tensor(rows), torch.as_tensor(columns)))
    return found


def matching_cost(
    class_logits: Tensor, boxes: Tensor, masks: Tensor, target: Regions, points: Tensor
) -> Tensor:
    """What it costs to let each of Q queries answer for each of K regions: (Q, K).

    Args:
        class_logits: (Q, classes).
        boxes: (Q, 4).
        masks: (Q, h, w), logits.
        points: (1, P, 2), where masks are compared.
    """
    logits = class_logits[:, target.labels]
    positive = FOCAL_ALPHA * (1 - logits.sigmoid()) ** FOCAL_GAMMA * F.softplus(-logits)
    negative = (1 - FOCAL_ALPHA) * logits.sigmoid() ** FOCAL_GAMMA * F.softplus(logits)
    predicted = sampled(masks, points)  # (Q, P)
    wanted = sampled(target.masks, points)  # (K, P)
    giou = generalized_box_iou(
        box_convert(boxes, "cxcywh", "xyxy"), box_convert(target.boxes, "cxcywh", "xyxy")
    )
    costs = {
        "class": positive - negative,
        "mask": pairwise_cross_entropy(predicted, wanted),
        "dice": pairwise_dice(predicted, wanted),
        "box": torch.cdist(boxes, target.boxes, p=1),
        "giou": -giou,
    }
    return sum((WEIGHTS[name] * cost for name, cost in costs.items()), start=torch.zeros_like(giou))


def pairwise_cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Mean binary cross-entropy of each of (Q, P) logits with each of (K, P) masks: (Q, K)."""
    return (F.softplus(-logits) @ wanted.T + F.softplus(logits) @ (1 - wanted).T) / logits.shape[1]


def pairwise_dice(logits: Tensor, wanted: Tensor) -> Tensor:
    """1 - (2 overlap + 1) / (area + area + 1) of each of (Q, P) logits and (K, P) masks: (Q, K)."""
    shares = logits.sigmoid()
    areas = shares.sum(1)[:, None] + wanted.sum(1)[None, :]
    return 1 - (2 * shares @ wanted.T + 1) / (areas + 1)
