"""Detectors by name: torchvision's Faster R-CNN and Mask R-CNN over our backbones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from repro.models import SYSTEMS, build
from repro.models.detection.backbone import PyramidBackbone, load_weights
from repro.models.detection.registry import DETECTORS, Detector
from repro.models.detection.transformers import STAGES, build_transformer
from repro.names import require_known

LEVELS = ("0", "1", "2", "3")  # of the pyramid, those that regions are cut from
ROI_SIZE, MASK_ROI_SIZE = 7, 14


@dataclass(frozen=True)
class DetectorSize:
    """What tells a full detector from a small one; everything else is the same.

    Attributes:
        body: size of the backbone.
        channels: of the pyramid and of the mask head.
        box_features: width of the box head's two linear layers.
        sides: images are scaled to this shorter side, unless the longer one gets beyond the other.
        anchors: side of the anchors of each level, in pixels; three ratios of each.
        canonical: a region of this side is cut from the level of stride 16.
        options: further arguments of torchvision's detector.
    """

    body: str
    channels: int
    box_features: int
    sides: tuple[int, int]
    anchors: tuple[int, ...]
    canonical: int
    options: Mapping[str, Any] = field(default_factory=dict)


SIZES: Mapping[str, DetectorSize] = {
    "full": DetectorSize("full", 256, 1024, (800, 1333), (32, 64, 128, 256, 512), 224),
    # A quarter of everything; fewer anchors and regions are sampled and kept.
    "small": DetectorSize(
        "narrow",
        64,
        128,
        (160, 256),
        (8, 16, 32, 64, 128),
        56,
        {
            "rpn_pre_nms_top_n_train": 400,
            "rpn_pre_nms_top_n_test": 400,
            "rpn_post_nms_top_n_train": 200,
            "rpn_post_nms_top_n_test": 300,
            "rpn_batch_size_per_image": 128,
            "box_batch_size_per_image": 64,
        },
    ),
}


def detector_names() -> list[str]:
    """Every name that `build_detector` takes: the row ids of the three tables."""
    return list(DETECTORS)


def build_detector(
    name: str,
    *,
    num_classes: int,
    size: str = "small",
    weights: str | Path | None = None,
    frozen_stages: int | None = None,
    sides: tuple[int | tuple[int, ...], int] | None = None,
) -> GeneralizedRCNN:
    """A detector of the tables, freshly initialised but for what `weights` holds.

    Args:
        name: see `detector_names()`.
        num_classes: categories of objects, 80 for COCO. The background, label 0, is not counted:
            objects have labels from 1 to num_classes.
        size: "full" is the papers' (their network, 256 channels in the pyramid, images of 800 by at
            most 1333 pixels); "small" trains on a CPU, see `SIZES`.
        weights: ImageNet weights of the body, see `load_weights`. With them batch norm keeps its
            statistics and the stem and first stage of a ResNet are frozen, as in both papers; from
            scratch everything is trained, as torchvision does: frozen noise is of no use.
        frozen_stages: how many stages are frozen; None for 1 with weights in a ResNet, else 0.
        sides: shorter and longest side that images are scaled to; the first may be several, of
            which training draws one. None for the size's own.
    Returns:
        In training a mapping of losses from images and targets, in evaluation boxes, labels,
        scores (and masks) from images; see torchvision.
    Raises:
        UnknownNameError: no such detector or size.
        ValueError: num_classes below 1, and what `load_weights` raises.
    Deviates: from MMDetection, with which both papers trained: torchvision's heads predict a box
        and a mask of the background too (4,100 and 257 parameters more at full size), align regions
        with 2 x 2 samples a bin and half a pixel off, and use smooth L1 for boxes, not L1.
    """
    detector = DETECTORS[require_known("detector", name, DETECTORS)]
    settings = SIZES[require_known("detector size", size, SIZES)]
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if frozen_stages is None:
        frozen_stages = 1 if weights is not None and detector.is_resnet else 0
    net, widths = build_body(detector, settings.body)
    if weights is not None:
        load_weights(net, weights)
    backbone = PyramidBackbone(
        net,
        widths,
        settings.channels,
        detector.upsampler,
        frozen_stages=frozen_stages,
        freeze_statistics=weights is not None,
    )
    shorter, longest = sides or settings.sides
    parts = {
        "min_size": shorter,
        "max_size": longest,
        **_box_parts(settings, num_classes),
        **settings.options,
    }
    if not detector.masks:
        return FasterRCNN(backbone, **parts)
    return MaskRCNN(backbone, **parts, **_mask_parts(settings, num_classes))


def build_body(detector: Detector, size: str) -> tuple[nn.Module, list[int]]:
    """The classification network that a detector's body comes from, and its stages' widths."""
    if detector.is_resnet:
        require_known("network", detector.body, SYSTEMS)
        net = build(detector.body, size=size)
        stages = cast(list[dict[str, Any]], net.feature_info)[1:]  # timm's own account of them
        return net, [stage["num_chs"] for stage in stages]
    net = build_transformer(detector.body, size=size)
    if detector.change is not None:
        detector.change(net)
    return net, list(STAGES[detector.body][size][0])


def _box_parts(settings: DetectorSize, num_classes: int) -> dict[str, Any]:
    ratios = ((0.5, 1.0, 2.0),) * len(settings.anchors)
    pooled = settings.channels * ROI_SIZE**2
    return {
        "rpn_anchor_generator": AnchorGenerator(tuple((a,) for a in settings.anchors), ratios),
        "box_roi_pool": _regions(settings, ROI_SIZE),
        "box_head": TwoMLPHead(pooled, settings.box_features),
        "box_predictor": FastRCNNPredictor(settings.box_features, num_classes + 1),
    }


def _mask_parts(settings: DetectorSize, num_classes: int) -> dict[str, Any]:
    channels = settings.channels
    return {
        "mask_roi_pool": _regions(settings, MASK_ROI_SIZE),
        "mask_head": MaskRCNNHeads(channels, (channels,) * 4, dilation=1),
        "mask_predictor": MaskRCNNPredictor(channels, channels, num_classes + 1),
    }


def _regions(settings: DetectorSize, size: int) -> MultiScaleRoIAlign:
    return MultiScaleRoIAlign(
        LEVELS, size, sampling_ratio=2, canonical_scale=settings.canonical, canonical_level=4
    )
