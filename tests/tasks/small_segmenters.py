"""Segmenters small enough to train in seconds: one with plain scores, one with its own losses."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from repro.nn import FDConv


class SmallSegmenter(nn.Module):
    """Four convolutions at a quarter of the resolution."""

    def __init__(self, num_classes, width=16, convolution=nn.Conv2d):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            convolution(width, 2 * width, 3, 2, 1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            convolution(2 * width, 2 * width, 3, 1, 2, 2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, num_classes, 1),
        )

    def forward(self, images):
        scores = self.body(images)
        return F.interpolate(scores, images.shape[-2:], mode="bilinear", align_corners=False)


class SegmenterWithLosses(SmallSegmenter):
    """Computes two losses itself."""

    def losses(self, images, labels):
        scores = self(images)
        self.autocast = torch.is_autocast_enabled("cpu")
        loss = F.cross_entropy(scores, labels, ignore_index=255)
        return {"mask": loss, "class": scores.square().mean() / 100}


def build_small(method, *, num_classes, size, **options):
    """The builder that a task is given."""
    if method == "with_losses":
        return SegmenterWithLosses(num_classes, **options)
    if method == "fdconv":
        return SmallSegmenter(num_classes, convolution=FDConv, **options)
    return SmallSegmenter(num_classes, **options)
