"""Hand-made images whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest

from repro.names import UnknownNameError
from repro.tasks.depth_error import BORDER, counted, edge_band, error_map, rmse, summarise


def test_the_border_and_unknown_depth_are_left_out():
    truth = np.full((20, 30), 2.0, dtype=np.float32)
    prediction = truth + 100
    prediction[6:-6, 6:-6] = truth[6:-6, 6:-6] + 3
    truth[10, 10] = np.nan
    prediction[10, 10] = np.nan  # nobody knows, nobody minds
    assert BORDER == 6
    assert rmse(prediction, truth) == 3
    assert rmse(prediction, truth, border=5) > 3
    assert counted(truth).sum() == 8 * 18 - 1
    assert counted(truth, border=0).sum() == 20 * 30 - 1


def test_it_is_the_root_of_the_mean_square():
    truth = np.zeros((2, 2)) + 1
    prediction = truth + [[1, 2], [-3, 4]]
    assert rmse(prediction, truth, border=0) == pytest.approx(np.sqrt(30 / 4), rel=1e-15)
    mask = np.array([[True, False], [True, False]])
    assert rmse(prediction, truth, border=0, mask=mask) == pytest.approx(np.sqrt(5), rel=1e-15)


def test_sums_are_in_float64():
    truth = np.full((512, 512), 5, dtype=np.float32)
    prediction = truth + np.float32(2.0**-12)
    assert rmse(prediction, truth) == 2.0**-12


def test_nothing_to_count_is_nan():
    truth = np.ones((20, 20))
    assert np.isnan(rmse(truth, truth, mask=np.zeros((20, 20), dtype=bool)))
    assert np.isnan(rmse(truth, np.full((20, 20), np.nan)))
    assert np.isnan(rmse(np.ones((12, 12)), np.ones((12, 12))))


def test_the_error_map_has_the_sign_and_the_holes():
    errors = error_map([[1.0, 5.0]], [[2.0, np.nan]])
    np.testing.assert_array_equal(errors, [[-1, np.nan]])


def test_wrong_images_are_named():
    truth = np.ones((20, 30))
    with pytest.raises(ValueError, match=r"alike, got \(20, 29\) and \(20, 30\)"):
        rmse(truth[:, :-1], truth)
    with pytest.raises(ValueError, match=r"must be \(H, W\).*got \(20, 30\) and \(3, 3\)"):
        rmse(truth, truth, mask=np.ones((3, 3), dtype=bool))
    with pytest.raises(ValueError, match="border must not be negative, got -1"):
        rmse(truth, truth, border=-1)
    broken = truth.copy()
    broken[3, :2] = np.nan, np.inf
    with pytest.raises(ValueError, match="not finite at 2 pixels"):
        rmse(broken, truth)


def test_the_edge_band_lies_around_the_jump():
    truth = np.full((30, 40), 2.0)
    truth[:, 20:] = 2.5
    band = edge_band(truth, radius=3)
    columns = np.flatnonzero(band.any(0))
    assert columns.tolist() == list(range(16, 24))  # both sides of 19 | 20, and 3 more
    assert band[:, columns].all()
    assert not edge_band(truth, threshold=0.25).any()  # exactly the jump
    assert not edge_band(truth[:, 20:]).any()


@pytest.mark.parametrize("unit", [0.001, 1.0, 1000.0])
def test_the_edge_band_has_no_unit(unit):
    random = np.random.default_rng(0)
    truth = np.repeat(random.uniform(1, 3, (5, 6)), 8, 0).repeat(8, 1)
    np.testing.assert_array_equal(edge_band(truth * unit), edge_band(truth))


def test_a_slanted_surface_is_no_edge():
    rows = np.arange(100.0)[:, None] + np.zeros((1, 50))
    assert not edge_band(2 + 0.02 * rows).any()


def test_unknown_depth_makes_no_edge_but_hides_none():
    truth = np.full((20, 20), 2.0)
    truth[5:8] = np.nan
    assert not edge_band(truth).any()
    truth[8:] = 9
    assert not edge_band(truth, radius=0).any()  # a gap of 3 lies between
    truth[6:8] = np.nan
    truth[5] = 2
    truth[7:] = 9
    assert edge_band(truth, radius=0).any(1).nonzero()[0].tolist() == [6]


def test_both_conventions():
    errors, pixels = [1.0, 3.0], [300, 100]
    assert summarise(errors, pixels) == 2
    assert summarise(errors, pixels, "pooled") == pytest.approx(np.sqrt(3), rel=1e-15)
    truth = np.ones((10, 40))
    prediction = truth.copy()
    prediction[:, :30] += 1
    prediction[:, 30:] += 3
    assert rmse(prediction, truth, border=0) == pytest.approx(np.sqrt(3), rel=1e-15)


def test_an_image_without_a_pixel_is_left_out():
    for convention in ("per_image", "pooled"):
        assert summarise([float("nan"), 2.0], [0, 5], convention) == 2


def test_wrong_summaries_are_named():
    with pytest.raises(UnknownNameError, match="did you mean per_image"):
        summarise([1.0], [1], "per-image")
    with pytest.raises(ValueError, match=r"one count an error, got \(1,\) and \(2,\)"):
        summarise([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="none of the 2 images"):
        summarise([1.0, 2.0], [0, 0])
    with pytest.raises(ValueError, match="1 errors are not finite"):
        summarise([1.0, float("nan")], [3, 4])
