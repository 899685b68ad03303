"""Unified denoising: queries that are made from noised regions and have to undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_dino.matching import Match


@dataclass(frozen=True)
class Noised:
    """Noised copies of all regions, group by group, in the first queries of the decoder.

    Attributes:
        groups: copies of each region.
        group_size: slots of a group: as many as the fullest image has regions.
        labels: (N, groups * group_size), noised classes.
        boxes: (N, groups * group_size, 4), noised boxes.
        is_used: (N, groups * group_size): False where an image has fewer regions than slots.
        matches: for each image, which slot has to restore which region.
    """

    groups: int
    group_size: int
    labels: Tensor
    boxes: Tensor
    is_used: Tensor
    matches: list[Match]

    @property
    def count(self) -> int:
        """Queries that all groups take."""
        return self.groups * self.group_size


def noised(
    targets: Sequence[Regions], *, queries: int, noise: float, num_classes: int
) -> Noised | None:
    """Copy every region as often as `queries` allows, and noise the copies.

    Args:
        targets: regions of each image.
        queries: at most so many slots; no more regions than this are copied at all.
        noise: a box's centre moves by up to this share of half its size, its size by up to this
            share; a class is redrawn with half this probability.
        num_classes: to redraw from.
    Returns:
        None where there is no region, or an image has more than `queries`.
    Source: DN-DETR (arXiv 2203.01305) for boxes and labels; MaskDINO (arXiv 2206.02777),
        "unified denoising for mask": each copy has to predict the mask of the region whose noised
        box it was given.
    """
    group_size = max((len(target.labels) for target in targets), default=0)
    groups = queries // group_size if group_size else 0
    if groups == 0:
        return None
    device, dtype = targets[0].labels.device, targets[0].boxes.dtype
    shape = (len(targets), groups, group_size)
    labels = torch.zeros(shape, dtype=torch.int64, device=device)
    boxes = torch.zeros(*shape, 4, dtype=dtype, device=device)
    is_used = torch.zeros(shape, dtype=torch.bool, device=device)
    matches = []
    for image, target in enumerate(targets):
        count = len(target.labels)
        labels[image, :, :count] = target.labels
        boxes[image, :, :count] = target.boxes
        is_used[image, :, :count] = True
        slots = torch.arange(groups)[:, None] * group_size + torch.arange(count)
        matches.append((slots.flatten(), torch.arange(count).repeat(groups)))
    redrawn = torch.rand(shape, device=device) < noise / 2
    labels = torch.where(redrawn, torch.randint_like(labels, num_classes), labels)
    reach = torch.cat([boxes[..., 2:] / 2, boxes[..., 2:]], -1)
    boxes = (boxes + (2 * torch.rand_like(boxes) - 1) * noise * reach).clamp(0, 1)
    return Noised(
        groups,
        group_size,
        labels.flatten(1),
        boxes.flatten(1, 2),
        is_used.flatten(1),
        matches,
    )


def attention_mask(groups: int, group_size: int, queries: int) -> Tensor:
    """Which query may not look at which: (P + queries, P + queries), bool, P = groups * group_size.

    No selected query sees a noised one, which knows the answer, and no group sees another. A noised
    query sees the selected ones.
    """
    noised_count = groups * group_size
    group = torch.arange(noised_count) // group_size
    group = torch.cat([group, torch.full((queries,), -1)])  # selected queries: no group
    looks_at_noised = (group >= 0)[None, :]
    return looks_at_noised & (group[:, None] != group[None, :])
