"""The default RGB-D data: repeatable, disjoint, and in the range it says."""

from __future__ import annotations

import numpy as np
import pytest

from repro.data import DataError, bundled, rendered_scenes
from repro.data.rgbd import load_rgbd


@pytest.fixture(scope="module")
def data():
    return load_rgbd("bundled_rgbd")


def test_sizes_and_units(data):
    assert (len(data.train), len(data.test), data.unit, data.unit_scale) == (22, 8, "px", 1.0)
    for pair in (*data.train, *data.test):
        assert pair.depth.shape == (240, 320)
        known = pair.depth[np.isfinite(pair.depth)]
        assert 7 <= known.min() < known.max() <= 60, pair.name


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(data, monkeypatch):
    monkeypatch.setattr(rendered_scenes, "TRAIN_SCENES", 2)
    monkeypatch.setattr(rendered_scenes, "TEST_SCENES", 1)
    again, other = (load_rgbd("bundled_rgbd", seed=seed) for seed in (0, 1))
    for index in range(2):
        np.testing.assert_array_equal(again.train[index].rgb, data.train[index].rgb)
        np.testing.assert_array_equal(again.train[index].depth, data.train[index].depth)
        assert (other.train[index].depth != data.train[index].depth).any()
    assert len({again.fingerprint, other.fingerprint, data.fingerprint}) == 3
    assert again.fingerprint == load_rgbd("bundled_rgbd").fingerprint


def test_train_and_test_share_no_photograph_and_no_region_of_the_stereo_pair(data):
    train, test = (
        set(names)
        for names in (rendered_scenes.TRAIN_PHOTOGRAPHS, rendered_scenes.TEST_PHOTOGRAPHS)
    )
    assert not train & test
    view = bundled.stereo_pair().left
    left, right = data.train[-1], data.test[-1]
    np.testing.assert_array_equal(left.rgb, view[-240:, :320])
    np.testing.assert_array_equal(right.rgb, view[-240:, -320:])
    assert view.shape[1] > 2 * 320


def test_the_stereo_pair_keeps_its_holes(data):
    unknown = [pair.unknown for pair in (*data.train[-2:], *data.test[-2:])]
    assert min(unknown) > 0
    assert 0.06 < sum(unknown) / (4 * 240 * 320) < 0.08
    assert not any(pair.unknown for pair in data.train[:-2])


def test_scenes_have_depth_edges_and_slanted_surfaces(data):
    for pair in (*data.train[:-2], *data.test[:-2]):
        steps = abs(np.diff(pair.depth, axis=1))
        assert 0.001 < (steps > 2).mean() < 0.1, pair.name
        assert (abs(np.diff(pair.depth, axis=0)) > 0).mean() > 0.2, pair.name


def test_a_missing_stereo_pair_is_named(monkeypatch):
    monkeypatch.setattr(bundled, "has_stereo_pair", lambda: False)
    with pytest.raises(DataError, match=r"stereo pair is missing.*scikit-image"):
        load_rgbd("bundled_rgbd")
