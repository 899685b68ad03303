"""The claims of DDF that rest on training: Tables 3(a) to 3(c), and the authors' repository."""

from __future__ import annotations

from collections.abc import Mapping

from repro.report.claim_tests.printed import number
from repro.report.evidence import Evidence, Test
from repro.report.runs import DDF_ABLATION
from repro.report.verdicts import Direction, Effect, quotient


def _accuracy_of_resnet50(e: Evidence) -> list[Effect]:
    size = e.claim.size()
    return [e.accuracy_gain("top-1, DDF − base", "ddf_resnet50", "resnet50", size=size)]


def _spatial_alone(e: Evidence) -> list[Effect]:
    size = e.claim.size()
    name, method = "top-1, spatial only − base", "ddf_spatial_only"
    return [e.accuracy_gain(name, method, "resnet50", size=size, above=False)]


def _channel_alone(e: Evidence) -> list[Effect]:
    size = e.claim.size("table_difference")  # the running text says 1.6, its table 1.5
    return [
        e.accuracy_gain("top-1, channel only − base", "ddf_channel_only", "resnet50", size=size)
    ]


def _both_beat_either(e: Evidence) -> list[Effect]:
    return [
        e.accuracy_gain(
            f"top-1, both − {part} only",
            "ddf_resnet50",
            f"ddf_{part}_only",
            size=e.claim.size(f"over_{part}"),
        )
        for part in ("channel", "spatial")
    ]


def _filter_norm_is_best(e: Evidence) -> list[Effect]:
    return [
        e.accuracy_gain(
            f"top-1, filter norm − {rival.replace('_', ' ')}",
            "ddf_resnet50",
            f"ddf_{rival}",
            size=e.claim.size(f"over_{rival}"),
        )
        for rival in ("sigmoid", "batch_norm")
    ]


def _squeeze_ratio(e: Evidence) -> list[Effect]:
    bound = e.claim.size("max_abs_change") or 0.0
    printed = [number(f"ddf.table3c.ddf_sigma_{s}.params_m") for s in ("0p4", "0p2")]
    low, high = quotient(*printed)
    wide, narrow = "ddf_resnet50_sigma_0p4", "ddf_resnet50"
    return [
        *(
            e.accuracy_change(
                f"top-1, σ = 0.{tenths} − σ = 0.2",
                f"ddf_resnet50_sigma_0p{tenths}",
                narrow,
                at_most=bound,
            )
            for tenths in (3, 4)
        ),
        e.counted(
            "growth of params, σ = 0.2 to 0.4",
            lambda r: r.cost(wide)["params"] / r.cost(narrow)["params"] - 1,
            Direction(above=True, size=(low - 1, high - 1)),
            paper=e.claim.size("params_growth_0p2_to_0p4"),
        ),
    ]


def _unstable_without_norm(e: Evidence) -> list[Effect]:
    name = "largest gradient norm, without over with filter norm"
    return [e.growth(name, "max_grad_norm", "ddf_no_norm", "ddf_resnet50")]


def _mul_beats_add(e: Evidence) -> list[Effect]:
    name, mul, add = "top-1, mul − add (ResNet-50)", "ddf_resnet50", "ddf_add_resnet50"
    return [e.accuracy_gain(name, mul, add, size=e.claim.size("resnet50"), family=DDF_ABLATION)]


TESTS: Mapping[str, Test] = {
    "ddf.c01": _accuracy_of_resnet50,
    "ddf.c06": _spatial_alone,
    "ddf.c07": _channel_alone,
    "ddf.c08": _both_beat_either,
    "ddf.c09": _filter_norm_is_best,
    "ddf.c10": _squeeze_ratio,
    "ddf.c24": _unstable_without_norm,
    "ddf.c34": _mul_beats_add,
}
