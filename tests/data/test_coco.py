"""COCO's json is read as pycocotools reads it; whatever is wrong with a file is said."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as runs

from repro.data import DataError
from repro.data.coco import decode_mask, read_coco
from repro.data.detection_images import FileImages

RECTANGLE = np.zeros((20, 30), dtype=np.uint8)
RECTANGLE[3:9, 4:14] = 1
COMPRESSED = runs.encode(np.asfortranarray(RECTANGLE))
UNCOMPRESSED = [4 * 20 + 3, *[6, 14] * 9, 6, 600 - 4 * 20 - 9 * 20 - 9]
ENCODINGS = {
    "polygon": [[4, 3, 14, 3, 14, 9, 4, 9]],
    "run lengths": {"size": [20, 30], "counts": UNCOMPRESSED},
    "compressed": {"size": [20, 30], "counts": COMPRESSED["counts"].decode()},
}


def annotation(number, image, category, box, **changes):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **changes}


CONTENT = {
    "images": [
        {"id": 42, "file_name": "b.jpg", "height": 20, "width": 30},
        {"id": 7, "file_name": "a.jpg", "height": 20, "width": 30},
        {"id": 50, "file_name": "empty.jpg", "height": 20, "width": 30},
    ],
    "categories": [{"id": 90, "name": "zebra"}, {"id": 3, "name": "ant"}],
    "annotations": [
        annotation(1, 42, 90, [4, 3, 10, 6], area=60, segmentation=ENCODINGS["polygon"]),
        annotation(2, 42, 3, [4, 3, 10, 6], area=60, segmentation=ENCODINGS["run lengths"]),
        annotation(
            3, 7, 3, [4, 3, 10, 6], area=60, iscrowd=1, segmentation=ENCODINGS["compressed"]
        ),
    ],
}


@pytest.fixture
def write(tmp_path):
    """Writes a json file and the images it should have; returns the arguments of `read_coco`."""

    def make(content):
        for number, name in enumerate(("a.jpg", "b.jpg", "empty.jpg")):
            pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
        file = tmp_path / "instances.json"
        file.write_text(json.dumps(content))
        return file, tmp_path

    return make


def changed(**changes):
    """CONTENT with its first annotation changed; None takes a field away."""
    content = copy.deepcopy(CONTENT)
    fields = content["annotations"][0] | changes
    content["annotations"][0] = {k: v for k, v in fields.items() if v is not None}
    return content


def test_images_are_sorted_by_id_and_categories_numbered_from_one(write):
    part = read_coco(*write(CONTENT))
    assert [record.name for record in part.records] == ["a.jpg", "b.jpg", "empty.jpg"]
    assert part.categories == ((3, "ant"), (90, "zebra"))
    assert part.records[1].objects.labels.tolist() == [2, 1]
    assert part.records[1].objects.boxes.tolist() == [[4, 3, 14, 9]] * 2
    assert part.records[1].objects.areas.tolist() == [60, 60]
    assert part.records[0].objects.crowd.tolist() == [True]
    assert part.records[1].objects.crowd.tolist() == [False, False]
    assert part.has_masks
    assert (part.degenerate, part.damaged) == (0, 0)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_same_mask(encoding):
    mask = decode_mask(ENCODINGS[encoding], 20, 30)
    assert mask.dtype == bool
    assert (mask == RECTANGLE.astype(bool)).all()


def test_run_lengths_are_read_as_pycocotools_reads_them():
    random = np.random.default_rng(0)
    for density in (0.0, 0.02, 0.5, 0.98, 1.0):
        mask = np.asfortranarray(random.random((37, 90)) < density)
        mask[5:20, 10:60] ^= True  # long runs too
        encoded = runs.encode(np.asfortranarray(mask, dtype=np.uint8))
        found = decode_mask({"counts": encoded["counts"].decode()}, 37, 90)
        assert (found == mask).all()


# pycocotools 2.0.11 decodes into an array type that predates NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_polygon_is_filled_as_pycocotools_fills_it():
    star = [[15.5, 1.2, 18.1, 8.7, 27.3, 9.4, 19.6, 12.8, 22.2, 19.0, 15.1, 14.3, 6.4, 18.8]]
    expected = runs.decode(runs.merge(runs.frPyObjects(star, 20, 30)))
    assert (decode_mask(star, 20, 30) == expected.astype(bool)).all()


def test_several_polygons_are_one_mask():
    other = np.zeros((20, 30), dtype=bool)
    other[12:15, 20:25] = True
    both = [*ENCODINGS["polygon"], [20, 12, 25, 12, 25, 15, 20, 15]]
    assert (decode_mask(both, 20, 30) == (RECTANGLE.astype(bool) | other)).all()


def test_an_image_is_decoded_with_its_masks(write):
    images = FileImages(read_coco(*write(CONTENT)).records, decode_mask)
    found = images[1]
    assert found.image.shape == (20, 30, 3)
    assert found.masks.shape == (2, 20, 30)
    assert (found.masks == RECTANGLE.astype(bool)).all()
    assert len(list(images)) == 3


def test_an_image_without_objects_stays(write):
    part = read_coco(*write(CONTENT))
    found = FileImages(part.records, decode_mask)[2]
    assert found.boxes.shape == (0, 4)
    assert found.boxes.dtype == np.float32
    assert found.labels.shape == found.crowd.shape == found.areas.shape == (0,)
    assert found.masks.shape == (0, 20, 30)


def test_boxes_without_masks(write):
    content = copy.deepcopy(CONTENT)
    for entry in content["annotations"]:
        del entry["segmentation"], entry["area"]
    part = read_coco(*write(content))
    assert not part.has_masks
    assert part.records[1].objects.areas.tolist() == [60, 60]  # of the box
    assert FileImages(part.records)[1].masks is None


@pytest.mark.parametrize(
    "box", [[4, 3, 0, 6], [4, 3, 10, 0], [4, 3, -2, 6], [30, 3, 5, 5], [-9, 3, 9, 5], [4, 40, 2, 2]]
)
def test_a_box_without_area_in_the_image_is_dropped_and_counted(write, box):
    part = read_coco(*write(changed(bbox=box)))
    assert part.degenerate == 1
    assert part.records[1].objects.labels.tolist() == [1]
    assert len(FileImages(part.records, decode_mask)[1].masks) == 1


def test_a_box_partly_outside_is_cut(write):
    part = read_coco(*write(changed(bbox=[-5, 15, 10, 10])))
    assert part.records[1].objects.boxes[0].tolist() == [0, 15, 5, 20]
    assert part.degenerate == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 4}, r"annotation 1: unknown category id 4; known: \[3, 90\]"),
        ({"image_id": 1}, "annotation 1: unknown image id 1"),
        ({"bbox": [1, 2, 3]}, "bbox must be four finite numbers"),
        ({"bbox": [1, 2, 3, float("nan")]}, "bbox must be four finite numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox must be four finite numbers"),
        ({"bbox": None}, r"annotations\[0\] has no valid 'bbox'"),
        ({"area": "large"}, "area must be a finite number"),
        ({"segmentation": None}, "1 of 3 objects have no mask"),
        ({"segmentation": [[1, 1, 5, 5]]}, "at least three pairs"),
        ({"segmentation": [[1, 1, 5, 5, 3, None]]}, "must be finite numbers"),
        ({"segmentation": "mask"}, "must be polygons or run lengths"),
        ({"segmentation": {"size": [20, 30], "counts": 5}}, "counts must be whole numbers or"),
        ({"segmentation": {"size": [20, 30], "counts": [600.0]}}, "counts must be whole numbers"),
        ({"segmentation": [[[1, 2, 3], [4, 5, 6]] * 3]}, "must be finite numbers"),
        ({"segmentation": [["1", "1", "5", "5", "3", "3"]]}, "must be finite numbers"),
        (
            {"segmentation": {"size": [30, 20], "counts": [600]}},
            r"the mask is of size \[30, 20\], its image \[20, 30\]",
        ),
        (
            {"segmentation": {"size": [20, 30], "counts": [500]}},
            "the run lengths sum to 500, the image has 600 pixels",
        ),
    ],
)
def test_what_is_wrong_with_an_annotation_is_said(write, changes, message):
    file, folder = write(changed(**changes))
    with pytest.raises(DataError, match=message) as caught:
        read_coco(file, folder)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("counts", ["0n", "zzzz", COMPRESSED["counts"].decode()[:-2], "\u00e4"])
def test_a_compressed_mask_that_does_not_fill_the_image_is_named(write, counts):
    part = read_coco(*write(changed(segmentation={"size": [20, 30], "counts": counts})))
    with pytest.raises(DataError, match=r"b\.jpg: mask 0: "):
        FileImages(part.records, decode_mask)[1]


@pytest.mark.parametrize("kind", ["images", "categories"])
def test_an_id_that_comes_twice(write, kind):
    content = copy.deepcopy(CONTENT)
    content[kind][1]["id"] = content[kind][0]["id"]
    with pytest.raises(DataError, match=rf"id {content[kind][0]['id']} comes twice in {kind}"):
        read_coco(*write(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not JSON"),
        (b"{'images': 3}", "is not JSON"),
        (b"\xff\xfe\x00\x01", "is not JSON"),
        (b"[]", "is not COCO's json"),
        (b'{"images": [], "annotations": {}, "categories": []}', "is not COCO's json"),
        (b'{"shapes": [], "version": "5"}', r"found \['shapes', 'version'\]"),
        (b'{"images": [3], "annotations": [], "categories": []}', r"images\[0\] has no valid 'id'"),
    ],
)
def test_json_that_is_not_coco(write, text, message):
    file, folder = write(CONTENT)
    file.write_bytes(text)
    with pytest.raises(DataError, match=message) as caught:
        read_coco(file, folder)
    assert str(file) in str(caught.value)


def test_a_missing_json_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        read_coco(tmp_path / "none.json", tmp_path)


def harm(folder):
    whole = (folder / "b.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").unlink()


def test_a_truncated_jpeg_is_named_where_it_is_used(write):
    file, folder = write(CONTENT)
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes()[:300])
    images = FileImages(read_coco(file, folder).records, decode_mask)
    assert images[0].name == "a.jpg"
    with pytest.raises(DataError, match=r"b\.jpg: cannot be decoded"):
        images[1]


def test_a_missing_image_is_named(write):
    file, folder = write(CONTENT)
    (folder / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images missing; first: .*a\.jpg"):
        read_coco(file, folder)


def test_damaged_images_are_skipped_only_if_asked_and_counted(write, caplog):
    file, folder = write(CONTENT)
    harm(folder)
    part = read_coco(file, folder, skip_damaged=True)
    assert part.damaged == 2
    assert [record.name for record in part.records] == ["a.jpg"]
    assert "b.jpg" in caplog.text
    assert "empty.jpg" in caplog.text


def test_an_image_of_another_size_than_annotated(write):
    file, folder = write(CONTENT)
    Image.new("RGB", (30, 21)).save(folder / "a.jpg")
    images = FileImages(read_coco(file, folder).records, decode_mask)
    with pytest.raises(DataError, match=r"a\.jpg: expected 20 x 30 .* got 21 x 30"):
        images[0]
