"""Class folders are read as they lie; whatever is wrong with one is named by its path."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from repro.data import DataError, image_folder


def test_classes_are_sorted_folder_names_and_images_sorted_file_names(class_folders):
    found = image_folder.scan(class_folders("set", 8) / "set")
    assert found.class_names == ("ant", "bee")
    assert found.train.labels == (0,) * 6 + (1,) * 6
    assert found.train.paths[:3] == ("ant/0.png", "ant/1.JPEG", "ant/2.png")
    assert len(found.test) == 6


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_the_second_part_has_any_of_three_names(class_folders, test):
    found = image_folder.scan(class_folders("set", 8, test=test) / "set")
    assert found.test.folder.name == test


def test_val_wins_over_test_whose_images_may_be_unlabelled(class_folders):
    root = class_folders("set", 8, test="val") / "set"
    (root / "test" / "images").mkdir(parents=True)
    assert image_folder.scan(root).test.folder.name == "val"


def test_tiny_imagenet_is_read_as_it_is_distributed(class_folders):
    root = class_folders("set", 8, test="val") / "set"
    for kind in ("ant", "bee"):
        (root / "train" / kind).rename(root / "moved")
        (root / "train" / kind).mkdir()
        (root / "moved").rename(root / "train" / kind / "images")
        for path in (root / "val" / kind).iterdir():
            (root / "val" / "images").mkdir(exist_ok=True)
            path.rename(root / "val" / "images" / f"{kind}_{path.name}")
        (root / "val" / kind).rmdir()
    names = sorted(path.name for path in (root / "val" / "images").iterdir())
    lines = [f"{name}\t{name.split('_')[0]}\t0\t0\t62\t62\n" for name in names]
    (root / "val" / "val_annotations.txt").write_text("".join(lines), encoding="utf-8")
    found = image_folder.scan(root)
    assert found.train.paths[0] == "ant/images/0.png"
    assert found.test.labels == (0, 0, 0, 1, 1, 1)
    assert image_folder.read_all(found.test, 8).shape == (6, 3, 8, 8)


def test_other_files_are_ignored(class_folders):
    root = class_folders("set", 8) / "set"
    (root / "train" / "classes.txt").write_text("ant")
    (root / "train" / "ant" / "notes.txt").write_text("x")
    assert len(image_folder.scan(root).train) == 12


def test_grey_and_palette_images_become_three_channels(tmp_path):
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    grey.save(tmp_path / "grey.png")
    grey.convert("P").save(tmp_path / "palette.png")
    for name in ("grey.png", "palette.png"):
        pixels = np.asarray(image_folder.read_image(tmp_path / name))
        assert pixels.shape == (8, 8, 3)
        assert (pixels[..., 0] == pixels[..., 2]).all()


def test_the_fingerprint_follows_names_sizes_and_labels(class_folders):
    root = class_folders("set", 8) / "set"
    before = image_folder.scan(root).fingerprint()
    assert image_folder.scan(root).fingerprint() == before
    (root / "train" / "ant" / "0.png").rename(root / "train" / "ant" / "zero.png")
    assert image_folder.scan(root).fingerprint() != before


@pytest.mark.parametrize("name", ["0.png", "1.JPEG"])
@pytest.mark.parametrize("harm", ["cut short", "not an image", "empty"])
def test_a_damaged_image_is_named(class_folders, name, harm):
    found = image_folder.scan(class_folders("set", 32) / "set")
    path = found.train.folder / "bee" / name
    content = path.read_bytes()
    harmed = {"cut short": content[: len(content) // 2], "not an image": b"hello", "empty": b""}
    path.write_bytes(harmed[harm])
    with pytest.raises(DataError, match=rf"bee/{name}: cannot be decoded"):
        image_folder.read_all(found.train, 32)


def test_a_file_that_vanished_after_the_scan_is_named(class_folders):
    found = image_folder.scan(class_folders("set", 8) / "set")
    (found.train.folder / "bee" / "0.png").unlink()
    with pytest.raises(DataError, match=r"bee/0\.png"):
        image_folder.read_all(found.train, 8)


def test_an_image_of_another_size_is_named(class_folders):
    found = image_folder.scan(class_folders("set", 8) / "set")
    Image.new("RGB", (9, 8)).save(found.train.folder / "ant" / "2.png")
    with pytest.raises(DataError, match=r"ant/2\.png: expected 8 x 8 pixels, got 8 x 9"):
        image_folder.read_all(found.train, 8)


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((4, 4), 1000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: expected 8 bits a channel"):
        image_folder.read_image(tmp_path / "deep.png")


def test_an_empty_class_folder_is_named(class_folders):
    root = class_folders("set", 8) / "set"
    (root / "train" / "cat").mkdir()
    with pytest.raises(DataError, match=r"train: no .jpg.* in class folder cat"):
        image_folder.scan(root)


def test_images_without_class_folders(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / part / "a.png")
    with pytest.raises(DataError, match="expected one folder a class, found none and 1 loose"):
        image_folder.scan(tmp_path)


def test_parts_with_different_classes(class_folders):
    root = class_folders("set", 8) / "set"
    (root / "test" / "bee").rename(root / "test" / "wasp")
    with pytest.raises(DataError, match=r"only in .*train: bee; only in .*test: wasp"):
        image_folder.scan(root)


def test_a_folder_without_parts(tmp_path):
    with pytest.raises(DataError, match=r"must hold train/ and one of val, .* found nothing"):
        image_folder.scan(tmp_path)
