"""Every table of the report, declared by its columns.

A new table is an entry of `specs()`: the printed table of the fact sheet, the kinds of its columns,
where its runs lie and which rows are the bases of the differences. Its rows are named in
params.yaml under `tables:`, and exactly those runs are read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from repro.papers import Row, Table, load
from repro.report import (
    depth_notes,
    detection_notes,
    notes,
    own_tables,
    segmentation_notes,
)
from repro.report.columns import (
    ADDED_FLOPS,
    ADDED_PARAMS,
    BACKBONE_PARAMS,
    FLOPS,
    PARAMS,
    UPSAMPLER_FLOPS,
    ColumnKind,
    Difference,
    Largest,
    Metric,
    Ratio,
    Seeds,
    Setting,
    Setup,
    Timed,
)
from repro.report.complexity import Counted, Formula, Slope
from repro.report.depth_columns import (
    DepthDifference,
    DepthError,
    TrainedSeeds,
    UpsamplerCost,
)
from repro.report.runs import (
    CLASSIFICATION,
    COMPARISON,
    DDF_ABLATION,
    DETECTION,
    FDCONV_ABLATION,
    JOINT_UPSAMPLING,
    SEGMENTATION,
    UPSAMPLING_ABLATION,
    RunFamily,
)
from repro.report.segmentation_columns import MiouDifference, MultiScale, Standing

PAPER_NAMES = {"ddf": "DDF", "fdconv": "FDConv"}


@dataclass(frozen=True)
class TableSpec:
    """One table: where its figures come from and how they stand side by side."""

    paper: str
    table: Table
    kinds: tuple[ColumnKind, ...]
    family: RunFamily | None = None
    bases: tuple[str, ...] = ()
    notes: Callable[[Sequence[ColumnKind], Sequence[Row], Setup, Setup | None], tuple[str, ...]] = (
        notes.below
    )

    @property
    def id(self) -> str:
        """`<paper>_<table id>`, the name of its files and its key in params.yaml."""
        return f"{self.paper}_{self.table.id}"

    @property
    def title(self) -> str:
        """What the table is called in running text: "DDF, Table 3(a)"."""
        number = self.table.number
        name = f"Table {number}" if number else self.table.id.replace("_", " ")
        return f"{PAPER_NAMES[self.paper]}, {name}"


@functools.cache
def specs() -> Mapping[str, TableSpec]:
    """Every table that can be built, by id."""
    table = load("ddf").table
    accuracy = (Metric("top1"), Difference("top1"), Metric("top5"), Difference("top5"))
    trained = (PARAMS, FLOPS, *accuracy, Seeds("top1"))
    marks = (Setting("spatial"), Setting("channel"))
    compared = (PARAMS, FLOPS, Metric("top1"), Difference("top1"), Seeds("top1"))
    declared = (
        TableSpec("ddf", table("table1"), _TABLE_1),
        TableSpec("ddf", table("table2"), _TABLE_2),
        TableSpec("ddf", table("table3a"), (*marks, *trained), CLASSIFICATION, ("base_model",)),
        TableSpec("ddf", table("table3b"), trained, CLASSIFICATION, ("ddf_filter_norm",)),
        TableSpec("ddf", table("table3c"), trained, CLASSIFICATION, ("ddf_sigma_0p2",)),
        TableSpec(
            "ddf",
            table("table4"),
            (Setting("arch"), *compared),
            COMPARISON,
            ("r18_base", "r50_base"),
        ),
        TableSpec(
            "ddf",
            own_tables.ddf_table5(),
            (PARAMS, FLOPS, _AS_PUBLISHED, *compared[2:]),
            COMPARISON,
            ("resnet50", "resnet101"),
        ),
        TableSpec("ddf", own_tables.ddf_ablation(), _ABLATION, DDF_ABLATION, ("ddf_resnet50",)),
        TableSpec(
            "fdconv",
            own_tables.fdconv_modules(),
            (Setting("fdw"), Setting("ksm"), Setting("fbm"), *compared),
            FDCONV_ABLATION,
            ("resnet50",),
        ),
        TableSpec(
            "fdconv",
            own_tables.fdconv_kernel_num(),
            compared,
            FDCONV_ABLATION,
            ("fdconv_kernel_num_1",),
        ),
        TableSpec("fdconv", own_tables.fdconv_backbones(), compared, COMPARISON, ("resnet50",)),
        TableSpec(
            "ddf",
            own_tables.with_ap50(table("table6")),
            _TABLE_6,
            DETECTION,
            ("nearest",),
            detection_notes.below,
        ),
        TableSpec(
            "fdconv",
            own_tables.with_ap50(load("fdconv").table("table1")),
            _FDCONV_TABLE_1,
            DETECTION,
            ("faster_rcnn_r50", "mask_rcnn_r50"),
            detection_notes.below,
        ),
        TableSpec(
            "fdconv",
            own_tables.with_ap50(load("fdconv").table("table3")),
            _FDCONV_TABLE_3,
            DETECTION,
            ("mask_rcnn_convnext_t", "mask_rcnn_swin_t"),
            detection_notes.below,
        ),
        TableSpec(
            "ddf",
            own_tables.ddf_table7(),
            _TABLE_7,
            JOINT_UPSAMPLING,
            ("pac_net",),
            depth_notes.below,
        ),
        TableSpec(
            "ddf",
            own_tables.ddf_upsampling_ablation(),
            _UPSAMPLING_ABLATION,
            UPSAMPLING_ABLATION,
            ("ddf_up_net",),
            depth_notes.below,
        ),
        *_of_segmentation(),
    )
    return {spec.id: spec for spec in declared}


def _of_segmentation() -> tuple[TableSpec, ...]:
    """FDConv's Tables 2, 4 and 5: base rows, and under each what it is compared with."""
    bases = {
        "table2": ("upernet_r50",),
        "table4": ("mask2former_r50",),
        "table5": ("mask2former_swin_b", "mask2former_swin_l_22k", "maskdino_swin_l_22k"),
    }
    costs = (PARAMS, ADDED_PARAMS, FLOPS, ADDED_FLOPS)
    columns: dict[str, tuple[ColumnKind, ...]] = {
        "table2": (
            Metric("miou_ss", "miou"),
            MiouDifference("miou_ss", "miou"),
            MultiScale("miou_ms"),
            MiouDifference("miou_ms"),
        ),
        **dict.fromkeys(("table4", "table5"), (Metric("miou"), MiouDifference("miou"))),
    }
    return tuple(
        TableSpec(
            "fdconv",
            load("fdconv").table(name),
            (*costs, *columns[name], Standing(), Seeds("miou")),
            SEGMENTATION,
            own_bases,
            segmentation_notes.below,
        )
        for name, own_bases in bases.items()
    )


