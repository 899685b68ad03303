"""The default task: disjoint regions, equal bytes for equal seeds, damage noticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from repro.data import DataError, bundled, load_classification, patches, prepare_patches
from repro.data.patches import Recipe, Tile, tiles

SMALL = Recipe(train_per_class=20, test_per_class=8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root") / "patches"
    prepare_patches(folder, seed=3, recipe=SMALL)
    return folder


def area(parts: list[Tile]) -> int:
    return sum((t.right - t.left) * (t.bottom - t.top) for t in parts)


@pytest.mark.parametrize("name", patches.SOURCES)
def test_train_and_test_tiles_are_apart_by_the_gap(name):
    recipe = Recipe()
    width, height = bundled.load_image(name).size
    found = tiles(width, height, recipe)
    for part in ("train", "test"):
        assert any(tile.part == part for tile in found)
    for a in found:
        for b in found:
            across = max(a.left, b.left) - min(a.right, b.right)
            down = max(a.top, b.top) - min(a.bottom, b.bottom)
            assert a is b or max(across, down) >= recipe.gap
    assert 0.15 < area([t for t in found if t.part == "test"]) / area(found) < 0.35


def test_a_patch_takes_pixels_of_its_own_tile_only():
    # An image that is black outside one tile and white inside: a patch must see white alone.
    recipe = Recipe()
    place = tiles(320, 240, recipe)[5]
    pixels = np.zeros((240, 320), dtype=np.uint8)
    pixels[place.top : place.bottom, place.left : place.right] = 255
    image = patches.Image.fromarray(pixels)
    random = np.random.default_rng(0)
    for size in (patches.SIZE, patches.SIZE + 2 * recipe.margin):
        assert (patches.cut(image, [place], size, 300, recipe, random) == 255).all()


def test_an_upright_patch_at_scale_one_is_a_window_of_the_image():
    recipe = Recipe(smallest_scale=1, largest_scale=1, largest_turn=0, detail_share=1)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (100, 34)).astype(np.uint8)
    tile = Tile("train", 0, 0, 34, 34)  # one pixel to spare on each side: the only place is (1, 1)
    (patch,) = patches.cut(patches.Image.fromarray(pixels), [tile], 32, 1, recipe, random)
    assert (patch == pixels[1:33, 1:33]).all()


def test_a_tile_that_cannot_hold_a_patch_is_an_error():
    image = patches.Image.new("L", (200, 200))
    tile = Tile("test", 0, 0, 30, 200)
    with pytest.raises(DataError, match="too small for a patch of 32 pixels"):
        patches.cut(image, [tile], 32, 5, Recipe(), np.random.default_rng(0))


def test_equal_seeds_give_equal_bytes(prepared, tmp_path):
    prepare_patches(tmp_path, seed=3, recipe=SMALL)
    for name in ("patches.npz", "task.json"):
        assert (tmp_path / name).read_bytes() == (prepared / name).read_bytes()


def test_another_seed_gives_other_patches(prepared, tmp_path):
    prepare_patches(tmp_path, seed=4, recipe=SMALL)
    assert (tmp_path / "patches.npz").read_bytes() != (prepared / "patches.npz").read_bytes()


def test_the_task_is_what_it_says(prepared):
    data = load_classification("patches", root=prepared.parent)
    assert data.num_classes == len(patches.SOURCES) == 10
    assert data.train_images.shape == (10 * 20, 1, 36, 36)
    assert data.test_images.shape == (10 * 8, 1, 32, 32)
    assert data.train_labels.bincount().tolist() == [20] * 10
    assert data.test_labels.bincount().tolist() == [8] * 10
    assert data.in_channels == 1


@pytest.mark.parametrize("augment", [True, False])
def test_every_patch_the_network_sees_is_standardised(prepared, augment):
    data = load_classification("patches", root=prepared.parent)
    train = [x for x, _ in data.train_batches(32, seed=0, epoch=0, augment=augment)]
    test = [x for x, _ in data.test_batches(32)]
    for x in train + test:
        assert x.shape[1:] == (1, 32, 32)
        assert x.mean((1, 2, 3)).abs().max() < 1e-4
        torch.testing.assert_close(x.flatten(1).std(1, unbiased=False), torch.ones(len(x)))


def test_augmentation_is_a_function_of_seed_epoch_and_place(prepared):
    data = load_classification("patches", root=prepared.parent)
    batches = data.train_batches(32, seed=1, epoch=5)
    (x, y), (again, labels) = list(batches)[4], next(batches.starting_at(4))
    assert torch.equal(x, again)
    assert torch.equal(y, labels)
    assert not torch.equal(x, next(data.train_batches(32, seed=1, epoch=6).starting_at(4))[0])


def test_floors_are_recorded(prepared):
    floors = json.loads((prepared / "task.json").read_text())["floors"]
    assert floors["chance"] == pytest.approx(100 / 10, abs=0.01)
    assert set(floors) == {
        "chance",
        "nearest_mean",
        "linear_pixels",
        "linear_histogram",
        "logistic_statistics",
        "nearest_neighbour",
        "gaussian_statistics",
    }


def harm_arrays(folder: Path) -> None:
    with (folder / "patches.npz").open("r+b") as file:
        file.seek(1000)
        file.write(b"harm")


def harm_description(folder: Path) -> None:
    (folder / "task.json").write_text('{"seed": 0')


def remove_arrays(folder: Path) -> None:
    (folder / "patches.npz").unlink()


def other_description(folder: Path) -> None:
    (folder / "task.json").write_text("{}")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (harm_arrays, r"patches.npz: expected sha256 \w{64}, found \w{64}"),
        (harm_description, r"task.json is damaged"),
        (other_description, r"task.json is damaged: KeyError\('sha256'\)"),
        (remove_arrays, r"patches.npz: no such file"),
    ],
)
def test_damage_is_named_with_its_repair(prepared, tmp_path, harm, message):
    folder = Path(shutil.copytree(prepared, tmp_path / "patches"))
    harm(folder)
    with pytest.raises(DataError, match=rf"{message}.*00_prepare_data.ipynb"):
        load_classification("patches", root=tmp_path)


def test_patches_of_another_seed_are_refused_when_a_seed_is_asked_for(prepared):
    assert load_classification("patches", root=prepared.parent, seed=3).name == "patches"
    with pytest.raises(DataError, match="expected seed 4, found 3"):
        load_classification("patches", root=prepared.parent, seed=4)


def test_an_interrupted_preparation_leaves_no_description(prepared, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(prepared, tmp_path / "patches"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("repro.files.write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare_patches(folder, seed=1, recipe=SMALL)
    with pytest.raises(DataError, match=r"task.json: no such file"):
        patches.load_patches(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["patches.npz"]


def test_patches_that_are_not_there_are_prepared(tmp_path, monkeypatch):
    monkeypatch.setattr("repro.data.patches.Recipe", lambda **given: SMALL)
    data = load_classification("patches", root=tmp_path)
    assert data.train_count == 10 * 20
    assert (tmp_path / "patches" / "task.json").is_file()


@pytest.mark.slow
def test_the_floors_of_the_real_task_leave_room_for_a_network(tmp_path):
    floors = prepare_patches(tmp_path)["floors"]
    assert floors["nearest_mean"] < 20
    assert floors["linear_pixels"] < 20
    assert floors["linear_histogram"] < 20
    assert floors["nearest_neighbour"] < 30
    assert max(floors["logistic_statistics"], floors["gaussian_statistics"]) < 55
