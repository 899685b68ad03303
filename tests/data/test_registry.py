"""The listing is complete and honest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from repro.__main__ import main
from repro.data import DataError, bundled
from repro.data.registry import DATASETS, locate
from repro.names import UnknownNameError

EVERY = {
    "cifar10",
    "tinyimagenet20",
    "tiny-imagenet",
    "imagenet",
    "coco",
    "coco_mini",
    "dsb2018_nuclei",
    "bccd",
    "camvid",
    "cityscapes",
    "ade20k",
    "nyu39",
    "nyu_depth_v2",
    "middlebury",
}


def entry(text: str, name: str) -> str:
    (found,) = (part for part in text.split("\n\n") if part.startswith(f"{name}: "))
    return found


def test_every_dataset_the_project_will_use_is_registered():
    assert set(DATASETS) == EVERY
    for dataset in DATASETS.values():
        assert dataset.task
        assert dataset.layout
        assert dataset.obtain


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_dataset_is_found_by_each_of_its_layouts_and_folder_names(name, tmp_path):
    dataset = DATASETS[name]
    for number, layout in enumerate(dataset.layouts):
        for folder in dataset.folders:
            root = tmp_path / f"{number}-{folder}"
            for path in layout[:-1]:
                (root / folder / path).mkdir(parents=True, exist_ok=True)
            complete = len(layout) == 1
            assert complete or dataset.find(root) is None
            (root / folder / layout[-1]).mkdir(parents=True, exist_ok=True)
            assert locate(name, root) == root / folder


def test_the_command_lists_everything(capsys, monkeypatch):
    monkeypatch.delenv("REPRO_DATA", raising=False)
    assert main(["data"]) == 0
    text = capsys.readouterr().out
    made = {"bundled", "patches", "motorcycle", "bundled_rgbd", "scenes", "mosaics"}
    for name in EVERY | made:
        lines = entry(text, name)
        for label in ("task:", "reader:", "where:", "format:", "get:"):
            assert label in lines
    assert "all 16 files" in entry(text, "bundled")
    assert "reader: yes" in entry(text, "cifar10")
    assert "reader: yes" in entry(text, "nyu_depth_v2")
    assert "reader: yes" in entry(text, "middlebury")
    assert "reader: yes" in entry(text, "cityscapes")


def test_a_dataset_without_a_reader_says_so(capsys, monkeypatch):
    monkeypatch.setitem(DATASETS, "coco", replace(DATASETS["coco"], has_reader=False))
    assert main(["data", "coco"]) == 0
    assert "reader: not written yet" in capsys.readouterr().out


def test_the_command_says_what_it_found(capsys, monkeypatch, class_folders):
    root = class_folders("cifar10", 8)
    monkeypatch.setenv("REPRO_DATA", str(root))
    assert main(["data", "cifar10", "imagenet"]) == 0
    text = capsys.readouterr().out
    assert entry(text, "cifar10").startswith(f"cifar10: found in {root / 'cifar10'}")
    assert entry(text, "imagenet").startswith("imagenet: not found")
    assert "camvid" not in text


def test_a_data_root_that_is_not_there_is_said(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path / "typo"))
    assert main(["data", "cifar10"]) == 0
    assert "no such folder" in capsys.readouterr().out


def test_harm_to_the_bundled_images_fails_the_command(capsys, monkeypatch):
    def harmed() -> int:
        raise DataError("1 of 16 bundled files missing or changed")

    monkeypatch.setattr(bundled, "verify_bundled", harmed)
    assert main(["data", "bundled"]) == 1
    assert "1 of 16" in capsys.readouterr().out


def test_an_unknown_name(capsys):
    assert main(["data", "cityscape"]) == 1
    assert "did you mean cityscapes" in capsys.readouterr().err
    with pytest.raises(UnknownNameError, match="did you mean coco"):
        locate("coc")
