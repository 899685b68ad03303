"""Tables that no paper prints, and printed tables with a column of ours added.

The paper's side is empty where it has no figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from repro.papers import Column, Row, Table, Value, load

_UPSAMPLING_FACTORS = (4, 8, 16)
_TOP1 = Column("top1", "Top-1", "percent", "higher", "metric")
_NO_FIGURES = "The paper's figures, if it has any, are not known to us"


def ddf_ablation() -> Table:
    """Variants of DDF; two of them are in the authors' model zoo."""
    zoo = load("ddf").table("repo_model_zoo")
    variants = {
        "ddf_resnet50": "DDF as in the paper (mul, filter norm, k = 3, one head)",
        "ddf_add_resnet50": "the two filters added, not multiplied",
        "ddf_no_norm": "no normalisation of the generated filters",
        "ddf_kernel_5": "k = 5",
        "ddf_heads_2": "two heads",
    }
    known = {row.system: row for row in zoo.rows}
    rows = []
    for system, name in variants.items():
        printed: Value = known[system].values["top1"] if system in known else None
        rows.append(_row(system, name, {"top1": printed}, zoo.source or ""))
    return replace(
        zoo,
        id="ablation",
        caption="Variants of DDF that no table of the paper compares; the paper's side is the "
        "model zoo of the authors' repository.",
        columns=(_TOP1,),
        rows=tuple(rows),
        dataset="ImageNet-1k validation",
    )


def fdconv_modules() -> Table:
    """FDConv's three parts, one by one and together."""
    parts = {  # system: (name, FDW, KSM, FBM)
        "resnet50": ("ResNet-50", False, False, False),
        "fdconv_fdw": ("FDW only", True, False, False),
        "fdconv_ksm": ("KSM only", False, True, False),
        "fdconv_fbm": ("FBM only", False, False, True),
        "fdconv_no_fbm": ("FDW and KSM", True, True, False),
        "fdconv_resnet50": ("all three, FBM on the input (the authors' code)", True, True, True),
        "fdconv_fbm_paper": ("all three, FBM on the output (the paper)", True, True, True),
    }
    return replace(
        load("fdconv").table("ablation_modules"),
        caption="What Fourier disjoint weight (FDW), kernel spatial modulation (KSM) and frequency "
        "band modulation (FBM) bring, in every convolution of ResNet-50's blocks.",
        columns=(*(_setting(part, part.upper()) for part in ("fdw", "ksm", "fbm")), _TOP1),
        rows=tuple(
            _row(system, name, {"fdw": fdw, "ksm": ksm, "fbm": fbm, "top1": None})
            for system, (name, fdw, ksm, fbm) in parts.items()
        ),
        dataset="ImageNet-1k validation",
        note=_NO_FIGURES,
    )


def fdconv_kernel_num() -> Table:
    """FDConv with fewer frequency groups; with one there is nothing to attend to."""
    systems = {
        "fdconv_kernel_num_1": "1 group",
        "fdconv_kernel_num_4": "4 groups",
        "fdconv_kernel_num_16": "16 groups",
        "fdconv_resnet50": "64 groups (default)",
    }
    return replace(
        load("fdconv").table("ablation_kernel_num"),
        columns=(_TOP1,),
        rows=tuple(_row(system, name, {"top1": None}) for system, name in systems.items()),
        dataset="ImageNet-1k validation",
        note=_NO_FIGURES,
    )


def ddf_table5() -> Table:
    """Table 5 with the accuracies that can be compared, those of one protocol, in one column."""
    printed = load("ddf").table("table5")
    top1 = replace(_TOP1, label="Top-1, shared protocol")
    rows = []
    for row in printed.rows:
        comparable = row.values["top1_retrained"]
        if row.system.startswith("ddf_"):  # the paper's own result
            comparable = row.values["top1_official"]
        rows.append(replace(row, values={**row.values, "top1": comparable}))
    return replace(
        printed,
        columns=(*printed.columns, top1),
        rows=tuple(rows),
        note="Shared protocol: the paper's own training. It prints such a figure for the bases, "
        "SE, ResNeXt and DDF; what the others published is of their own protocols",
    )


