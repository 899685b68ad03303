"""Losses of one layer's predictions, for a given matching."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert, generalized_box_iou_loss, sigmoid_focal_loss

from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_dino.heads import Predictions
from repro.models.segmentation.mask_dino.matching import (
    FOCAL_ALPHA,
    FOCAL_GAMMA,
    WEIGHTS,
    Match,
)
from repro.models.segmentation.mask_dino.points import sampled, uncertain_points


def layer_losses(
    predictions: Predictions,
    targets: Sequence[Regions],
    matches: Sequence[Match],
    *,
    points: int,
    normaliser: float,
) -> dict[str, Tensor]:
    """Weighted "class", "mask", "dice", "box" and "giou" losses.

    Args:
        matches: for each image, queries and the regions they answer for; the other queries answer
            for none.
        points: at which masks are compared.
        normaliser: the sums are divided by it: the number of regions, 1 at least.
    Source: MaskDINO (arXiv 2206.02777) and its authors' code: focal loss for classes,
        cross-entropy and dice for masks, L1 and generalised IoU for boxes.
    """
    device = predictions.masks.device
    images = torch.cat([torch.full_like(queries, i) for i, (queries, _) in enumerate(matches)])
    queries = torch.cat([queries for queries, _ in matches])
    chosen = (images.to(device), queries.to(device))

    def of_targets(part: str) -> Tensor:
        pairs = zip(targets, matches, strict=True)
        return torch.cat(
            [getattr(target, part)[regions.to(device)] for target, (_, regions) in pairs]
        )

    sums = {
        "class": class_loss(predictions.class_logits, chosen, of_targets("labels")),
        **mask_losses(predictions.masks[chosen], of_targets("masks"), points),
        **box_losses(predictions.boxes[chosen], of_targets("boxes")),
    }
    return {name: WEIGHTS[name] * value / normaliser for name, value in sums.items()}


def class_loss(logits: Tensor, chosen: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """Focal loss, summed: logits (N, Q, classes) are to be 1 for `labels` at `chosen`, else 0."""
    wanted = torch.zeros_like(logits)
    wanted[(*chosen, labels)] = 1
    loss: Tensor = sigmoid_focal_loss(
        logits, wanted, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, reduction="sum"
    )
    return loss


def mask_losses(logits: Tensor, masks: Tensor, points: int) -> dict[str, Tensor]:
    """Cross-entropy and dice of logits (M, h, w) with masks (M, H, W), summed over the pairs."""
    with torch.no_grad():
        places = uncertain_points(logits, points)
        wanted = sampled(masks, places)
    predicted = sampled(logits, places)
    entropy = F.binary_cross_entropy_with_logits(predicted, wanted, reduction="none")
    shares = predicted.sigmoid()
    overlap = 2 * (shares * wanted).sum(1)
    dice = 1 - (overlap + 1) / (shares.sum(1) + wanted.sum(1) + 1)
    return {"mask": entropy.mean(1).sum(), "dice": dice.sum()}


def box_losses(boxes: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """L1 distance and 1 - generalised IoU of boxes (M, 4), summed over the pairs."""
    giou = generalized_box_iou_loss(
        box_convert(boxes, "cxcywh", "xyxy"),
        box_convert(wanted, "cxcywh", "xyxy"),
        reduction="sum",
    )
    return {"box": F.l1_loss(boxes, wanted, reduction="sum"), "giou": giou}
