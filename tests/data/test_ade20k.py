"""ADE20K's 150 classes."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_files as made

from repro.data import ade20k
from repro.data.errors import DataError
from repro.data.segmentation import IGNORE


def test_zero_is_ignored_and_the_rest_moves_down(tmp_path):
    data = ade20k.read(made.ade20k(tmp_path, labels=(0, 1, 150)))
    np.testing.assert_array_equal(data.train[0].labels[0, :3], [IGNORE, 0, 149])


def test_the_lookup_knows_0_to_150_and_nothing_else():
    lookup = ade20k.lookup_of_labels()
    np.testing.assert_array_equal(lookup[1:151], np.arange(150))
    assert (lookup[151:] == -1).all()


def test_names_and_colours(tmp_path):
    data = ade20k.read(made.ade20k(tmp_path))
    assert data.num_classes == 150
    # The ends of the challenge's list, and the colours of its published code.
    assert (data.class_names[0], data.colours[0]) == ("wall", (120, 120, 120))
    assert (data.class_names[149], data.colours[149]) == ("flag", (92, 0, 255))
    assert data.class_names[12].startswith("person;")
    assert data.colours[12] == (150, 5, 61)


def test_a_class_beyond_the_last(tmp_path):
    data = ade20k.read(made.ade20k(tmp_path, labels=(1, 151)))
    with pytest.raises(DataError, match=r"labels 151 \(24 pixels\); expected 0\.\.150"):
        data.train[0]


def test_a_part_without_images(tmp_path):
    folder = made.ade20k(tmp_path)
    next(folder.glob("images/validation/*.jpg")).unlink()
    with pytest.raises(DataError, match=r"validation: expected \*\.jpg, found none"):
        ade20k.read(folder)