_TABLE_1 = (
    Formula("params"),
    Counted("params", "Weights of the layer", lambda count: count.params),
    Formula("time"),
    Counted("time", "MACs of the layer", lambda count: count.macs, "M", 1e6, evaluated=False),
    Slope("time", "Growth of time with c", "channels"),
    Slope("time", "Growth of time with n", "pixels"),
    Formula("space"),
    Counted("space", "Generated filter values", lambda count: count.filter_values, "k", 1e3),
)

_TABLE_2 = (
    Timed("latency_ms", "ms", latency=True),
    Ratio("latency_ms", "conv", latency=True),
    Ratio("latency_ms", "ddf", latency=True),
    Timed("memory_m", "MiB", latency=False),
    Ratio("memory_m", "conv", latency=False),
    Ratio("memory_m", "ddf", latency=False),
)

_AS_PUBLISHED = Setting("top1_official", "Top-1, as published", "%")

_BOX = (Metric("ap_box", "ap"), Difference("ap_box", "ap"), Metric("ap50"))
_MASK = (Metric("ap_mask", "mask_ap"), Difference("ap_mask", "mask_ap"))

_TABLE_6 = (
    UPSAMPLER_FLOPS,
    Metric("map", "ap"),
    Difference("map", "ap"),
    Metric("ap50"),
    Metric("map_s", "ap_small"),
    Difference("map_s", "ap_small"),
    Metric("map_m", "ap_medium"),
    Metric("map_l", "ap_large"),
    Seeds("ap"),
)

_FDCONV_TABLE_1 = (
    Setting("conv_budget_x", "Budget", "×"),
    PARAMS,
    BACKBONE_PARAMS,
    ADDED_PARAMS,
    FLOPS,
    ADDED_FLOPS,
    *_BOX,
    *_MASK,
    Seeds("ap"),
)

_FDCONV_TABLE_3 = (PARAMS, ADDED_PARAMS, FLOPS, *_BOX, *_MASK, Seeds("ap"))

_ABLATION = (
    Metric("top1"),
    Difference("top1"),
    Largest("max_grad_norm", "Largest gradient norm"),
    Seeds("top1"),
)

_TABLE_7 = (
    *(kind(factor) for factor in (4, 8, 16) for kind in (DepthError, DepthDifference)),
    DepthError(16, edge=True),
    UpsamplerCost("params", "Params", "k", 1e3, factor=16),
    UpsamplerCost("macs", "MACs", "G", 1e9, factor=16),
    TrainedSeeds(),
)

_UPSAMPLING_ABLATION = (
    DepthError(),
    DepthDifference(),
    DepthError(edge=True),
    UpsamplerCost("params", "Params", "k", 1e3),
    UpsamplerCost("macs", "MACs", "G", 1e9),
    TrainedSeeds(),
)
