"""The claims of DDF on joint depth upsampling: Table 7, Figure 7, and the layers' cost."""

from __future__ import annotations

from collections.abc import Mapping

from repro.papers import load
from repro.report.cells import Measured
from repro.report.claim_tests.printed import number
from repro.report.depth_errors import PAPER_UNIT, error_difference, error_key, unit_of
from repro.report.depth_notes import describe
from repro.report.evidence import Evidence, Test, least_favourable, together
from repro.report.result_files import MissingResultError
from repro.report.runs import JOINT_UPSAMPLING, Run
from repro.report.verdicts import Direction, Effect, Within, point

_MINE, _BASE = "ddf_up_net", "pac_net"
_FACTORS = (4, 8, 16)


def _lowest_error(e: Evidence) -> list[Effect]:
    rivals = [row.system for row in load("ddf").table("table7").rows if row.system != _MINE]
    effects = []
    for factor in _FACTORS:
        printed = [number(f"ddf.table7.{rival}.{error_key(factor)}") for rival in rivals]
        size = round(min(printed) - number(f"ddf.table7.{_MINE}.{error_key(factor)}"), 6)
        name = f"RMSE, any other − DDF-Up-Net, {factor}×"
        try:
            run = e.results.run(JOINT_UPSAMPLING, _MINE)
            leads = {
                rival: error_difference(
                    e.results, JOINT_UPSAMPLING, rival, _MINE, factor, confidence=together(rivals)
                )
                for rival in rivals
            }
        except MissingResultError as error:
            effects.append(Effect(name, Direction(True, point(size)), size, reason=str(error)))
            continue
        expected = Direction(True, point(size), same_unit=unit_of(run) == PAPER_UNIT)
        basis = describe(run.details, len(run.seeds))
        effects.append(least_favourable(f"{name}{_units(run)}", expected, size, basis, leads))
    return effects


def _better_than_pac_net(e: Evidence) -> list[Effect]:
    return [
        _gain(e, f"RMSE, PAC-Net − DDF-Up-Net, {factor}×", factor, size=e.claim.size(f"x{factor}"))
        for factor in _FACTORS
    ]


def _finer_detail(e: Evidence) -> list[Effect]:
    return [_gain(e, "RMSE at depth edges, PAC-Net − DDF-Up-Net, 16×", 16, edge=True)]


def _less_compute(e: Evidence) -> list[Effect]:
    size = e.claim.size("latency_ratio") or 0.0
    return [
        e.timed_ratio(
            "latency, PAC's upsampling layer over DDF-Up",
            "pac_up",
            "ddf_up",
            Direction(True, point(size), null=1.0),
            paper=size,
            latency=True,
        ),
        e.counted(
            "MACs, PAC's upsampling layer over DDF-Up",
            lambda r: r.cost("pac_up_layer")["macs"] / r.cost("ddf_up_layer")["macs"],
            Within(low=10),  # "about ten times", read as ten or more
            basis="counted exactly on the layers, 256 channels, 200×300 to 400×600",
        ),
    ]


def _gain(
    e: Evidence, name: str, factor: int, *, size: float | None = None, edge: bool = False
) -> Effect:
    """The error of PAC-Net minus that of DDF-Up-Net."""
    expected = Direction(True, point(size))
    try:
        run = e.results.run(JOINT_UPSAMPLING, _MINE)
        found = error_difference(
            e.results, JOINT_UPSAMPLING, _BASE, _MINE, factor=factor, edge=edge
        )
    except MissingResultError as error:
        return Effect(name, expected, size, reason=str(error))
    if found is None:
        reason = f"no seed of {_BASE} and {_MINE} finished"
        return Effect(name, expected, size, reason=reason)
    expected = Direction(True, point(size), same_unit=unit_of(run) == PAPER_UNIT)
    basis = describe(run.details, found.n)
    return Effect(
        f"{name}{_units(run, printed=size is not None)}",
        expected,
        size,
        Measured.estimated(found),
        basis,
    )


def _units(run: Run, *, printed: bool = True) -> str:
    """What stands behind the name of an effect: " (cm)", " (ours in px, the paper's in cm)"."""
    unit = unit_of(run)
    if unit == PAPER_UNIT or not printed:
        return f" ({unit})"
    return f" (ours in {unit}, the paper's in {PAPER_UNIT})"


TESTS: Mapping[str, Test] = {
    "ddf.c29": _lowest_error,
    "ddf.c30": _better_than_pac_net,
    "ddf.c31": _less_compute,
    "ddf.c32": _finer_detail,
}
