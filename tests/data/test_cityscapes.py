"""Cityscapes: official label ids become train ids."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_files as made

from repro.data import cityscapes
from repro.data.errors import DataError
from repro.data.segmentation import IGNORE

# Copied by hand from the paper's evaluation (arXiv 1604.01685) and its label definitions.
EVALUATED = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
TRAIN_IDS = "_gtFine_labelTrainIds.png"


def test_the_nineteen_classes_in_their_order(tmp_path):
    data = cityscapes.read(made.cityscapes(tmp_path))
    assert data.class_names == tuple(EVALUATED.values())
    assert data.colours[0] == (128, 64, 128)
    assert data.colours[18] == (119, 11, 32)
    assert [item.name for item in data.train] == ["bochum_000000_000019", "ulm_000000_000019"]
    assert [item.name for item in data.test] == ["lindau_000000_000019"]


def test_every_id_becomes_its_train_id():
    lookup = cityscapes.lookup_of_ids()
    for identifier in range(34):
        expected = IGNORE
        if identifier in EVALUATED:
            expected = list(EVALUATED).index(identifier)
        assert lookup[identifier] == expected, identifier
    assert (lookup[34:] == -1).all()


def test_both_kinds_of_label_file_give_the_same_labels(tmp_path):
    ids = cityscapes.read(made.cityscapes(tmp_path / "a", labels=(0, 7, 33)))
    train_ids = cityscapes.read(
        made.cityscapes(tmp_path / "b", ending=TRAIN_IDS, labels=(255, 0, 18))
    )
    np.testing.assert_array_equal(ids.train[0].labels, train_ids.train[0].labels)
    assert "labelTrainIds" in train_ids.note


def test_label_ids_are_preferred_where_both_are(tmp_path):
    folder = made.cityscapes(tmp_path, labels=(7,))
    made.cityscapes(tmp_path, ending=TRAIN_IDS, labels=(18,))
    assert (cityscapes.read(folder).train[0].labels == 0).all()


def test_a_train_id_that_is_none(tmp_path):
    data = cityscapes.read(made.cityscapes(tmp_path, ending=TRAIN_IDS, labels=(19, 0)))
    with pytest.raises(DataError, match=r"labels 19 \(24 pixels\); expected 0\.\.18, 255"):
        data.test[0]


def test_kinds_of_label_files_that_are_mixed(tmp_path):
    folder = made.cityscapes(tmp_path)
    path = next(folder.glob("gtFine/val/*/*.png"))
    path.rename(path.with_name("lindau_000000_000019" + TRAIN_IDS))
    with pytest.raises(DataError, match=r"labels of 1 of 3 images missing: .*lindau.*labelIds"):
        cityscapes.read(folder)


def test_a_part_without_images(tmp_path):
    folder = made.cityscapes(tmp_path)
    next(folder.glob("leftImg8bit/val/*/*.png")).unlink()
    with pytest.raises(DataError, match=r"val: expected <city>/\*_leftImg8bit\.png, found none"):
        cityscapes.read(folder)
