"""The verdict follows from the interval alone."""

from __future__ import annotations

import math

import pytest

from repro.papers import load
from repro.report.cells import Measured
from repro.report.verdicts import (
    Direction,
    Effect,
    Judgement,
    Verdict,
    Within,
    point,
    quotient,
    rounding,
    weakest,
)

GAIN = Direction(above=True, size=point(1.9))
LOSS = Direction(above=False, size=point(-2.8))


@pytest.mark.parametrize(
    ("expected", "interval", "verdict"),
    [
        (GAIN, (1.0, 2.5), Verdict.REPRODUCED),
        (GAIN, (0.2, 1.0), Verdict.DIRECTION_ONLY),
        (GAIN, (2.5, 4.0), Verdict.DIRECTION_ONLY),
        (GAIN, (-0.2, 2.5), Verdict.INCONCLUSIVE),  # covers the size, but zero as well
        (GAIN, (-2.0, -0.1), Verdict.NOT_REPRODUCED),
        (GAIN, (0.0, 0.0), Verdict.NOT_REPRODUCED),
        (LOSS, (-3.0, -1.0), Verdict.REPRODUCED),
        (LOSS, (-1.0, -0.5), Verdict.DIRECTION_ONLY),
        (LOSS, (-1.0, 0.5), Verdict.INCONCLUSIVE),
        (LOSS, (0.5, 1.0), Verdict.NOT_REPRODUCED),
        (Direction(above=True), (0.1, 9.0), Verdict.REPRODUCED),
        (Direction(above=False, size=(0.6, 0.7), null=1.0), (0.65, 0.65), Verdict.REPRODUCED),
        (Direction(above=False, size=(0.6, 0.7), null=1.0), (0.9, 0.95), Verdict.DIRECTION_ONLY),
        (Direction(above=False, null=1.0), (1.2, 1.3), Verdict.NOT_REPRODUCED),
        (Direction(above=True, null=1.0), (math.inf, math.inf), Verdict.REPRODUCED),
        (Within(-0.2, 0.2), (-0.1, 0.2), Verdict.REPRODUCED),
        (Within(-0.2, 0.2), (-0.1, 0.3), Verdict.INCONCLUSIVE),
        (Within(-0.2, 0.2), (0.3, 0.5), Verdict.NOT_REPRODUCED),
        (Within(low=100), (99, 99), Verdict.NOT_REPRODUCED),
    ],
)
def test_the_verdict_on_an_interval(expected, interval, verdict):
    counted = interval[0] == interval[1]
    effect = Effect("x", expected, ours=Measured(sum(interval) / 2, *interval, exact=counted))
    assert effect.verdict is verdict


@pytest.mark.parametrize("same", [-1.0, 0.0, 2.0])
def test_runs_without_any_scatter_decide_nothing(same):
    # Networks that all guess the same class differ by nothing, in every seed.
    assert Effect("x", GAIN, ours=Measured(same, same, same, 3)).verdict is Verdict.INCONCLUSIVE


def test_one_run_is_inconclusive_however_large_its_effect():
    assert Effect("x", GAIN, ours=Measured(50.0, None, None, 1)).verdict is Verdict.INCONCLUSIVE


def test_what_was_not_measured_was_not_tested():
    assert Effect("x", GAIN, reason="no run").verdict is Verdict.NOT_TESTED


@pytest.mark.parametrize(
    ("verdicts", "all_together"),
    [
        ([], Verdict.NOT_TESTED),
        ([Verdict.REPRODUCED, Verdict.REPRODUCED], Verdict.REPRODUCED),
        ([Verdict.REPRODUCED, Verdict.DIRECTION_ONLY], Verdict.DIRECTION_ONLY),
        ([Verdict.DIRECTION_ONLY, Verdict.INCONCLUSIVE], Verdict.INCONCLUSIVE),
        ([Verdict.INCONCLUSIVE, Verdict.NOT_TESTED], Verdict.NOT_TESTED),
        ([Verdict.NOT_TESTED, Verdict.NOT_REPRODUCED], Verdict.NOT_REPRODUCED),
    ],
)
def test_a_claim_is_as_good_as_its_weakest_part(verdicts, all_together):
    assert weakest(verdicts) is all_together


def test_reasons_are_said_once():
    effects = tuple(Effect(name, GAIN, reason="no run") for name in "ab")
    assert Judgement(load("ddf").claim("c08"), effects).why == "no run"


def test_a_printed_figure_stands_for_all_that_round_to_it():
    assert rounding(16.8) == pytest.approx((16.75, 16.85))
    assert rounding(25) == (24.5, 25.5)
    assert quotient(16.8, 25.6) == pytest.approx((16.75 / 25.65, 16.85 / 25.55))