def fdconv_backbones() -> Table:
    """The backbones of Table 1 as classifiers; the paper prints them in detectors alone."""
    systems = {
        "resnet50": "ResNet-50",
        "condconv8x_resnet50": "+ CondConv (8x)",
        "dyconv4x_resnet50": "+ DY-Conv (4x)",
        "dcd_resnet50": "+ DCD",
        "odconv4x_resnet50": "+ ODConv (4x)",
        "kw1x_resnet50": "+ KW (1x)",
        "kw4x_resnet50": "+ KW (4x)",
        "fdconv_resnet50": "+ FDConv",
    }
    return replace(
        load("fdconv").table("table1"),
        id="backbones",
        number=None,
        columns=(_TOP1,),
        rows=tuple(_row(system, name, {"top1": None}) for system, name in systems.items()),
        caption="The backbones of Table 1 as classifiers, before any detector.",
        dataset="ImageNet-1k validation",
        note=None,
    )


def with_ap50(table: Table) -> Table:
    """A table of detection with a column for AP at an overlap of one half, which none prints."""
    ap50 = Column("ap50", "AP50 box", "AP x100", "higher", "metric")
    rows = tuple(replace(row, values={**row.values, "ap50": None}) for row in table.rows)
    return replace(table, columns=(*table.columns, ap50), rows=rows)


def ddf_table7() -> Table:
    """Table 7 with the two rows of PAC's README that it leaves out; their names say so."""
    printed, readme = load("ddf").table("table7"), load("ddf").table("pac_readme_nyu")
    named = {"bilinear": "Bilinear", "pac_net_lite": "PAC-Net lite"}
    added = {
        row_id: replace(readme.row(row_id), name=f"{name} (PAC's README)")
        for row_id, name in named.items()
    }
    rows = [added["bilinear"]]
    for row in printed.rows:
        rows += [added["pac_net_lite"], row] if row.id == "pac_net" else [row]
    return replace(
        printed,
        columns=tuple(
            replace(column, label=f"RMSE, {factor}×", unit="cm")
            for column, factor in zip(printed.columns, _UPSAMPLING_FACTORS, strict=True)
        ),
        rows=tuple(rows),
        caption=f"{printed.caption} Lower is better.",
        note="All rows but DDF-Up-Net's are carried over from earlier papers. PAC's README gives "
        "the figures of bilinear interpolation and of PAC-Net lite, which Table 7 does not print. "
        "Where the low-resolution pixels lie decides what an interpolation errs: at 4× it has "
        f"bilinear at {readme.row('bilinear').values['rmse_x4']} cm where Table 7 has bicubic at "
        f"{printed.row('bicubic').values['rmse_x4']}",
    )


def ddf_upsampling_ablation() -> Table:
    """Variants of DDF-Up-Net at one factor."""
    variants = {
        "ddf_up_net": "DDF-Up-Net (guidance, both filters, k = 3, mul)",
        "ddf_up_net_no_guidance": "no guidance in the spatial filters",
        "ddf_up_net_spatial_only": "spatial filters only",
        "ddf_up_net_kernel_5": "k = 5",
        "ddf_up_net_add": "the two filters added, not multiplied",
        "ddf_up_net_narrow": "half as many channels",
        "ddf_up_net_l1": "trained with the absolute, not the squared error",
    }
    printed = load("ddf").table("table7")
    return replace(
        printed,
        id="upsampling_ablation",
        number=None,
        columns=(),
        rows=tuple(_row(system, name, {}) for system, name in variants.items()),
        caption="What the parts of DDF-Up-Net bring to joint depth upsampling at one factor. Lower "
        "is better. The paper prints no such comparison.",
        note=None,
    )


def _row(system: str, name: str, values: Mapping[str, Value], source: str = "") -> Row:
    return Row(system, name, system, source, None, values)


def _setting(column_id: str, label: str) -> Column:
    return Column(column_id, label, None, "none", "setting")
