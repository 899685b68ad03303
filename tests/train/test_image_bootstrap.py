"""The bootstrap over images and seeds, against cases whose answer is known."""

import math

import numpy as np
import pytest

from repro.stats import image_bootstrap, mean_interval

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(5.0, 1.0, 60)
SEEDS = np.array([0.3, -0.1, 0.2])


@pytest.mark.parametrize("confidence", [0.95, 0.995])
def test_where_all_images_agree_it_is_students_interval(confidence):
    a = np.tile(SEEDS[:, None], (1, 60)) + IMAGES
    found = image_bootstrap(a, np.tile(IMAGES, (3, 1)), confidence=confidence, replicates=200_000)
    expected = mean_interval(list(SEEDS), confidence)
    assert found.mean == pytest.approx(expected.mean)
    assert found.n == 3
    # The quantiles of 200,000 draws: within 6 % where the tails are that heavy.
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], rtol=0.06)


def test_where_all_seeds_agree_it_is_the_plain_bootstrap_of_images():
    differences = RNG.normal(0.5, 2.0, 60)
    seeds = np.zeros((4, 1))
    found = image_bootstrap(IMAGES + differences + seeds, IMAGES + seeds, replicates=50_000)
    drawn = np.random.default_rng(7).choice(differences, size=(50_000, 60)).mean(1)
    np.testing.assert_allclose(
        [found.low, found.high], np.quantile(drawn, [0.025, 0.975]), atol=0.02
    )
    assert found.mean == pytest.approx(differences.mean())


def test_two_methods_without_seeds_have_an_interval_over_images():
    found = image_bootstrap(IMAGES + 1, IMAGES)
    assert (found.mean, found.low, found.high) == pytest.approx((1, 1, 1))
    assert image_bootstrap(IMAGES, 5 + RNG.normal(0, 1, 60)).low is not None


def test_a_method_without_seeds_stands_beside_every_seed():
    seeded = IMAGES + SEEDS[:, None]
    found = image_bootstrap(seeded, IMAGES + 1)
    repeated = image_bootstrap(seeded, np.tile(IMAGES + 1, (3, 1)))
    assert (found.low, found.high) == pytest.approx((repeated.low, repeated.high))
    assert found.mean == pytest.approx(SEEDS.mean() - 1)


def test_images_and_seeds_are_paired():
    hard_images = RNG.normal(0, 100, 60)
    a, b = hard_images + 1 + SEEDS[:, None], hard_images + SEEDS[:, None]
    found = image_bootstrap(a, b)
    assert (found.low, found.high) == pytest.approx((1, 1))


def test_pooled_errors_are_the_root_of_the_mean_square_over_pixels():
    a, b, pixels = np.array([[3.0, 1.0], [2.0, 2.0]]), np.array([1.0, 1.0]), [100, 300]
    roots = [math.sqrt((100 * 9 + 300 * 1) / 400), 2.0]
    found = image_bootstrap(a, b, pixels=pixels)
    assert found.mean == pytest.approx(np.mean(roots) - 1)
    averaged = image_bootstrap(a, b)
    assert averaged.mean == pytest.approx(1.0)


def test_pooled_replicates_resample_images_with_their_pixels():
    # A replicate has image 0 twice (error 1), image 1 twice (error 3), or, half the time, both.
    errors, pixels = np.array([1.0, 3.0]), [1, 9]
    both = math.sqrt((1 * 1 + 9 * 9) / 10)
    middle = image_bootstrap(errors, np.zeros(2), pixels=pixels, confidence=0.4)
    assert (middle.mean, middle.low, middle.high) == pytest.approx((both, both, both))
    wide = image_bootstrap(errors, np.zeros(2), pixels=pixels, confidence=0.9)
    assert (wide.low, wide.high) == pytest.approx((1.0, 3.0))


@pytest.mark.parametrize(
    ("seeds", "images", "of_seeds", "of_images", "of_both"),
    [(3, 60, 1.0, 0.0, 0.0), (0, 80, 0.0, 1.0, 0.0), (3, 60, 1.0, 0.5, 0.2), (12, 80, 0.3, 1, 0.2)],
    ids=["seeds alone", "images alone", "mostly seeds", "many seeds"],
)
def test_it_covers_the_truth_as_often_as_it_says(seeds, images, of_seeds, of_images, of_both):
    rng, trials, covered = np.random.default_rng(1), 1000, 0
    for _ in range(trials):
        differences = rng.normal(0, of_images, images)
        if seeds:
            between = rng.normal(0, of_seeds, (seeds, 1))
            differences = 2 + differences + between + rng.normal(0, of_both, (seeds, images))
        found = image_bootstrap(differences, np.zeros(images), replicates=800)
        truth = 2 if seeds else 0
        covered += found.low <= truth <= found.high
    monte_carlo = 4 * math.sqrt(0.95 * 0.05 / trials)
    assert covered / trials == pytest.approx(0.95, abs=monte_carlo)


def test_the_same_seed_gives_the_same_interval():
    a, b = IMAGES + SEEDS[:, None], RNG.normal(5, 1, 60)
    assert image_bootstrap(a, b) == image_bootstrap(a, b)
    other = image_bootstrap(a, b, seed=1)
    assert other.mean == image_bootstrap(a, b).mean
    assert other.low != image_bootstrap(a, b).low


def test_one_seed_or_one_image_has_no_interval():
    for a in (IMAGES[None] + 1, np.ones((3, 1))):
        found = image_bootstrap(a, np.zeros(a.shape[1]))
        assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("a", "b", "changes", "message"),
    [
        (np.ones((3, 4)), np.ones((2, 4)), {}, "the same seeds, got 3 and 2"),
        (np.ones((3, 4)), np.ones(5), {}, "the same images, got 4 and 5"),
        (np.ones((0, 4)), np.ones(4), {}, r"a must be .* got shape \(0, 4\)"),
        (np.ones((2, 2, 2)), np.ones(2), {}, r"a must be \(seeds, images\)"),
        ([1.0, math.nan], [1.0, 2.0], {}, "must be finite, a has 1 not so"),
        ([1.0, 2.0], [1.0, 2.0], {"pixels": [1, 0]}, "pixels must be 2 positive numbers"),
        ([1.0, 2.0], [1.0, 2.0], {"pixels": [1]}, "pixels must be 2 positive numbers"),
        ([1.0, 2.0], [1.0, 2.0], {"confidence": 95}, "between 0 and 1"),
    ],
)
def test_what_does_not_pair_is_refused(a, b, changes, message):
    with pytest.raises(ValueError, match=message):
        image_bootstrap(a, b, **changes)
