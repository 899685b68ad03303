"""Exact costs of the full-size detectors, and how they compare with the printed ones.

A detector cannot run without values (regions are chosen by their scores), so its parts are counted
one by one: body, pyramid and region proposal network on an image of 1280 x 800, the heads on as
many regions as the printed figures have.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FasterRCNN

from repro import papers
from repro.complexity import Cost, count
from repro.models.detection.backbone import PyramidBackbone
from repro.models.detection.build import MASK_ROI_SIZE, ROI_SIZE, SIZES, build_body, build_detector
from repro.models.detection.registry import DETECTORS
from repro.models.rows import DETECTION, Cell, digits_of
from repro.names import require_known

CLASSES = 80  # of COCO
# MMDetection, whose counter the papers quote, counts 1000 regions for boxes and 100 for masks; so
# many are what comes out of the region proposal network, and of the box head, in a test.
BOX_REGIONS, MASK_REGIONS = 1000, 100
# Of its sums that of `repro.complexity` nearest to MMDetection's counter: 207.09 G for Faster R-CNN
# where that has 207.07. What is left is the ReLU of the region proposal network (0.022 G, which a
# counter on modules does not see) and what torchvision's heads predict of the background.
CONVENTION = "mac_and_elements"

# Why a cell differs, by its address.
NOTES: Mapping[str, str] = {
    "ddf.table6.carafe.flops_g": (
        "the printed FLOPs of all learnt static upsamplers and of CARAFE are 1.3 to 2.3 % above "
        "their multiply-accumulates at 1280 x 800; what else the paper counts is not said"
    ),
}


@dataclass(frozen=True)
class DetectorCost:
    """What a full-size detector for COCO costs on one image of 1280 x 800.

    Attributes:
        params: learnt values of the detector.
        classifier_params: of the ImageNet classifier that its body came with, which a detector does
            not use; the totals that FDConv prints contain it.
        backbone_params: of the body, in `params`.
        parts: "body", "pyramid" (upsamplers included), "upsamplers", "proposals", "box_head" and,
            for Mask R-CNN, "mask_head" -> what each costs.
    """

    params: int
    classifier_params: int
    backbone_params: int
    parts: Mapping[str, Cost]

    def total(self, convention: str = CONVENTION) -> float:
        """Operations of a whole pass, by a convention of `repro.complexity`."""
        counted = (cost for name, cost in self.parts.items() if name != "upsamplers")
        return sum(cost.total(convention) for cost in counted)

    @property
    def params_with_classifier(self) -> int:
        """The total as FDConv's Table 1 prints it."""
        return self.params + self.classifier_params


@functools.cache
def detector_costs(name: str) -> DetectorCost:
    """Count a detector of the tables at full size.

    Raises:
        UnknownNameError: no such detector.
        NotImplementedError: it runs an operator that has no counting rule.
    """
    detector = DETECTORS[require_known("detector", name, DETECTORS)]
    with torch.device("meta"):
        model = cast(FasterRCNN, build_detector(name, num_classes=CLASSES, size="full"))
        network, _ = build_body(detector, SIZES["full"].body)
    backbone, heads, channels = model.backbone, model.roi_heads, SIZES["full"].channels
    image = torch.empty(DETECTION, device="meta")
    stages = backbone.body(image)
    pyramid = [map_.shape for map_ in backbone.over_maps(stages).values()]
    box_head = nn.Sequential(heads.box_head, heads.box_predictor)
    parts = {
        "body": _body_cost(detector.body, detector.change),
        "pyramid": count(_OverMaps(backbone), *(map_.shape for map_ in stages.values())),
        "upsamplers": count(_EachItsOwn(backbone.fpn.upsamplers), *pyramid[1:4]),
        "proposals": count(_Listed(model.rpn.head), *pyramid),
        "box_head": count(box_head, (BOX_REGIONS, channels, ROI_SIZE, ROI_SIZE)),
    }
    if detector.masks:
        mask_head = nn.Sequential(heads.mask_head, heads.mask_predictor)
        regions = (MASK_REGIONS, channels, MASK_ROI_SIZE, MASK_ROI_SIZE)
        parts["mask_head"] = count(mask_head, regions)
    uncounted = sorted({key for part in parts.values() for key in part.uncounted})
    if uncounted:
        raise NotImplementedError(f"{name}: no counting rule for {', '.join(uncounted)}")
    body = _params(backbone.body)
    return DetectorCost(_params(model), _params(network) - body, body, parts)


