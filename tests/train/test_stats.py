"""Intervals over seeds, against scipy's own."""

import math

import numpy as np
import pytest
from scipy import stats

from repro.stats import Estimate, by_seed, mean_interval, paired_difference

RUNS = [70.1, 71.4, 69.8, 70.9, 72.0]


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_interval_is_scipys_t_interval(n, confidence):
    estimate = mean_interval(RUNS[:n], confidence)
    low, high = stats.t.interval(confidence, n - 1, np.mean(RUNS[:n]), stats.sem(RUNS[:n]))
    np.testing.assert_allclose([estimate.low, estimate.high], [low, high], rtol=1e-12)
    assert estimate.mean == pytest.approx(np.mean(RUNS[:n]))
    assert estimate.n == n


def test_paired_difference_agrees_with_scipys_paired_t_test():
    a = dict(enumerate(RUNS))
    b = dict(enumerate([69.0, 70.9, 69.9, 70.1, 70.2]))
    estimate = paired_difference(a, b)
    expected = stats.ttest_rel(list(a.values()), list(b.values())).confidence_interval(0.95)
    np.testing.assert_allclose([estimate.low, estimate.high], [expected.low, expected.high])


def test_pairing_is_by_seed_not_by_order():
    a = {0: 10.0, 1: 20.0, 2: 30.0}
    b = {2: 29.0, 0: 9.0, 1: 19.0}
    assert paired_difference(a, b) == Estimate(1.0, 1.0, 1.0, 3)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    samples = rng.normal(3.0, 2.0, size=(4000, 3))
    intervals = [mean_interval(list(sample)) for sample in samples]
    covered = np.mean([interval.low <= 3.0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_one_run_has_no_interval_and_says_so():
    estimate = mean_interval([70.0])
    assert (estimate.low, estimate.high, estimate.half_width) == (None, None, None)
    assert "no interval" in str(estimate)


def test_several_runs_print_their_spread():
    assert str(mean_interval([1.0, 1.0, 1.0])) == "1.00 ± 0.00 (n=3)"


def test_seeds_without_partner_are_named():
    with pytest.raises(ValueError, match=r"only in a: \[1\], only in b: \[3\]"):
        paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 3: 2.0})


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, None], [math.inf, 1.0]])
def test_values_that_say_nothing_are_refused(values):
    with pytest.raises(ValueError, match=r"at least one value|must be finite"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_out_of_range_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        mean_interval([1.0, 2.0], confidence)


def test_by_seed_refuses_what_does_not_pair():
    assert by_seed([0, 1], [5.0, 6.0]) == {0: 5.0, 1: 6.0}
    with pytest.raises(ValueError, match="2 seeds but 1 values"):
        by_seed([0, 1], [5.0])
    with pytest.raises(ValueError, match="each seed must come once"):
        by_seed([0, 0], [5.0, 6.0])
