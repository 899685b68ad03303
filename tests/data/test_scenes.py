"""Scenes are made again from their numbers, and what they say of themselves is true."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from repro.data import DataError, bundled, scenes
from repro.data.scenes import Recipe, Scenes, load_scenes
from repro.data.shapes import SHAPES

MANY = Recipe(train_count=60, test_count=20)


@pytest.fixture(scope="module")
def made():
    return load_scenes(0, MANY)


def test_a_scene_depends_on_its_numbers_alone(made):
    again = load_scenes(0, MANY)
    for index in (7, 3):  # in another order
        one, other = made.train.scene(index), again.train.scene(index)
        assert (one.image == other.image).all()
        assert (one.instances == other.instances).all()
    for other in (load_scenes(1, MANY).train.scene(3), made.test.scene(3), made.train.scene(4)):
        assert (other.image != made.train.scene(3).image).any()


def test_names_and_counts(made):
    assert (len(made.train), len(made.test)) == (60, 20)
    assert made.train.scene(-1).name == "train 59"
    with pytest.raises(IndexError):
        made.test.scene(20)
    assert made.class_names == tuple(SHAPES)
    assert made.has_masks


def test_the_fingerprint_follows_seed_and_recipe(made):
    assert load_scenes(0, MANY).fingerprint == made.fingerprint
    assert load_scenes(1, MANY).fingerprint != made.fingerprint
    assert load_scenes(0).fingerprint != made.fingerprint


def test_boxes_masks_areas_and_label_map_agree(made):
    for index in range(20):
        scene, found = made.train.scene(index), made.train[index]
        assert found.image.shape == (128, 128, 3)
        assert found.masks.shape == (len(found.labels), 128, 128)
        assert (found.masks.sum(0) <= 1).all()  # what is seen of one hides the other
        assert (found.areas == found.masks.sum((1, 2))).all()
        assert scene.labels.dtype == np.uint8
        assert ((scene.labels == 0) == ~found.masks.any(0)).all()
        for label, mask, box in zip(found.labels, found.masks, found.boxes, strict=True):
            assert (scene.labels[mask] == label).all()
            x1, y1, x2, y2 = box.astype(int)
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            for edge in (
                mask[y1, x1:x2],
                mask[y2 - 1, x1:x2],
                mask[y1:y2, x1],
                mask[y1:y2, x2 - 1],
            ):
                assert edge.any()
        assert made.train.objects(index).boxes.tolist() == found.boxes.tolist()


def test_every_class_and_every_size_comes_up(made):
    objects = [made.train.objects(index) for index in range(60)]
    labels = np.concatenate([o.labels for o in objects])
    areas = np.concatenate([o.areas for o in objects])
    assert set(labels.tolist()) == set(range(1, len(SHAPES) + 1))
    small, large = made.area_unit**2, (3 * made.area_unit) ** 2
    assert made.area_unit == pytest.approx(32 * 128 / 480)
    for share in ((areas < small).mean(), (areas > large).mean()):
        assert 0.1 < share < 0.35
    assert areas.min() >= MANY.least_area


def test_objects_hide_one_another_but_none_too_much():
    crowded = dataclasses.replace(MANY, fewest=12, most=12)
    hidden = 0
    for index in range(20):
        scene = Scenes("train", 0, crowded).scene(index)
        assert scene.masks.sum((1, 2)).min() >= crowded.least_area
        discs = scene.masks[scene.classes == 1]
        for disc in discs:
            rows, columns = np.flatnonzero(disc.any(1)), np.flatnonzero(disc.any(0))
            inner = (rows[0], columns[0]) > (0, 0) and max(rows[-1], columns[-1]) < 127
            round_area = np.pi / 4 * len(rows) * len(columns)
            hidden += bool(inner and disc.sum() < 0.9 * round_area)
    assert hidden > 3


@pytest.mark.parametrize("name", SHAPES)
def test_distances_are_those_to_the_outline(name):
    across = np.linspace(-1.5, 1.5, 301, dtype=np.float32)
    distance = SHAPES[name](across[None], across[:, None])
    assert distance.shape == (301, 301)
    # A distance changes by one for each step of one, away from creases; and nowhere by more.
    step = across[1] - across[0]
    slope = np.hypot(*np.gradient(distance, step))
    assert np.median(slope) == pytest.approx(1, abs=1e-3)
    for axis in (0, 1):
        assert np.abs(np.diff(distance, axis=axis)).max() < 1.0001 * step
    radius = np.hypot(across[None], across[:, None])
    assert radius[distance < 0].max() == pytest.approx(1, abs=0.02)


AREAS = {
    "disc": np.pi,
    "ring": 0.75 * np.pi,
    "triangle": 0.75 * 3**0.5,
    "square": 2.0,
    "star": 5 * 0.4 * np.sin(np.pi / 5),
    "cross": 4 * (0.5 * np.sin(np.pi / 6) + 0.42 * np.sin(np.pi / 6)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_inside_of_an_outline_has_its_area(name):
    across = (np.arange(600, dtype=np.float32) + 0.5) / 200 - 1.5
    inside = (SHAPES[name](across[None], across[:, None]) < 0).mean() * 9
    assert inside == pytest.approx(AREAS[name], rel=0.005)


def test_train_and_test_textures_come_from_different_pixels(monkeypatch):
    # Each pixel of a photograph is given its own column's number, here as its red level.
    def numbered(name):
        height, width = SIZES[name]
        long_side = np.arange(max(height, width)) // 8
        levels = long_side[None] if width >= height else long_side[:, None]
        pixels = np.broadcast_to(levels[..., None], (height, width, 3)).astype(np.uint8)
        return scenes.Image.fromarray(pixels)

    SIZES = {name: bundled.load_image(name).size[::-1] for name in scenes.SOURCES}
    monkeypatch.setattr(bundled, "load_image", numbered)
    scenes._regions.cache_clear()
    try:
        train = scenes._regions("train", 0.3, 8)
        test = scenes._regions("test", 0.3, 8)
    finally:
        scenes._regions.cache_clear()
    for mine, theirs in zip(train, test, strict=True):
        assert mine.max() <= theirs.min()
        assert min(*mine.shape[:2], *theirs.shape[:2]) >= 64


def test_a_missing_photograph_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(bundled.paths, "bundled_data", lambda: tmp_path)
    scenes._regions.cache_clear()
    with pytest.raises(DataError, match="repair with"):
        load_scenes(0).train.scene(0)
