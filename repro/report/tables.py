"""Every table of the report, declared by its columns, and how one is built and written.

A new table is an entry of `specs()`: the printed table of the fact sheet, the kinds of its columns,
where its runs lie and which rows are the bases of the differences. Its rows are named in
params.yaml under `tables:`, and exactly those runs are read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from repro.files import write_text
from repro.names import require_known
from repro.papers import Row, Table, load
from repro.report import (
    depth_notes,
    detection_notes,
    notes,
    own_tables,
    render,
    segmentation_notes,
)
from repro.report.cells import Cell, Measured, ReportTable, TableColumn, TableRow
from repro.report.columns import (
    ADDED_FLOPS,
    ADDED_PARAMS,
    BACKBONE_PARAMS,
    FLOPS,
    PARAMS,
    UPSAMPLER_FLOPS,
    ColumnKind,
    Difference,
    Exact,
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
    DepthColumn,
    DepthDifference,
    DepthError,
    TrainedSeeds,
    UpsamplerCost,
)
from repro.report.result_files import MissingResultError
from repro.report.results import Results
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


def rows_from_params(params: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The tables to build and the rows of each, from params.yaml's `tables:`.

    Raises:
        UnknownNameError: a table or row that does not exist, with the nearest names.
        ValueError: `tables` is missing, or does not map table ids to lists of row ids.
    """
    chosen = params.get("tables")
    if not isinstance(chosen, dict):
        raise ValueError(f"params.yaml must map table ids to row ids under tables, got {chosen!r}")
    for table_id, rows in chosen.items():
        spec = specs()[require_known("table of params.yaml", table_id, specs())]
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"tables.{table_id} must be a list of row ids, got {rows!r}")
        for row in rows:
            require_known(f"row of {table_id}", row, [known.id for known in spec.table.rows])
    return {table_id: tuple(rows) for table_id, rows in chosen.items()}


def build(
    table_id: str,
    results: Results,
    rows: Iterable[str] | None = None,
    published: Results | None = None,
) -> ReportTable:
    """Regenerate one table.

    Args:
        table_id: `<paper>_<table id>`, such as "ddf_table3a".
        results: the tree of our runs.
        rows: ids of the rows, in any order; None takes all.
        published: the runs shipped with the project; shown beside ours where they have the row.
    Raises:
        UnknownNameError: no such table or row.
        MissingResultError: a run is missing; the message names the command that makes it.
    """
    spec = specs()[require_known("table", table_id, specs())]
    chosen = _rows(spec, rows)
    counts_costs = any(isinstance(kind, Exact) for kind in spec.kinds)
    printed = results.printed_rows(f"{spec.paper}.{spec.table.id}") if counts_costs else {}
    setup = Setup(spec.table, results, spec.family, spec.bases, printed)
    beside = replace(setup, results=published) if published else None
    bases = {setup.base_of(row).id for row in chosen} if spec.bases else set()
    return ReportTable(
        id=spec.id,
        title=spec.title,
        caption=spec.table.caption,
        columns=tuple(_column(kind, setup, beside) for kind in spec.kinds),
        rows=tuple(
            TableRow(
                row.id,
                row.name,
                row.system,
                tuple(_cell(kind, row, setup, beside) for kind in spec.kinds),
                base=row.id in bases,
            )
            for row in chosen
        ),
        notes=spec.notes(spec.kinds, chosen, setup, beside),
    )


def build_all(
    results: Results, chosen: Mapping[str, Sequence[str]], published: Results | None = None
) -> list[ReportTable]:
    """Regenerate the tables of `chosen` (see `rows_from_params`), in the order of `specs()`."""
    return [build(name, results, chosen[name], published) for name in specs() if name in chosen]


def write(table: ReportTable, folder: Path) -> list[Path]:
    """Write `<folder>/<table id>.csv`, `.md` and `.html`; the bytes depend on the content alone."""
    written = {
        ".csv": render.to_csv(table),
        ".md": render.to_markdown(table),
        ".html": render.to_page(table),
    }
    paths = [folder / f"{table.id}{suffix}" for suffix in written]
    for path, text in zip(paths, written.values(), strict=True):
        write_text(path, text)
    return paths


def _rows(spec: TableSpec, rows: Iterable[str] | None) -> tuple[Row, ...]:
    if rows is None:
        return spec.table.rows
    wanted = {spec.table.row(row).id for row in rows}
    return tuple(row for row in spec.table.rows if row.id in wanted)


def _column(kind: ColumnKind, setup: Setup, beside: Setup | None) -> TableColumn:
    column = kind.column(setup.table)
    if isinstance(kind, DepthColumn):
        return replace(column, side_units=kind.side_units(setup, beside))
    return column


def _cell(kind: ColumnKind, row: Row, setup: Setup, beside: Setup | None) -> Cell:
    published: Measured | None = None
    if beside is not None and kind.from_runs:
        try:
            published = kind.measure(row, beside)
        except MissingResultError:
            published = None  # the maintainers did not run this row
    return Cell(kind.paper(row, setup), published, kind.measure(row, setup))
