"""RGB-D pairs refuse what is no pair, and every dataset comes through one door."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest

from repro.data import DataError
from repro.data.rgbd import (
    LazyPairs,
    RGBDData,
    RGBDPair,
    count_unknown,
    crop_to_multiple,
    limited,
    load_rgbd,
    mask_unknown,
    rgbd_names,
)
from repro.names import UnknownNameError


def make_pair(name: str = "a", height: int = 6, width: int = 9) -> RGBDPair:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return RGBDPair(name, rgb, random.uniform(1, 9, (height, width)).astype(np.float32))


def make_data(train: int = 10, test: int = 7, read=make_pair) -> RGBDData:
    names = tuple(map(str, range(train + test)))
    return RGBDData(
        "made", "cm", 100.0, LazyPairs(names[:train], read), LazyPairs(names[train:], read), "f", ""
    )


@pytest.mark.parametrize(
    ("rgb", "depth", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), np.ones((4, 5)), r"\(H, W, 3\) uint8.*float32"),
        (np.zeros((4, 5, 4), np.uint8), np.ones((4, 5)), r"\(H, W, 3\) uint8, got \(4, 5, 4\)"),
        (np.zeros((4, 5), np.uint8), np.ones((4, 5)), r"\(H, W, 3\) uint8, got \(4, 5\)"),
        (np.zeros((4, 5, 3), np.uint8), np.ones((4, 6)), r"must be \(4, 5\).*got \(4, 6\)"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5)), "20 depths .* not above zero"),
        (np.zeros((4, 5, 3), np.uint8), np.full((4, 5), np.inf), "20 depths are infinite"),
    ],
)
def test_a_pair_refuses_other_types_sizes_and_depths(rgb, depth, message):
    with pytest.raises(ValueError, match=message):
        RGBDPair("p", rgb, depth.astype(np.float32))


def test_a_pair_refuses_float64_depth():
    with pytest.raises(ValueError, match=r"float32, the size of rgb, got .* float64"):
        RGBDPair("p", np.zeros((4, 5, 3), np.uint8), np.ones((4, 5)))


def test_unknown_depth_is_masked_and_counted():
    raw = np.array([[0.0, 1.5, np.nan], [-2.0, np.inf, 3.0]])
    depth = mask_unknown(raw)
    np.testing.assert_array_equal(depth, [[np.nan, 1.5, np.nan], [np.nan, np.nan, 3.0]])
    assert depth.dtype == np.float32
    pair = RGBDPair("p", np.zeros((2, 3, 3), np.uint8), depth)
    assert pair.unknown == 4
    assert count_unknown([pair, pair]) == 8


def test_pairs_are_read_only_when_they_are_used():
    asked = []

    def read(name: str) -> RGBDPair:
        asked.append(name)
        return make_pair(name)

    pairs = make_data(read=read).train
    part = pairs[2:6:2]
    assert (len(pairs), len(part), asked) == (10, 2, [])
    assert part[-1].name == "4"
    assert [pair.name for pair in part] == ["2", "4"]
    assert asked == ["4", "2", "4"]


def test_pairs_can_be_sent_to_another_process():
    pairs = LazyPairs(("a", "b"), partial(make_pair, height=4))
    assert pickle.loads(pickle.dumps(pairs))[1].depth.shape == (4, 9)


def test_cropping_keeps_the_top_left():
    pair = make_pair(height=19, width=33)
    cropped = crop_to_multiple(pair, 8)
    assert cropped.depth.shape == (16, 32)
    np.testing.assert_array_equal(cropped.depth, pair.depth[:16, :32])
    np.testing.assert_array_equal(cropped.rgb, pair.rgb[:16, :32])
    with pytest.raises(ValueError, match="19 x 33 pixels cannot be cut to a multiple of 32"):
        crop_to_multiple(pair, 32)


def test_a_limited_dataset_is_evenly_spaced_and_has_its_own_fingerprint():
    data = make_data()
    small = limited(data, 4, None)
    assert [pair.name for pair in small.train] == ["0", "2", "5", "7"]
    assert small.test is data.test
    assert len({data.fingerprint, small.fingerprint, limited(data, 5, None).fingerprint}) == 3
    assert limited(data, None, 4).fingerprint != small.fingerprint


@pytest.mark.parametrize("count", [0, 8])
def test_a_limit_out_of_range_is_refused(count):
    with pytest.raises(ValueError, match=f"test_images must be from 1 to the 7 of made.*{count}"):
        limited(make_data(), None, count)


def test_a_dataset_for_testing_alone_says_so():
    data = make_data(train=0)
    assert len(data.train) == 0
    with pytest.raises(DataError, match="made is for testing alone"):
        data.require_train()
    with pytest.raises(DataError, match="made is for testing alone"):
        limited(data, 3, None)


def test_names(tmp_path):
    assert rgbd_names() == ["bundled_rgbd", "nyu_depth_v2", "middlebury"]
    with pytest.raises(UnknownNameError, match="did you mean nyu_depth_v2"):
        load_rgbd("nyu_depth")
    with pytest.raises(DataError, match=r"nyu_depth_v2.*is not in .*splits\.json"):
        load_rgbd("nyu_depth_v2", root=tmp_path)
