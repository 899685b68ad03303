"""The claims on detection: Table 6 of DDF, Tables 1 and 3 of FDConv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from repro.report.cells import Measured
from repro.report.claim_tests.printed import number
from repro.report.detection_notes import blind_floor
from repro.report.evidence import Evidence, Test
from repro.report.notes import describe_runs
from repro.report.result_files import BrokenResultError, MissingResultError
from repro.report.results import Results
from repro.report.runs import DETECTION
from repro.report.verdicts import Direction, Effect, Within, point, quotient
from repro.stats import mean_interval

# The papers call detectors equal that are 0.0 to 0.1 points apart. No handful of runs resolves so
# little, so a claimed tie holds if the whole interval lies within half a point of nought.
TIE = 0.5
# So many points of AP above boxes that ignore the image must the best of the compared reach; below,
# all detectors are equally bad, and every tie would hold.
LEARNT = 5.0

_BASE = "faster_rcnn_r50"
_FASTER = {
    "condconv": "faster_rcnn_condconv_8x",
    "dyconv": "faster_rcnn_dyconv_4x",
    "dcd": "faster_rcnn_dcd",
    "odconv": "faster_rcnn_odconv_4x",
    "fdconv": "faster_rcnn_fdconv",
}
_NAMES = {
    "condconv": "CondConv (8x)",
    "dyconv": "DY-Conv (4x)",
    "dcd": "DCD",
    "odconv": "ODConv (4x)",
    "fdconv": "FDConv",
}
_METRICS = {"box": "ap", "mask": "mask_ap"}
_BASIS = "counted exactly on the full-size networks"


def _improves_on_nearest(e: Evidence) -> list[Effect]:
    size = e.claim.size()
    return [_gain(e, "AP, DDF-Up − nearest", "ddf_up", "nearest", size)]


def _beats_static_upsamplers(e: Evidence) -> list[Effect]:
    return [
        _gain(e, f"AP, DDF-Up − {rival.replace('_', ' ')}", "ddf_up", rival, e.claim.size(rival))
        for rival in ("deconv", "pixel_shuffle")
    ]


def _on_par_with_carafe(e: Evidence) -> list[Effect]:
    def ratio(results: Results) -> float:
        mine, other = (_counted(results, "ddf.table6", row, "flops_g") for row in _PAIR)
        return mine / other

    return [
        _tie(e, "AP, DDF-Up − CARAFE", *_PAIR, e.claim.size("map_difference")),
        e.counted(
            "FLOPs of DDF-Up over CARAFE's",
            ratio,
            Within(0.25, 0.4),  # "about one third"; the printed figures give 0.27
            paper=e.claim.size("flops_ratio"),
            basis=_BASIS,
        ),
    ]


def _carafe_ahead_on_small(e: Evidence) -> list[Effect]:
    name, size = "AP of small objects, CARAFE − DDF-Up", e.claim.size()
    return [_gain(e, name, "carafe", "ddf_up", size, "ap_small")]


def _improves_faster_rcnn(e: Evidence) -> list[Effect]:
    return [_gain(e, "AP box, FDConv − base", _FASTER["fdconv"], _BASE, e.claim.size())]


def _best_in_faster_rcnn(e: Evidence) -> list[Effect]:
    rivals = [row for layer, row in _FASTER.items() if layer != "fdconv"]
    size = min(e.claim.size(f"over_{layer}") or 0.0 for layer in _FASTER if layer != "fdconv")
    name = "AP box, FDConv − any other dynamic convolution"
    lead = e.lead(name, _FASTER["fdconv"], rivals, size=size, family=DETECTION, metric="ap")
    return [_if_learnt(e, lead, [_FASTER["fdconv"], *rivals])]


def _beats_those_of_its_size(e: Evidence) -> list[Effect]:
    mine, rival = "mask_rcnn_fdconv", "mask_rcnn_kw_1x"
    return [
        _gain(
            e, "AP box, FDConv − DCD", _FASTER["fdconv"], _FASTER["dcd"], e.claim.size("dcd_box")
        ),
        *(
            _gain(e, f"AP {kind}, FDConv − KW (1x)", mine, rival, e.claim.size(f"kw1x_{kind}"), key)
            for kind, key in _METRICS.items()
        ),
    ]


def _improves_mask_rcnn(e: Evidence) -> list[Effect]:
    mine, base = "mask_rcnn_fdconv", "mask_rcnn_r50"
    return [
        _gain(e, f"AP {kind}, FDConv − base", mine, base, e.claim.size(kind), key)
        for kind, key in _METRICS.items()
    ]


def _ties_kw_4x(e: Evidence) -> list[Effect]:
    mine, rival = "mask_rcnn_fdconv", "mask_rcnn_kw_4x"
    printed = [number(f"fdconv.table1.{row}.params_delta_m") for row in (mine, rival)]
    masks = e.claim.size("mask")
    return [
        _tie(e, "AP box, FDConv − KW (4x)", mine, rival, e.claim.size("box")),
        _gain(e, "AP mask, FDConv − KW (4x)", mine, rival, masks, "mask_ap", above=False),
        e.counted(
            "params that FDConv adds over those of KW (4x)",
            lambda r: _added(r, mine) / _added(r, rival),
            Direction(False, quotient(*printed), null=1.0),
            paper=e.claim.size("params_ratio"),
            basis=_BASIS,
        ),
    ]


def _matches_odconv(e: Evidence) -> list[Effect]:
    mine, rival = "mask_rcnn_fdconv", "mask_rcnn_odconv_4x"
    return [
        _gain(e, "AP box, FDConv − ODConv (4x)", mine, rival, e.claim.size("box")),
        _tie(e, "AP mask, FDConv − ODConv (4x)", mine, rival, e.claim.size("mask"), "mask_ap"),
    ]


def _transfers_to_convnext(e: Evidence) -> list[Effect]:
    mine, rival = "mask_rcnn_convnext_t_fdconv", "mask_rcnn_convnext_t_kw"
    return [
        _gain(e, f"AP {kind}, FDConv − KW (ConvNeXt-T)", mine, rival, e.claim.size(kind), key)
        for kind, key in _METRICS.items()
    ]


def _works_in_swin(e: Evidence) -> list[Effect]:
    mine, base = "mask_rcnn_swin_t_fdconv", "mask_rcnn_swin_t"
    return [
        _gain(e, f"AP {kind}, FDConv − base (Swin-T)", mine, base, None, key)
        for kind, key in _METRICS.items()
    ]


def _gain_for_each_parameter(e: Evidence) -> list[Effect]:
    return [_gain_a_million(e, rival) for rival in ("condconv", "dyconv", "odconv")]


def _gain_a_million(e: Evidence, rival: str) -> Effect:
    """Box AP gained for each added million of parameters, FDConv's less a rival's."""
    name = f"AP box gained a million added params, FDConv − {_NAMES[rival]}"
    size = round((e.claim.size("fdconv") or 0.0) - (e.claim.size(rival) or 0.0), 6)
    expected = Direction(True, point(size))
    rows = [_FASTER["fdconv"], _FASTER[rival], _BASE]
    try:
        runs = [e.results.run(DETECTION, row) for row in rows]
        mine, other, base = (run.figures("ap") for run in runs)
        added, others_added = (_added(e.results, row) for row in rows[:2])
    except MissingResultError as error:
        return Effect(name, expected, size, reason=str(error))
    common = sorted(mine.keys() & other.keys() & base.keys())
    if not common:
        return Effect(name, expected, size, reason=f"no seed of {', '.join(rows)} finished")
    ours = [
        (mine[seed] - base[seed]) / added - (other[seed] - base[seed]) / others_added
        for seed in common
    ]
    basis = describe_runs(runs[0].details, len(common))
    effect = Effect(name, expected, size, Measured.estimated(mean_interval(ours)), basis)
    return _if_learnt(e, effect, rows)


def _gain(
    e: Evidence,
    name: str,
    method: str,
    base: str,
    size: float | None,
    metric: str = "ap",
    *,
    above: bool = True,
) -> Effect:
    effect = e.accuracy_gain(
        name, method, base, size=size, above=above, family=DETECTION, metric=metric
    )
    return _if_learnt(e, effect, [method, base])


def _tie(
    e: Evidence, name: str, method: str, base: str, paper: float | None, metric: str = "ap"
) -> Effect:
    effect = e.tie(name, method, base, at_most=TIE, paper=paper, family=DETECTION, metric=metric)
    return _if_learnt(e, effect, [method, base])


def _if_learnt(e: Evidence, effect: Effect, rows: Sequence[str]) -> Effect:
    """The effect, or why none can be seen: no row of the compared learnt to detect."""
    if effect.ours is None:
        return effect
    runs = [e.results.run(DETECTION, row) for row in rows]
    means = [mean(figures) for run in runs if (figures := run.figures("ap").values())]
    floor = blind_floor(runs[0]) or 0.0
    best = max(means, default=0.0)
    if best >= floor + LEARNT:
        return effect
    reason = (
        f"the best reaches an AP of {best:.2f} %, boxes that ignore the image {floor:.2f} %: too "
        "little was learnt to compare"
    )
    return Effect(effect.name, effect.expected, effect.paper, reason=reason)


def _added(results: Results, row: str) -> float:
    return _counted(results, "fdconv.table1", row, "params_delta_m")


def _counted(results: Results, table: str, row: str, column: str) -> float:
    rows = results.printed_rows(table)
    if row not in rows:
        raise MissingResultError(f"printed_costs.json has no row {row} of {table}")
    if column not in rows[row].costs:
        raise BrokenResultError(f"printed_costs.json: {table}.{row} lacks {column}")
    return rows[row].costs[column].counted


_PAIR = ("ddf_up", "carafe")

TESTS: Mapping[str, Test] = {
    "ddf.c25": _improves_on_nearest,
    "ddf.c26": _beats_static_upsamplers,
    "ddf.c27": _on_par_with_carafe,
    "ddf.c28": _carafe_ahead_on_small,
    "fdconv.f01": _improves_faster_rcnn,
    "fdconv.f02": _best_in_faster_rcnn,
    "fdconv.f04": _beats_those_of_its_size,
    "fdconv.f05": _improves_mask_rcnn,
    "fdconv.f06": _ties_kw_4x,
    "fdconv.f07": _matches_odconv,
    "fdconv.f11": _transfers_to_convnext,
    "fdconv.f12": _works_in_swin,
    "fdconv.f26": _gain_for_each_parameter,
}
