"""Masks compared at points instead of pixels, as in PointRend and Mask2Former."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Points drawn for each one needed, and the share of those needed that are the most uncertain.
OVERSAMPLING = 3.0
UNCERTAIN_SHARE = 0.75


def sampled(maps: Tensor, points: Tensor) -> Tensor:
    """Values of maps (M, h, w) at points (M, P, 2), or (1, P, 2) for all: (M, P), bilinear.

    Points are x and y as shares of the map, so that maps of any size can be compared. Deviates:
    within half a pixel of the border a map keeps its value; PointRend's and Mask2Former's fade to 0
    there, masks and logits alike, so that even a perfect prediction costs something.
    """
    if maps.shape[0] == 0:
        return maps.new_zeros(0, points.shape[1])
    grid = 2 * points.expand(len(maps), -1, -1)[:, :, None] - 1
    grid = grid.to(maps.dtype)
    values = F.grid_sample(maps[:, None], grid, padding_mode="border", align_corners=False)
    return values[:, 0, :, 0]


def uncertain_points(masks: Tensor, count: int) -> Tensor:
    """Points (M, count, 2) at which to compare masks (M, h, w), logits.

    Three quarters are those nearest to a probability of one half among three times as many random
    ones, the others are random.
    """
    candidates = torch.rand(len(masks), int(count * OVERSAMPLING), 2, device=masks.device)
    most = int(count * UNCERTAIN_SHARE)
    nearest = sampled(masks, candidates).abs().topk(most, 1, largest=False).indices
    chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    rest = torch.rand(len(masks), count - most, 2, device=masks.device)
    return torch.cat([chosen, rest], 1)
