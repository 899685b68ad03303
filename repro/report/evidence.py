"""From a results tree to the effects claims are judged by; what is missing becomes a reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from repro.papers import Claim, Paper
from repro.report.cells import Measured
from repro.report.columns import difference, ratio
from repro.report.measurements import Timing
from repro.report.notes import describe_runs
from repro.report.result_files import MissingResultError
from repro.report.results import Results
from repro.report.runs import CLASSIFICATION, DDF_ABLATION, RunFamily
from repro.report.verdicts import Direction, Effect, Within, point, weakest
from repro.stats import Estimate, mean_interval

Expectation = Direction | Within


@dataclass(frozen=True)
class Evidence:
    """What there is to judge one claim by."""

    paper: Paper
    claim: Claim
    results: Results

    def accuracy_gain(
        self,
        name: str,
        method: str,
        base: str,
        *,
        size: float | None,
        above: bool = True,
        family: RunFamily = CLASSIFICATION,
        metric: str = "top1",
    ) -> Effect:
        """`metric` of `method` minus that of `base`, paired by seed."""
        expected = Direction(above, point(size))
        return self._paired(name, method, base, expected, size, family, metric)

    def tie(
        self,
        name: str,
        method: str,
        base: str,
        *,
        at_most: float,
        paper: float | None,
        family: RunFamily,
        metric: str,
    ) -> Effect:
        """`metric` of `method` minus that of `base`, which the claim says is nought or small."""
        within = Within(-at_most, at_most)
        return self._paired(name, method, base, within, paper, family, metric)

    def lead(
        self,
        name: str,
        method: str,
        rivals: Sequence[str],
        *,
        size: float,
        family: RunFamily,
        metric: str = "top1",
    ) -> Effect:
        """`metric` of `method` minus that of the rival that speaks most against the claim.

        It leads if it is ahead of every rival; see `together` and `least_favourable`.
        """
        expected = Direction(above=True, size=point(size))
        confidence = together(rivals)
        try:
            run = self.results.run(family, method)
            others = [self.results.run(family, rival) for rival in rivals]
        except MissingResultError as error:
            return Effect(name, expected, size, reason=str(error))
        basis = describe_runs(run.details, len(run.seeds))
        leads = {other.method: difference(run, other, metric, confidence) for other in others}
        return least_favourable(name, expected, size, basis, leads)

    def accuracy_change(self, name: str, method: str, base: str, *, at_most: float) -> Effect:
        """Top-1 of `method` minus top-1 of `base`, which the claim says is small."""
        printed = self._printed_change(method, base)
        return self.tie(
            name,
            method,
            base,
            at_most=at_most,
            paper=printed,
            family=CLASSIFICATION,
            metric="top1",
        )

    def counted(
        self,
        name: str,
        count: Callable[[Results], float],
        expected: Expectation,
        *,
        paper: float | None = None,
        basis: str = "counted exactly on the full-size networks",
    ) -> Effect:
        """A quantity without chance in it."""
        try:
            value = count(self.results)
        except MissingResultError as error:
            return Effect(name, expected, paper, reason=str(error))
        return Effect(name, expected, paper, Measured.counted(value), basis)

    def timed_ratio(
        self, name: str, op: str, over: str, expected: Direction, *, paper: float, latency: bool
    ) -> Effect:
        """Latency or peak memory of one layer of Table 2 over another's."""
        try:
            mine, other = self.results.timing(op), self.results.timing(over)
        except MissingResultError as error:
            return Effect(name, expected, paper, reason=str(error))
        return Effect(
            name, expected, paper, ratio(mine, other, latency=latency), timing_basis(mine)
        )

    def growth(self, name: str, metric: str, method: str, base: str) -> Effect:
        """How many times larger `metric` is for an ablation variant: the ratio's geometric mean.

        A seed in which the variant broke down has no figure; where all did, that is the finding.
        """
        expected = Direction(above=True, null=1.0)
        try:
            run = self.results.run(DDF_ABLATION, method)
            reference = self.results.run(DDF_ABLATION, base)
        except MissingResultError as error:
            return Effect(name, expected, reason=str(error))
        mine, other = run.figures(metric), reference.figures(metric)
        basis = describe_runs(run.details, len(run.seeds))
        common = sorted(mine.keys() & other.keys())
        if not mine and other:
            return Effect(name, expected, None, Measured.counted(math.inf), basis)
        if not common:
            return Effect(name, expected, reason=f"{run.path} has no seed that finished in both")
        logs = mean_interval([math.log(mine[s]) - math.log(other[s]) for s in common])
        low, high = (None if end is None else math.exp(end) for end in (logs.low, logs.high))
        return Effect(name, expected, None, Measured(math.exp(logs.mean), low, high, logs.n), basis)

    def _paired(
        self,
        name: str,
        method: str,
        base: str,
        expected: Expectation,
        size: float | None,
        family: RunFamily,
        metric: str,
    ) -> Effect:
        try:
            run, reference = self.results.run(family, method), self.results.run(family, base)
        except MissingResultError as error:
            return Effect(name, expected, size, reason=str(error))
        estimate = difference(run, reference, metric)
        if estimate is None:
            return Effect(name, expected, size, reason=f"no seed of {method} and {base} finished")
        basis = describe_runs(run.details, estimate.n)
        return Effect(name, expected, size, Measured.estimated(estimate), basis)

    def _printed_change(self, method: str, base: str) -> float | None:
        table = self.paper.table(self.claim.rests_on[0])
        ends = [table.row_of_system(system).values["top1"] for system in (method, base)]
        mine, other = (end for end in ends if isinstance(end, int | float))
        return round(mine - other, 6)


Test = Callable[[Evidence], list[Effect]]


def together(rivals: Sequence[str]) -> float:
    """The confidence of one interval that lets those of all rivals hold together (Bonferroni)."""
    return 1 - 0.05 / len(rivals)


def least_favourable(
    name: str,
    expected: Direction,
    size: float | None,
    basis: str,
    leads: Mapping[str, Estimate | None],
) -> Effect:
    """Of the leads over several rivals, the one that speaks most against the claim.

    It may be picked by what the runs say, since the intervals hold together. The claimed size is
    that of the smallest lead: it is judged only where there is a lead over every rival.

    Args:
        leads: rival -> how far ahead of it, at the confidence that `together` gives; None where no
            seed finished in both.
    """
    confidence = together([*leads])
    basis += f", intervals at {confidence:.1%} for {len(leads)} rivals"
    sides = []
    for rival, estimate in leads.items():
        if estimate is None:
            return Effect(name, expected, size, reason="a rival has no seed that finished in both")
        side = replace(expected, size=None)
        ours = Measured.estimated(estimate)
        sides.append((estimate.mean, Effect(f"{name}: {rival}", side, size, ours, basis)))
    weak = weakest(effect.verdict for _, effect in sides)
    weak_ones = (pair for pair in sides if pair[1].verdict is weak)
    return replace(min(weak_ones, key=lambda pair: pair[0])[1], expected=expected)


def timing_basis(timing: Timing) -> str:
    """Where a layer was timed, and on what."""
    return f"{timing.device}, input {timing.shape}, {timing.dtype}"
