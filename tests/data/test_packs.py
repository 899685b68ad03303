"""Archives of datasets are unpacked once, and a damaged one is named."""

from __future__ import annotations

import tarfile
import zipfile

import pytest

from repro.data import registry
from repro.data.errors import DataError
from repro.data.packs import unpacked


def zip_of(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_a_zip_is_unpacked_once(tmp_path):
    pack = zip_of(tmp_path / "a.zip", ["a/one.txt", "a/two.txt"])
    folder = unpacked(pack, tmp_path / "packs")
    assert sorted(path.name for path in folder.rglob("*.txt")) == ["one.txt", "two.txt"]
    (folder / "a" / "one.txt").write_text("kept")
    assert (unpacked(pack, tmp_path / "packs") / "a" / "one.txt").read_text() == "kept"


def test_a_changed_archive_replaces_the_old_content(tmp_path):
    old = unpacked(zip_of(tmp_path / "a.zip", ["a/one.txt"]), tmp_path / "packs")
    new = unpacked(zip_of(tmp_path / "a.zip", ["a/other.txt"]), tmp_path / "packs")
    assert not old.exists()
    assert (new / "a" / "other.txt").is_file()


def test_a_tar_is_unpacked(tmp_path):
    (tmp_path / "one.txt").write_text("1")
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as archive:
        archive.add(tmp_path / "one.txt", "a/one.txt")
    folder = unpacked(tmp_path / "a.tar.xz", tmp_path / "packs")
    assert (folder / "a" / "one.txt").read_text() == "1"


@pytest.mark.parametrize("name", ["a.zip", "a.tar.xz"])
def test_a_truncated_archive_is_named_and_leaves_nothing(tmp_path, name):
    whole = zip_of(tmp_path / "whole.zip", ["a/one.txt"]).read_bytes()
    (tmp_path / name).write_bytes(whole[:40])
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        unpacked(tmp_path / name, tmp_path / "packs")
    assert list((tmp_path / "packs").iterdir()) == []


def test_a_dataset_is_found_in_its_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.paths, "build_dir", lambda: tmp_path / "build")
    names = ["RGB/one.png", "Depth/one.png"]
    zip_of(
        tmp_path / "middlebury_rgbd" / "middlebury_rgbd.zip",
        [f"middlebury_rgbd/{n}" for n in names],
    )
    folder = registry.locate("middlebury", tmp_path)
    assert (folder / "RGB" / "one.png").is_file()


def test_an_archive_of_something_else_says_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.paths, "build_dir", lambda: tmp_path / "build")
    zip_of(tmp_path / "middlebury_rgbd" / "middlebury_rgbd.zip", ["notes.txt"])
    with pytest.raises(DataError, match=r"Depth.*it holds notes\.txt"):
        registry.locate("middlebury", tmp_path)