@functools.cache
def _body_cost(body: str, change: Callable[[nn.Module], None] | None) -> Cost:
    """Of a body that several detectors have."""
    name = next(n for n, d in DETECTORS.items() if (d.body, d.change) == (body, change))
    with torch.device("meta"):
        model = cast(FasterRCNN, build_detector(name, num_classes=CLASSES, size="full"))
    return count(model.backbone.body, DETECTION)


def added(name: str, counted: Callable[[DetectorCost], float]) -> float:
    """What a detector has more than its base.

    Raises:
        ValueError: it is a base itself.
    """
    base = DETECTORS[require_known("detector", name, DETECTORS)].base
    if base is None:
        raise ValueError(f"{name} is compared with nothing: it is a base")
    return counted(detector_costs(name)) - counted(detector_costs(base))


def _interpolation(cost: Cost) -> int:
    """Multiply-accumulates, and one operation for each value that is interpolated.

    DDF names no convention: this one gives its 0.58 G for DDF-Up, and all of its Table 6 to 3 %.
    """
    return cost.macs + cost.operations.get("pool", 0)


def _added_params(name: str) -> float:
    return added(name, lambda cost: cost.params_with_classifier) / 1e6


# Table -> printed column -> the exact cost of a detector in the column's unit. The increments of
# FDConv's Table 1 are those of its backbones: `repro.models.rows` has them.
COUNTS: Mapping[str, Mapping[str, Callable[[str], float]]] = {
    "ddf.table6": {
        "flops_g": lambda name: _interpolation(detector_costs(name).parts["upsamplers"]) / 1e9,
    },
    "fdconv.table1": {
        "params_m": lambda name: detector_costs(name).params_with_classifier / 1e6,
        "backbone_params_m": lambda name: detector_costs(name).backbone_params / 1e6,
        "flops_g": lambda name: detector_costs(name).total() / 1e9,
    },
    "fdconv.table3": {
        "params_m": lambda name: detector_costs(name).params / 1e6,
        "params_delta_m": _added_params,
        "flops_g": lambda name: detector_costs(name).total() / 1e9,
    },
}


def describe() -> dict[str, Any]:
    """Costs of the rows that are detectors, as `repro.models.rows.describe` gives those of others.

    Of FDConv's Table 1 the two plain detectors.

    Returns:
        Address of a row -> "network", a name of `DETECTORS`, and "costs" by column: "counted", and
        "printed", "verdict" and "note", None where the paper prints nothing (or nothing differs).
    """
    found: dict[str, Any] = {}
    for address, columns in COUNTS.items():
        paper, _, table_id = address.partition(".")
        table = papers.load(paper).table(table_id)
        for row in table.rows:
            is_base = DETECTORS[row.id].base is None
            if address == "fdconv.table1" and not is_base:
                continue
            costs = {
                column: _compared(f"{address}.{row.id}.{column}", table, row, count_in(row.id))
                for column, count_in in columns.items()
                if not (is_base and "delta" in column)
            }
            found[f"{address}.{row.id}"] = {"network": row.id, "costs": costs}
    return found


def _compared(address: str, table: papers.Table, row: papers.Row, counted: float) -> dict[str, Any]:
    column = address.rpartition(".")[2]
    printed = row.values.get(column)
    if not isinstance(printed, float | int):
        return {"counted": counted, "printed": None, "verdict": None, "note": None}
    cell = Cell(address, row.id, printed, counted, digits_of(table, column))
    note = NOTES.get(address) if cell.verdict == "differs" else None
    return {"counted": counted, "printed": printed, "verdict": cell.verdict, "note": note}


class _Listed(nn.Module):
    """A part that takes several maps at once, as a module of as many arguments."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *maps: Tensor) -> Any:
        return self.part(list(maps))


class _OverMaps(nn.Module):
    """`PyramidBackbone.over_maps`, as a module of as many arguments."""

    def __init__(self, backbone: PyramidBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, *maps: Tensor) -> Any:
        return self.backbone.over_maps({str(i): map_ for i, map_ in enumerate(maps)})


class _EachItsOwn(nn.Module):
    """Several layers, each on a map of its own."""

    def __init__(self, layers: nn.ModuleList) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, *maps: Tensor) -> list[Tensor]:
        return [layer(map_) for layer, map_ in zip(self.layers, maps, strict=True)]


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
