"""Every detection dataset comes by one name, and says what was done to it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from repro.data import DataError
from repro.data.detection import (
    detection_names,
    limited,
    load_detection,
    stretch,
    without_empty,
)
from repro.names import UnknownNameError

LAYOUTS = {
    "coco": (("instances_train2017", "train2017"), ("instances_val2017", "val2017")),
    "coco_mini": (("instances_train2017", "train2017"), ("instances_val2017", "val2017")),
    "dsb2018_nuclei": (("instances_train", "images"), ("instances_test", "images")),
}
CATEGORIES = [{"id": 3, "name": "ant"}, {"id": 90, "name": "bee"}]


@pytest.fixture
def coco_folder(tmp_path):
    """Makes a dataset of COCO's layout: images of 8 x 10, every third without objects."""

    def make(name, *, categories=CATEGORIES, masks=(True, True)):
        number = 0
        for (file, images), with_masks in zip(LAYOUTS[name], masks, strict=True):
            content = {"images": [], "annotations": [], "categories": categories}
            for _ in range(6):
                number += 1
                path = tmp_path / name / images / f"{number:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(number).integers(10, 60, (8, 10, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                entry = {"id": number, "file_name": path.name, "height": 8, "width": 10}
                content["images"].append(entry)
                if number % 3:
                    found = {"image_id": number, "category_id": 90, "bbox": [1, 2, 3, 4]}
                    if with_masks:
                        found["segmentation"] = [[1, 2, 4, 2, 4, 6, 1, 6]]
                    content["annotations"].append(found)
            target = tmp_path / name / "annotations" / f"{file}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(content))
        return tmp_path

    return make


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_dataset_of_cocos_format(coco_folder, name):
    data = load_detection(name, root=coco_folder(name))
    assert data.name == name
    assert (len(data.train), len(data.test), data.num_classes) == (6, 6, 2)
    assert data.class_names == ("ant", "bee")
    assert dict(data.category_ids) == {1: 3, 2: 90}
    assert data.has_masks
    assert data.train[0].labels.tolist() == [2]
    assert data.test[0].masks.sum() == 12
    assert data.train[2].masks.shape == (0, 8, 10)
    assert "images without objects: 2 train, 2 test" in data.note


def test_the_limits_of_small_and_large_follow_the_reduction(coco_folder):
    assert load_detection("coco", root=coco_folder("coco")).area_unit == 32
    assert load_detection("coco_mini", root=coco_folder("coco_mini")).area_unit == 19.2


def test_dim_nuclei_are_stretched_and_the_note_says_so(coco_folder):
    data = load_detection("dsb2018_nuclei", root=coco_folder("dsb2018_nuclei"))
    for found in data.train:
        assert (found.image.min(), found.image.max()) == (0, 255)
    assert "stretched" in data.note


def test_stretching_keeps_the_order_of_levels_and_survives_a_flat_image():
    image = np.array([[[10, 10, 10], [30, 30, 30], [20, 20, 20]]], dtype=np.uint8)
    assert stretch(image)[0, :, 0].tolist() == [0, 255, 128]
    assert (stretch(np.full((2, 2, 3), 77, dtype=np.uint8)) == 0).all()


def test_the_fingerprint_follows_annotations_and_files(coco_folder):
    root = coco_folder("coco")
    before = load_detection("coco", root=root).fingerprint
    assert load_detection("coco", root=root).fingerprint == before
    Image.new("RGB", (10, 8)).save(root / "coco" / "val2017" / "008.png")
    changed = load_detection("coco", root=root).fingerprint
    assert changed != before
    file = root / "coco" / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text().replace("[1, 2, 3, 4]", "[1, 2, 3, 3]", 1))
    assert load_detection("coco", root=root).fingerprint not in (before, changed)


def test_parts_that_do_not_belong_together(coco_folder, tmp_path):
    root = coco_folder("coco")
    file = root / "coco" / "annotations" / "instances_val2017.json"
    file.write_text(file.read_text().replace('"ant"', '"wasp"'))
    with pytest.raises(DataError, match=r"categories differ between .*train2017.*val2017"):
        load_detection("coco", root=root)
    with pytest.raises(DataError, match="has_masks differ"):
        load_detection("coco_mini", root=coco_folder("coco_mini", masks=(True, False)))


def test_skipped_images_are_counted_in_the_note(coco_folder):
    root = coco_folder("coco")
    (root / "coco" / "train2017" / "001.png").write_bytes(b"\x89PNG")
    data = load_detection("coco", root=root, skip_damaged=True)
    assert len(data.train) == 5
    assert "damaged images skipped: 1 train, 0 test" in data.note
    with pytest.raises(DataError, match=r"001\.png"):
        load_detection("coco", root=root).train[0]


@pytest.mark.parametrize("inner", ["", "BCCD"])
def test_bccd_is_trained_on_trainval_and_tested_on_test(tmp_path, inner):
    folder = tmp_path / "bccd" / inner
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for part, names in (("trainval", ["a", "b"]), ("test", ["c"])):
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names))
        for name in names:
            Image.new("RGB", (10, 8)).save(folder / "JPEGImages" / f"{name}.jpg")
            (folder / "Annotations" / f"{name}.xml").write_text(
                "<annotation><size><width>10</width><height>8</height></size>"
                "<object><name>WBC</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
                "<xmax>4</xmax><ymax>5</ymax></bndbox></object></annotation>"
            )
    data = load_detection("bccd", root=tmp_path)
    assert (len(data.train), len(data.test)) == (2, 1)
    assert data.class_names == ("RBC", "WBC", "Platelets")
    assert not data.has_masks
    assert data.test[0].boxes.tolist() == [[0, 0, 4, 5]]
    assert data.test[0].labels.tolist() == [2]
    assert "trainval" in data.note


def test_a_smaller_version_is_evenly_spaced(coco_folder):
    data = load_detection("coco", root=coco_folder("coco"))
    fewer = limited(data, 3, 1)
    assert [found.name for found in fewer.train] == ["001.png", "003.png", "005.png"]
    assert [found.name for found in fewer.test] == ["007.png"]
    assert fewer.fingerprint not in (data.fingerprint, limited(data, 2, 1).fingerprint)
    assert limited(data, None, None) is data
    for train, test in ((0, None), (7, None), (None, -1)):
        with pytest.raises(ValueError, match="_images must be from 1 to the 6 of coco"):
            limited(data, train, test)


def test_training_images_without_objects_can_be_left_out(coco_folder):
    data = load_detection("coco", root=coco_folder("coco"))
    fewer = without_empty(data)
    assert [found.name for found in fewer.train] == ["001.png", "002.png", "004.png", "005.png"]
    assert len(fewer.test) == 6
    assert fewer.fingerprint != data.fingerprint


def test_names():
    assert detection_names() == ["scenes", "coco", "coco_mini", "dsb2018_nuclei", "bccd"]
    assert load_detection("scenes", seed=3).note.startswith("scenes of seed 3")
    with pytest.raises(UnknownNameError, match="did you mean scenes"):
        load_detection("scene")


def test_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"format: .*instances_"):
        load_detection("coco", root=tmp_path)
