"""The bundled mosaics."""

from __future__ import annotations

import numpy as np
import pytest

from repro.data import mosaics
from repro.data.bundled import load_image
from repro.data.segmentation import load_segmentation


@pytest.fixture(scope="module")
def data():
    return mosaics.make(0, 24, 12)


def test_two_parts_of_labelled_images(data):
    assert (len(data.train), len(data.test), data.num_classes) == (24, 12, 8)
    for part in (data.train, data.test):
        counts = sum(np.bincount(item.labels.ravel(), minlength=8) for item in part)
        assert counts.sum() == len(part) * mosaics.SIZE**2  # no pixel is ignored
        assert (counts > 0.03 * counts.sum()).all()
        for item in part:
            assert item.image.shape == (mosaics.SIZE, mosaics.SIZE, 3)
            assert len(np.unique(item.labels)) >= 2


def test_a_seed_gives_the_same_mosaics(data):
    again = mosaics.make(0, 24, 12)
    assert again.fingerprint == data.fingerprint
    np.testing.assert_array_equal(again.test[5].image, data.test[5].image)
    other = mosaics.make(1, 24, 12)
    assert other.fingerprint != data.fingerprint
    assert not np.array_equal(other.train[0].labels, data.train[0].labels)


def test_a_mosaic_does_not_depend_on_how_many_there_are(data):
    few = mosaics.make(0, 3, 2)
    for one, other in zip(few.train, data.train, strict=False):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_train_and_test_show_disjoint_regions():
    for source in mosaics.SOURCES.values():
        width, height = load_image(source.file).size
        for left, top, right, bottom in (source.train, source.test):
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
        gap = source.test[0] - source.train[2]  # they lie side by side
        assert gap >= 8, source.file


def test_neither_brightness_nor_colour_tells_the_class(data):
    # The nearest mean colour of the training pixels, which knows nothing of texture.
    pixels = np.concatenate([item.image.reshape(-1, 3) for item in data.train]).astype(float)
    labels = np.concatenate([item.labels.ravel() for item in data.train])
    means = np.stack([pixels[labels == label].mean(0) for label in range(8)])
    test = np.concatenate([item.image.reshape(-1, 3) for item in data.test]).astype(float)
    truth = np.concatenate([item.labels.ravel() for item in data.test])
    nearest = np.square(test[:, None] - means).sum(-1).argmin(1)
    assert (nearest == truth).mean() < 0.2  # chance is 0.125


def test_labels_change_where_the_picture_does(monkeypatch):
    """Without noise, a piece of constant colour stays constant up to its very last pixel."""
    flat = [np.full((64, 64), value, dtype=np.float32) for value in range(0, 240, 30)]
    monkeypatch.setattr(mosaics, "NOISE", 0.0)
    image, labels = mosaics._mosaic(flat, np.random.default_rng(0))
    for label in np.unique(labels):
        # One colour a piece; two pieces of one class may differ.
        assert len(np.unique(image[labels == label], axis=0)) <= 2


@pytest.mark.parametrize("counts", [(0, 1), (1, 0)])
def test_a_part_without_mosaics(counts):
    with pytest.raises(ValueError, match="at least one mosaic"):
        mosaics.make(0, *counts)


def test_they_are_loaded_by_name(monkeypatch):
    monkeypatch.setattr(mosaics, "make", lambda seed: f"mosaics of {seed}")
    assert load_segmentation("mosaics", seed=3) == "mosaics of 3"
