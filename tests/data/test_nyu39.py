"""The labels of NYU Depth V2."""

from __future__ import annotations

import json

import numpy as np
import pytest
import segmentation_files as made

from repro.data import nyu39
from repro.data.errors import DataError
from repro.data.segmentation import IGNORE, load_segmentation


def test_the_splits_decide(tmp_path):
    data = nyu39.read(made.nyu39(tmp_path))
    assert [item.name for item in data.train] == ["0001", "0002"]
    assert [item.name for item in data.test] == ["0000"]
    np.testing.assert_array_equal(data.train[0].labels[0, :3], [0, 38, IGNORE])


def test_it_is_found_in_the_folder_of_the_depth(tmp_path):
    made.nyu39(tmp_path).rename(tmp_path / "nyu_depth_v2")
    assert load_segmentation("nyu39", root=tmp_path).num_classes == 39


def test_colours_are_those_of_pascal_voc():
    colours = nyu39.colour_map(39)
    assert colours[:4] == ((128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert colours[14] == (192, 128, 128)  # its class 15, person
    assert len(set(colours)) == 39


def test_missing_splits(tmp_path):
    folder = made.nyu39(tmp_path)
    (folder / "splits.json").unlink()
    with pytest.raises(DataError, match=r"splits\.json: cannot be read"):
        nyu39.read(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("segmentation", None, '"segmentation"'),
        ("segmentation", {"train": ["0001"]}, "'test'"),
        ("segmentation", {"train": [], "test": ["0000"]}, 'names no image in "train"'),
        ("segmentation", {"train": ["0000"], "test": ["0000"]}, "1 images in train and test: 0000"),
        ("segmentation", {"train": ["0009"], "test": ["0000"]}, "0009: no image"),
        ("classes39", ["wall"], "must be 39 names, got 1"),
        ("classes39", None, "classes39"),
    ],
)
def test_splits_that_do_not_fit(key, value, message, tmp_path):
    folder = made.nyu39(tmp_path)
    splits = json.loads((folder / "splits.json").read_text())
    splits[key] = value
    (folder / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(DataError, match=message):
        nyu39.read(folder)


def test_splits_that_are_no_json(tmp_path):
    folder = made.nyu39(tmp_path)
    (folder / "splits.json").write_text("{")
    with pytest.raises(DataError, match=r"splits\.json must hold"):
        nyu39.read(folder)
