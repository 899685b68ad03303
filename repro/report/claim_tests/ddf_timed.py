"""The claims of DDF that rest on Table 2: latency and peak memory of one layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from repro.report.cells import Measured
from repro.report.claim_tests.printed import number
from repro.report.evidence import Evidence, Test, timing_basis
from repro.report.result_files import MissingResultError
from repro.report.verdicts import Direction, Effect, Within, quotient

_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


def _faster_than_conv_and_pac(e: Evidence) -> list[Effect]:
    return [_slowdown(e, rival, e.claim.size(f"{rival}_over_ddf")) for rival in ("conv", "pac")]


def _slower_than_depthwise(e: Evidence) -> list[Effect]:
    size = e.claim.size() or 0.0
    expected = Direction(True, (size, size), null=1.0)
    name = "latency, DDF over depth-wise"
    return [e.timed_ratio(name, "ddf", "dwconv", expected, paper=size, latency=True)]


def _memory_order(e: Evidence) -> list[Effect]:
    return [
        _memory(e, "dwconv", "ddf", above=False),
        _memory(e, "ddf", "conv", above=False),
        _memory(e, "pac", "ddf", above=True),
    ]


def _no_combined_filters(e: Evidence) -> list[Effect]:
    effects = []
    expectations = {"ddf": Within(high=1), "ddf_unfold": Within(low=1)}
    for op, expected in expectations.items():
        name = f"peak memory over one copy of all combined filters, {op.replace('_', ' ')}"
        try:
            timing = e.results.timing(op)
        except MissingResultError as error:
            effects.append(Effect(name, expected, reason=str(error)))
            continue
        sides = [int(side) for side in timing.shape.lower().split("x")]
        # c n k² values for every image; Table 2 has k = 3.
        combined_mib = math.prod(sides) * 9 * _BYTES[timing.dtype] / 2**20
        ours = Measured.counted(timing.peak_mib / combined_mib)
        effects.append(Effect(name, expected, ours=ours, basis=timing_basis(timing)))
    return effects


def _slowdown(e: Evidence, rival: str, size: float | None) -> Effect:
    claimed = size or 0.0
    name = f"latency, {e.paper.system(rival).name} over DDF"
    expected = Direction(True, (claimed, claimed), null=1.0)
    return e.timed_ratio(name, rival, "ddf", expected, paper=claimed, latency=True)


def _memory(e: Evidence, op: str, over: str, *, above: bool) -> Effect:
    printed = [number(f"ddf.table2.{row}.memory_m") for row in (op, over)]
    names = [e.paper.system(system).name for system in (op, over)]
    return e.timed_ratio(
        f"peak memory, {names[0]} over {names[1]}",
        op,
        over,
        Direction(above, quotient(*printed), null=1.0),
        paper=round(printed[0] / printed[1], 3),
        latency=False,
    )


TESTS: Mapping[str, Test] = {
    "ddf.c18": _faster_than_conv_and_pac,
    "ddf.c19": _slower_than_depthwise,
    "ddf.c20": _memory_order,
    "ddf.c23": _no_combined_filters,
}
