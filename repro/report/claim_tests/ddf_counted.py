"""The claims of DDF that are settled by counting: parameters, FLOPs, generated filters."""

from __future__ import annotations

import math
from collections.abc import Mapping

from repro.papers import value
from repro.report.claim_tests.printed import number
from repro.report.complexity import SIZE, at_size, predicted, slope, sweep
from repro.report.evidence import Evidence, Test
from repro.report.result_files import MissingResultError
from repro.report.results import Results
from repro.report.verdicts import Direction, Effect, Within, quotient

_ON_LAYERS = "counted on the built layers"


def _flops_saved(e: Evidence) -> list[Effect]:
    return [_saving(e, "FLOPs", "flops_g", "macs", depth) for depth in ("resnet50", "resnet101")]


def _params_saved(e: Evidence) -> list[Effect]:
    return [_saving(e, "params", "params_m", "params", d) for d in ("resnet50", "resnet101")]


def _flops_unchanged(e: Evidence) -> list[Effect]:
    wide, narrow = "ddf_resnet50_sigma_0p4", "ddf_resnet50"
    return [
        e.counted(
            "growth of FLOPs, σ = 0.2 to 0.4",
            lambda r: r.cost(wide)["macs"] / r.cost(narrow)["macs"] - 1,
            Within(high=0.002),  # the fact sheet's test
            paper=e.claim.size(),
        )
    ]


def _fewer_params_than_conv(e: Evidence) -> list[Effect]:
    size = e.claim.size() or 0.0
    # The layer rounds its hidden width sigma * c down: up to (1 + k²) c weights fewer than the
    # formula, of the convolution's c² k².
    rounded_away = (1 + SIZE.kernel_size**2) / (SIZE.channels * SIZE.kernel_size**2)
    return [
        e.counted(
            "weights of DDF over those of a convolution, c = 256, k = 3",
            lambda r: at_size(r.counts(), "ddf").params / at_size(r.counts(), "conv").params,
            Direction(above=False, size=(size - rounded_away, size), null=1.0),
            paper=size,
            basis=_ON_LAYERS,
        ),
        e.counted(
            "largest distance of counted weights from Table 1, where σc is whole",
            _largest_formula_error,
            Within(0, 1e-9),  # the formula is evaluated in floating point
            paper=0.0,
            basis=_ON_LAYERS,
        ),
    ]


def _linear_in_channels(e: Evidence) -> list[Effect]:
    wanted = {"ddf": 1, "dwconv": 1, "conv": 2}
    return [
        e.counted(
            f"exponent of c in the MACs of {e.paper.system(system).name}",
            lambda r, system=system: slope(  # type: ignore[misc]
                [(c.channels, c.macs) for c in sweep(r.counts(), system, "channels")]
            ),
            Within(exponent - 0.1, exponent + 0.1),
            paper=exponent,
            basis=_ON_LAYERS,
        )
        for system, exponent in wanted.items()
    ]


def _full_filters_cost_c_squared(e: Evidence) -> list[Effect]:
    def exponent(results: Results) -> float:
        full = sweep(results.counts(), "dyfilter", "channels")
        ours = {c.channels: c.macs for c in sweep(results.counts(), "ddf", "channels")}
        return slope([(c.channels, c.macs / ours[c.channels]) for c in full if c.channels in ours])

    name, basis = "exponent of c in MACs, full dynamic over DDF", _ON_LAYERS
    return [e.counted(name, exponent, Within(1.8, 2.2), paper=2.0, basis=basis)]


def _filter_space(e: Evidence) -> list[Effect]:
    def least_saving(results: Results) -> float:
        counts = [c for c in results.counts() if c.channels >= 64 and c.filter_values]
        values = {(c.system, c.channels, c.kernel_size, c.pixels): c.filter_values for c in counts}
        ratios = [
            (values.get(("dyfilter", *key[1:])) or math.inf) / (count or 1)
            for key, count in values.items()
            if key[0] == "ddf"
        ]
        finite = [ratio for ratio in ratios if ratio < math.inf]
        if not finite:
            raise MissingResultError("complexity.json has no count of both at c of 64 or more")
        return min(finite)

    def largest_error(results: Results) -> float:
        counts = [c for c in results.counts() if c.system == "ddf"]
        formula = str(value("ddf.table1.ddf.space"))
        return max(abs((c.filter_values or 0) / predicted(formula, c) - 1) for c in counts)

    basis = _ON_LAYERS
    return [
        e.counted("distance from (n + c) k²", largest_error, Within(0, 1e-9), paper=0, basis=basis),
        e.counted(
            "full dynamic filters over DDF's, least saving at c of 64 or more",
            least_saving,
            Within(low=100),  # "hundreds to thousands"
            basis=basis,
        ),
    ]


def _equals_attention(e: Evidence) -> list[Effect]:
    name = "largest difference of the op from the unfolded form, in units of its budget"
    basis = "a float64 comparison in notebook 10"
    return [
        e.counted(
            name,
            lambda r: (
                r.check("unfold_equals_op")["max_abs_error"]
                / r.check("unfold_equals_op")["tolerance"]
            ),
            Within(0, 1),
            paper=e.claim.size(),
            basis=basis,
        )
    ]


def _saving(e: Evidence, name: str, column: str, cost: str, base: str) -> Effect:
    low, high = quotient(
        number(f"ddf.table5.ddf_{base}.{column}"), number(f"ddf.table5.{base}.{column}")
    )
    printed = e.claim.size(base) or 0.0
    saved = printed if cost == "macs" else 1 - printed  # c04 states what is left, c03 what is saved
    return e.counted(
        f"{name} saved in {e.paper.system(base).name}",
        lambda r: 1 - r.cost(f"ddf_{base}")[cost] / r.cost(base)[cost],
        Direction(above=True, size=(1 - high, 1 - low)),
        paper=round(saved, 6),
    )


def _largest_formula_error(results: Results) -> float:
    errors = []
    for count in results.counts():
        hidden = (count.squeeze_ratio or 0.0) * count.channels
        if abs(hidden - round(hidden)) < 1e-9:
            formula = str(value(f"ddf.table1.{count.system}.params"))
            errors.append(abs(count.params / predicted(formula, count) - 1))
    return max(errors)


TESTS: Mapping[str, Test] = {
    "ddf.c03": _flops_saved,
    "ddf.c04": _params_saved,
    "ddf.c11": _flops_unchanged,
    "ddf.c15": _fewer_params_than_conv,
    "ddf.c16": _linear_in_channels,
    "ddf.c17": _full_filters_cost_c_squared,
    "ddf.c21": _filter_space,
    "ddf.c22": _equals_attention,
}
