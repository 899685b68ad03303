"""VOC's annotations are read as VOC counts pixels; whatever is wrong with a file is said."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from repro.data import DataError
from repro.data.detection_images import FileImages
from repro.data.voc import read_voc

CLASSES = ("cell", "plate")


def an_object(name="cell", box=(1, 1, 30, 20), difficult=0):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return (
        f"<object><name>{name}</name><difficult>{difficult}</difficult>"
        f"<bndbox>{corners}</bndbox></object>"
    )


def a_file(*objects):
    size = "<size><width>30</width><height>20</height><depth>3</depth></size>"
    return f"<annotation><filename>old.jpg</filename>{size}{''.join(objects)}</annotation>"


@pytest.fixture
def write(tmp_path):
    """Writes one annotation a name, its image, and a list of all; returns the folder."""

    def make(**files):
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (tmp_path / name).mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
            pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "JPEGImages" / f"{name}.jpg")
        (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("\n".join(files) + "\n")
        return tmp_path

    return make


def test_pixels_are_counted_from_one_and_both_ends_are_in(write):
    folder = write(b=a_file(an_object(), an_object("plate", (3, 5, 3, 7))), a=a_file())
    part = read_voc(folder, "train", CLASSES)
    assert [record.name for record in part.records] == ["b.jpg", "a.jpg"]  # as listed
    objects = part.records[0].objects
    assert objects.boxes.tolist() == [[0, 0, 30, 20], [2, 4, 3, 7]]
    assert objects.areas.tolist() == [600, 3]
    assert objects.labels.tolist() == [1, 2]
    assert not objects.crowd.any()
    assert (part.degenerate, part.damaged) == (0, 0)


def test_an_image_without_objects_stays(write):
    found = FileImages(read_voc(write(a=a_file()), "train", CLASSES).records)[0]
    assert found.boxes.shape == (0, 4)
    assert found.labels.dtype == np.int64
    assert found.masks is None
    assert found.image.shape == (20, 30, 3)


def test_a_difficult_object_is_a_crowd(write):
    part = read_voc(write(a=a_file(an_object(difficult=1), an_object())), "train", CLASSES)
    assert part.records[0].objects.crowd.tolist() == [True, False]


@pytest.mark.parametrize("box", [(5, 5, 4, 9), (5, 9, 9, 8), (31, 1, 40, 9), (-9, 1, 0, 9)])
def test_a_box_without_area_in_the_image_is_dropped_and_counted(write, box):
    part = read_voc(write(a=a_file(an_object(box=box), an_object("plate"))), "train", CLASSES)
    assert part.degenerate == 1
    assert part.records[0].objects.labels.tolist() == [2]


def test_a_box_partly_outside_is_cut(write):
    part = read_voc(write(a=a_file(an_object(box=(21, 11, 99, 99)))), "train", CLASSES)
    assert part.records[0].objects.boxes.tolist() == [[20, 10, 30, 20]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "is not XML"),
        ('{"images": []}', "is not XML"),
        ("<html/>", "html/size/height must be a finite number, got None"),
        (a_file(an_object("cel")), "unknown class 'cel'; did you mean cell"),
        (a_file(an_object(box=("a", 1, 2, 3))), "object/bndbox/xmin must be a finite number"),
        (a_file(an_object(box=(1, 1, "nan", 3))), "object/bndbox/xmax must be a finite number"),
        (a_file("<object><name>cell</name></object>"), "object/bndbox/xmin .* got None"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(write, text, message):
    folder = write(a=text)
    with pytest.raises(DataError, match=message) as caught:
        read_voc(folder, "train", CLASSES)
    assert "a.xml" in str(caught.value)


def test_missing_files_are_named(write):
    folder = write(a=a_file(), b=a_file())
    with pytest.raises(DataError, match=r"test\.txt: cannot be read"):
        read_voc(folder, "test", CLASSES)
    (folder / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 2 images missing; first: .*b\.jpg"):
        read_voc(folder, "train", CLASSES)
    (folder / "Annotations" / "a.xml").unlink()
    with pytest.raises(DataError, match=r"a\.xml: cannot be read"):
        read_voc(folder, "train", CLASSES)


def test_an_image_that_is_listed_twice(write):
    folder = write(a=a_file())
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\na\n")
    with pytest.raises(DataError, match=r"train\.txt names a twice"):
        read_voc(folder, "train", CLASSES)


def test_damaged_images_are_skipped_only_if_asked_and_counted(write, caplog):
    folder = write(a=a_file(an_object()), b=a_file())
    whole = (folder / "JPEGImages" / "a.jpg").read_bytes()
    (folder / "JPEGImages" / "a.jpg").write_bytes(whole[:400])
    with pytest.raises(DataError, match=r"a\.jpg: cannot be decoded"):
        FileImages(read_voc(folder, "train", CLASSES).records)[0]
    part = read_voc(folder, "train", CLASSES, skip_damaged=True)
    assert part.damaged == 1
    assert [record.name for record in part.records] == ["b.jpg"]
    assert "a.jpg" in caplog.text
