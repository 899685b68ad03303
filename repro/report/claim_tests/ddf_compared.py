"""The claims of DDF that rest on Tables 4 and 5: other dynamic filters, and other blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repro.papers import Row
from repro.report import own_tables
from repro.report.claim_tests.printed import number
from repro.report.evidence import Evidence, Test
from repro.report.runs import COMPARISON
from repro.report.verdicts import Direction, Effect, quotient


def _accuracy_of_resnet101(e: Evidence) -> list[Effect]:
    name, size = "top-1, DDF − base (ResNet-101)", e.claim.size()
    return [
        e.accuracy_gain(name, "ddf_resnet101", "resnet101", size=size, family=COMPARISON),
    ]


def _resnet18(e: Evidence) -> list[Effect]:
    flops = [number(f"ddf.table4.r18_{row}.flops_g") for row in ("ddf", "base")]
    gain = e.claim.size("top1_gain")
    return [
        e.accuracy_gain(
            "top-1, DDF − base (ResNet-18)",
            "ddf_resnet18",
            "resnet18",
            size=gain,
            family=COMPARISON,
        ),
        e.counted(
            "FLOPs of DDF-ResNet18 over ResNet-18's",
            lambda r: r.cost("ddf_resnet18")["macs"] / r.cost("resnet18")["macs"],
            Direction(above=False, size=quotient(*flops), null=1.0),
            paper=e.claim.size("flops_ratio"),
        ),
    ]


def _best_dynamic_filter(e: Evidence) -> list[Effect]:
    blocks = {
        "ResNet-18": ("ddf_resnet18", ["adaptive_resnet18", "dynet_resnet18"]),
        "ResNet-50": (
            "ddf_resnet50",
            [
                "dynet_resnet50",
                "condconv_resnet50",
                "dwcondconv_resnet50",
                "dwweightnet_resnet50",
            ],
        ),
    }
    rows = e.paper.table("table4").rows
    effects = []
    for backbone, (method, rivals) in blocks.items():
        arch = backbone.lower().replace("-", "")
        others = [row for row in rows if row.values["arch"] == arch and row.system != method]
        others = [row for row in others if not row.id.endswith("_base")]
        mine = number(f"ddf.table4.{_row_of(rows, method).id}.top1")
        size = round(mine - max(_numbers(others, "top1")), 6)
        name = f"top-1, DDF − any other dynamic filter ({backbone})"
        effects.append(e.lead(name, method, rivals, size=size, family=COMPARISON))
    return effects


def _worse_than_channel_only(e: Evidence) -> list[Effect]:
    name, size = "top-1, channel only − DwWeightNet", e.claim.size()
    mine, other = "ddf_channel_only", "dwweightnet_resnet50"
    return [e.accuracy_gain(name, mine, other, size=size, family=COMPARISON)]


def _best_and_cheapest_of_table_5(e: Evidence) -> list[Effect]:
    rows = own_tables.ddf_table5().rows
    effects = []
    for depth in ("resnet50", "resnet101"):
        block = [row for row in rows if row.block == depth and row.system != f"ddf_{depth}"]
        effects.append(_ahead_of_table_5(e, depth, block))
        for cost, column, name in (("params", "params_m", "params"), ("macs", "flops_g", "FLOPs")):
            printed = number(f"ddf.table5.ddf_{depth}.{column}"), min(_numbers(block, column))
            systems = [row.system for row in block]
            effects.append(
                e.counted(
                    f"{name} of DDF over the lowest other's ({e.paper.system(depth).name})",
                    lambda r, cost=cost, depth=depth, systems=systems: (  # type: ignore[misc]
                        r.cost(f"ddf_{depth}")[cost] / min(r.cost(s)[cost] for s in systems)
                    ),
                    Direction(above=False, size=quotient(*printed), null=1.0),
                    paper=round(printed[0] / printed[1], 3),
                )
            )
    return effects


def _ahead_of_table_5(e: Evidence, depth: str, block: Sequence[Row]) -> Effect:
    printed = [*_numbers(block, "top1"), *_numbers(block, "top1_official")]
    size = round(number(f"ddf.table5.ddf_{depth}.top1_official") - max(printed), 6)
    name = f"top-1, DDF − any other ({e.paper.system(depth).name})"
    rivals = [row.system for row in block]
    return e.lead(name, f"ddf_{depth}", rivals, size=size, family=COMPARISON)


def _row_of(rows: Sequence[Row], system: str) -> Row:
    return next(row for row in rows if row.system == system)


def _numbers(rows: Sequence[Row], column: str) -> list[float]:
    """The figures that a column prints in some rows; an empty cell has none."""
    found = [row.values[column] for row in rows]
    return [float(value) for value in found if isinstance(value, int | float)]


TESTS: Mapping[str, Test] = {
    "ddf.c02": _accuracy_of_resnet101,
    "ddf.c05": _resnet18,
    "ddf.c12": _best_dynamic_filter,
    "ddf.c13": _worse_than_channel_only,
    "ddf.c14": _best_and_cheapest_of_table_5,
}
