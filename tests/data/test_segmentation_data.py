"""Every segmentation dataset keeps the same promises; bad files are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import segmentation_files as made
from PIL import Image

from repro.data import mosaics
from repro.data.errors import DataError
from repro.data.segmentation import (
    IGNORE,
    SegmentationImage,
    limited,
    load_segmentation,
    segmentation_names,
)
from repro.names import UnknownNameError

MAKERS = {name: getattr(made, name) for name in ("camvid", "cityscapes", "ade20k", "nyu39")}


def first_labels(folder):
    """The label file of the first training image of any of the tiny datasets."""
    found = [
        *sorted(folder.glob("trainannot/*.png")),
        *sorted(folder.glob("gtFine/train/bochum/*.png")),
        *sorted(folder.glob("annotations/training/*.png")),
        *sorted(folder.glob("labels39/0001.png")),
    ]
    return found[0]


def test_the_names():
    assert segmentation_names() == ["mosaics", *MAKERS]
    with pytest.raises(UnknownNameError, match="did you mean camvid"):
        load_segmentation("camvids")


@pytest.mark.parametrize("name", MAKERS)
def test_a_dataset_is_loaded_by_name_and_decoded_on_use(name, tmp_path):
    MAKERS[name](tmp_path)
    data = load_segmentation(name, root=tmp_path)
    assert data.name == name
    assert len(data.class_names) == len(data.colours) == data.num_classes
    for part in (data.train, data.test):
        for item in part:
            assert item.image.shape == (made.HEIGHT, made.WIDTH, 3)
            labelled = item.labels[item.labels != IGNORE]
            assert labelled.size
            assert labelled.max() < data.num_classes
        assert [item.name for item in part[1:]] == [item.name for item in part][1:]
    assert not {item.name for item in data.train} & {item.name for item in data.test}


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_dataset_says_how_to_get_it(name, tmp_path):
    with pytest.raises(DataError, match="get it"):
        load_segmentation(name, root=tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_a_label_out_of_range_is_named_with_its_file(name, tmp_path):
    folder = MAKERS[name](tmp_path)
    path = first_labels(folder)
    labels = made.read_labels(path)[1]
    labels[0, :3] = 200
    made.write_labels(path, labels)
    data = load_segmentation(name, root=tmp_path)
    with pytest.raises(DataError, match=rf"{path.name}: labels 200 \(3 pixels\); expected 0\.\."):
        data.train[0]


@pytest.mark.parametrize("name", MAKERS)
def test_labels_of_another_size_than_the_image(name, tmp_path):
    folder = MAKERS[name](tmp_path)
    path = first_labels(folder)
    made.write_labels(path, np.zeros((5, 8)))
    with pytest.raises(DataError, match=rf"6 x 8 pixels, .*{path.name} 5 x 8; they must be equal"):
        load_segmentation(name, root=tmp_path).train[0]


@pytest.mark.parametrize("name", MAKERS)
def test_a_palette_changes_nothing(name, tmp_path):
    folder = MAKERS[name](tmp_path)
    grey = load_segmentation(name, root=tmp_path).train[0].labels
    path = first_labels(folder)
    colours = [(255 - number, number // 2, 7) for number in range(256)]
    made.write_labels(path, made.read_labels(path)[1], palette=colours)
    assert made.read_labels(path)[0] == "P"
    np.testing.assert_array_equal(load_segmentation(name, root=tmp_path).train[0].labels, grey)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "LA"])
def test_labels_in_colour_or_of_16_bits_are_refused(mode, tmp_path):
    path = first_labels(made.camvid(tmp_path))
    labels = made.read_labels(path)[1]
    wide = labels.astype(np.uint16)
    image = Image.fromarray(wide) if mode == "I;16" else Image.fromarray(labels).convert(mode)
    image.save(path)
    with pytest.raises(DataError, match=rf"{path.name}: expected class numbers .* got mode {mode}"):
        load_segmentation("camvid", root=tmp_path).train[0]


@pytest.mark.parametrize("kind", ["labels", "image"])
def test_a_truncated_file_is_named(kind, tmp_path):
    folder = made.camvid(tmp_path)
    path = first_labels(folder) if kind == "labels" else folder / "train" / "train0.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=path.name):
        load_segmentation("camvid", root=tmp_path).train[0]


@pytest.mark.parametrize("name", MAKERS)
def test_missing_labels_are_found_before_the_training_is(name, tmp_path):
    path = first_labels(MAKERS[name](tmp_path))
    path.unlink()
    with pytest.raises(DataError, match=path.name):
        load_segmentation(name, root=tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_the_fingerprint_follows_the_files(name, tmp_path):
    folder = MAKERS[name](tmp_path)
    before = load_segmentation(name, root=tmp_path)
    assert load_segmentation(name, root=tmp_path).fingerprint == before.fingerprint
    path = first_labels(folder)
    random = np.random.default_rng(0).integers(7, 9, (made.HEIGHT, made.WIDTH))
    made.write_labels(path, random)
    assert load_segmentation(name, root=tmp_path).fingerprint != before.fingerprint


def test_an_image_without_any_label_is_read(tmp_path):
    path = first_labels(made.camvid(tmp_path))
    made.write_labels(path, np.full((made.HEIGHT, made.WIDTH), 11))
    labels = load_segmentation("camvid", root=tmp_path).train[0].labels
    assert (labels == IGNORE).all()


def test_limited_keeps_evenly_spaced_images(tmp_path):
    made.camvid(tmp_path)
    data = load_segmentation("camvid", root=tmp_path)
    small = limited(data, 2, 1)
    assert [item.name for item in small.train] == ["train0", "train1"]
    assert [item.name for item in small.test] == ["test0"]
    assert len({small.fingerprint, data.fingerprint, limited(data, 2, None).fingerprint}) == 3
    assert [item.name for item in limited(mosaics.make(0, 4, 2), 2, None).train] == [
        "train_000",
        "train_002",
    ]
    for count in (0, 4):
        with pytest.raises(ValueError, match=f"from 1 to the 3 of camvid, got {count}"):
            limited(data, count, None)
    with pytest.raises(ValueError, match="test_images must be from 1 to the 2"):
        limited(data, None, 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", np.zeros((4, 4, 4), np.uint8)),
        ("image", np.zeros((4, 4, 3), np.float32)),
        ("labels", np.zeros((4, 5), np.uint8)),
        ("labels", np.zeros((4, 4), np.int64)),
    ],
)
def test_an_image_of_another_form(field, value):
    good = SegmentationImage("a", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=f"a: {field} must be"):
        replace(good, **{field: value})
