"""The claims of FDConv that Table 1's counts decide, and the gain of a classifier."""

from __future__ import annotations

from collections.abc import Mapping

from repro.report.claim_tests.printed import number
from repro.report.evidence import Evidence, Test
from repro.report.result_files import MissingResultError
from repro.report.results import Results
from repro.report.runs import COMPARISON
from repro.report.verdicts import Direction, Effect, Within, quotient, rounding

_ROWS = {
    "condconv": "faster_rcnn_condconv_8x",
    "dyconv": "faster_rcnn_dyconv_4x",
    "odconv": "faster_rcnn_odconv_4x",
    "dcd": "faster_rcnn_dcd",
    "fdconv": "faster_rcnn_fdconv",
}
_NAMES = {"condconv": "CondConv (8x)", "dyconv": "DY-Conv (4x)", "odconv": "ODConv (4x)"}
_BASIS = "counted exactly on the full-size backbones"
_BASIS_FLOPS = "counted exactly on the full-size backbones at 1280×800"


def _few_parameters(e: Evidence) -> list[Effect]:
    mine = _printed("fdconv", "params_delta_m")
    return [
        e.counted(
            f"params that FDConv adds over those of {name}",
            lambda r, rival=rival: (  # type: ignore[misc]
                _added(r, "fdconv", "params_delta_m") / _added(r, rival, "params_delta_m")
            ),
            Direction(False, quotient(mine, _printed(rival, "params_delta_m")), null=1.0),
            paper=e.claim.size(rival),
            basis=_BASIS,
        )
        for rival, name in _NAMES.items()
    ]


def _small_overhead(e: Evidence) -> list[Effect]:
    effects = []
    for detector, name in (("faster_rcnn", "Faster R-CNN"), ("mask_rcnn", "Mask R-CNN")):
        whole = number(f"fdconv.table1.{detector}_r50.flops_g")
        printed = number(f"fdconv.table1.{detector}_fdconv.flops_delta_g")
        effects.append(
            e.counted(
                f"FLOPs that FDConv adds over the printed ones of {name}",
                lambda r, whole=whole: _added(r, "fdconv", "flops_delta_g") / whole,  # type: ignore[misc]
                Within(0, quotient(printed, whole)[1]),
                paper=e.claim.size(detector),
                basis=_BASIS_FLOPS,
            )
        )
    return effects


def _most_operations(e: Evidence) -> list[Effect]:
    return [
        e.counted(
            f"G FLOPs that FDConv adds − those of {_NAMES.get(rival, 'DCD')}",
            lambda r, rival=rival: (  # type: ignore[misc]
                _added(r, "fdconv", "flops_delta_g") - _added(r, rival, "flops_delta_g")
            ),
            Direction(above=True),
            paper=round((e.claim.size("fdconv") or 0.0) - (e.claim.size(rival) or 0.0), 6),
            basis=_BASIS_FLOPS,
        )
        for rival in ("odconv", "dyconv", "dcd", "condconv")
    ]


def _helps_classification(e: Evidence) -> list[Effect]:
    name, mine, base = "top-1, FDConv − base (ResNet-50)", "fdconv_resnet50", "resnet50"
    return [e.accuracy_gain(name, mine, base, size=None, family=COMPARISON)]


def _added_parameters(e: Evidence) -> list[Effect]:
    return [
        e.counted(
            "M params that FDConv adds in all 48 convolutions, 64 groups",
            lambda r: _added(r, "fdconv", "params_delta_m"),
            Within(*rounding(e.claim.size("paper") or 0.0)),
            paper=e.claim.size("paper"),
            basis=_BASIS,
        )
    ]


def _printed(layer: str, column: str) -> float:
    return number(f"fdconv.table1.{_ROWS[layer]}.{column}")


def _added(results: Results, layer: str, column: str) -> float:
    rows = results.printed_rows("fdconv.table1")
    if _ROWS[layer] not in rows:
        raise MissingResultError(f"printed_costs.json has no row {_ROWS[layer]}")
    return rows[_ROWS[layer]].costs[column].counted


TESTS: Mapping[str, Test] = {
    "fdconv.f03": _few_parameters,
    "fdconv.f08": _small_overhead,
    "fdconv.f09": _most_operations,
    "fdconv.f25": _helps_classification,
    "fdconv.f27": _added_parameters,
}
