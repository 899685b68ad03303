"""Segmenters by the row ids of FDConv's Tables 2, 4 and 5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.models.segmentation.backbones import SIZES
from repro.models.segmentation.mask2former import Mask2Former
from repro.models.segmentation.mask_dino import MaskDINO
from repro.models.segmentation.placement import DEFAULT_PLACE, place
from repro.models.segmentation.upernet import UPerNet
from repro.models.segmentation.weights import load_weights
from repro.names import require_known

ARCHITECTURES: Mapping[str, Callable[..., Any]] = {
    "upernet": UPerNet,
    "mask2former": Mask2Former,
    "mask_dino": MaskDINO,
}


@dataclass(frozen=True)
class Segmenter:
    """One row of the tables.

    Attributes:
        architecture: a name of `ARCHITECTURES`.
        backbone: a name of `repro.models.segmentation.backbones.BACKBONES`.
        table: `<paper>.<table>` that has the row; None for a segmenter that is in no table.
        layer: what replaces layers of the backbone: "fdconv", "odconv" or nothing.
        base: the row that it is compared with: the same network without the layer.
    """

    architecture: str
    backbone: str
    table: str | None
    layer: str | None = None
    base: str | None = None


def _with(base: str, row: Segmenter, layer: str) -> Segmenter:
    return Segmenter(row.architecture, row.backbone, row.table, layer, base)


_R50 = Segmenter("upernet", "resnet50", "fdconv.table2")
_R101 = Segmenter("upernet", "resnet101", None)
_M2F_R50 = Segmenter("mask2former", "resnet50", "fdconv.table4")
_M2F_B = Segmenter("mask2former", "swin_b", "fdconv.table5")
_M2F_L = Segmenter("mask2former", "swin_l", "fdconv.table5")
_DINO_L = Segmenter("mask_dino", "swin_l", "fdconv.table5")

SEGMENTERS: Mapping[str, Segmenter] = {
    "upernet_r50": _R50,
    "upernet_r50_odconv_4x": _with("upernet_r50", _R50, "odconv"),
    "upernet_r50_fdconv": _with("upernet_r50", _R50, "fdconv"),
    "mask2former_r50": _M2F_R50,
    "mask2former_r50_fdconv": _with("mask2former_r50", _M2F_R50, "fdconv"),
    "mask2former_swin_b": _M2F_B,
    "mask2former_swin_b_fdconv": _with("mask2former_swin_b", _M2F_B, "fdconv"),
    "mask2former_swin_l_22k": _M2F_L,
    "mask2former_swin_l_22k_fdconv": _with("mask2former_swin_l_22k", _M2F_L, "fdconv"),
    "maskdino_swin_l_22k": _DINO_L,
    "maskdino_swin_l_22k_fdconv": _with("maskdino_swin_l_22k", _DINO_L, "fdconv"),
    # in no table: the sheet quotes MMSegmentation's UPerNet R101 for reference
    "upernet_r101": _R101,
    "upernet_r101_fdconv": _with("upernet_r101", _R101, "fdconv"),
}


def segmenter_names() -> list[str]:
    """Every name that `build_segmenter` takes, in the order of the registry."""
    return list(SEGMENTERS)


def build_segmenter(
    name: str,
    *,
    num_classes: int,
    size: str = "small",
    weights: str | Path | None = None,
    where: str = DEFAULT_PLACE,
) -> Any:
    """A segmenter of the tables, freshly initialised or with pretrained weights.

    Args:
        name: a row id; see `segmenter_names()`.
        num_classes: semantic classes, 2 at least.
        size: "full" is the paper's network; "small" has the same parts, narrower and with fewer
            layers and queries, for images of about 128 x 128 on a CPU.
        weights: file or folder with weights of the segmenter or of its backbone; see
            `load_weights`.
        where: which linear layers of a Swin FDConv replaces: a name of `SWIN_PLACES`.
    Returns:
        A module from images (N, 3, H, W) to logits (N, num_classes, H, W) at their resolution,
        with `losses(images, labels)`: named scalar losses for labels (N, H, W), 255 to ignore.
        `torch.manual_seed` fixes its start; within `torch.device("meta")` it costs no memory.
    Raises:
        UnknownNameError: no such row, size or place.
        ValueError: fewer than 2 classes; weights that do not fit (see `load_weights`).
        FileNotFoundError, KeyError: see `load_weights`.
        ImportError: transformers is not installed.
    """
    row = SEGMENTERS[require_known("segmenter", name, SEGMENTERS)]
    require_known("network size", size, SIZES)
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    model = ARCHITECTURES[row.architecture](row.backbone, num_classes, size)
    if row.layer is not None:
        place(model.backbone, row.layer, where=where)
    if weights is not None:
        load_weights(model, model.backbone, weights)
    return model
