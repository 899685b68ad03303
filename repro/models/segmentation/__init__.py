"""Semantic segmenters: UPerNet, Mask2Former and MaskDINO, with FDConv or ODConv in their backbones.

The transformers library is imported when a segmenter is built, not before.
"""

from repro.models.segmentation.costs import segmenter_costs
from repro.models.segmentation.placement import DEFAULT_PLACE, SWIN_PLACES
from repro.models.segmentation.registry import (
    SEGMENTERS,
    Segmenter,
    build_segmenter,
    segmenter_names,
)

__all__ = [
    "DEFAULT_PLACE",
    "SEGMENTERS",
    "SWIN_PLACES",
    "Segmenter",
    "build_segmenter",
    "segmenter_costs",
    "segmenter_names",
]
