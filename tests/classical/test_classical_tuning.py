"""Tuning descends the grid, keeps every trial and writes what upsampling takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import repro.classical.command as command
import repro.classical.tuning as tuning
from repro.__main__ import main
from repro.classical import METHODS, ClassicalMethod, upsample
from repro.classical.tuning import central_crop, tune
from repro.data.rgbd import RGBDData, RGBDPair
from repro.files import read_json
from repro.tasks.depth_error import rmse


def scene(seed=0, size=(40, 50)):
    generator = np.random.default_rng(seed)
    depth = np.full(size, 1, np.float32)
    depth[:, size[1] // 3 :] = 2
    depth[size[0] // 2 :] += 0.7
    noise = generator.integers(0, 20, (*size, 3))
    return RGBDPair(f"scene{seed}", (60 * depth[..., None] + noise).astype(np.uint8), depth)


@pytest.fixture
def bowl(monkeypatch):
    """A method whose error is a bowl over its grid, least at a = 5, b = 1."""
    method = ClassicalMethod(
        "bowl", "", "", np.copy, {"a": (1, 2, 3, 4, 5), "b": (0.5, 1.0, 2.0, 4.0)}
    )
    monkeypatch.setattr(tuning, "METHODS", {"bowl": method})

    def error(name, low, rgb, factor, *, offset, a, b):
        return np.full(rgb.shape[:2], (a - 5) ** 2 + (b - 1) ** 2 + 0.5 * abs(a - 5) * b)

    monkeypatch.setattr(tuning, "upsample", error)


def height(prediction, truth):
    return float(prediction[0, 0])


def test_the_better_of_two_descents_is_kept(monkeypatch):
    errors = {(0, 0): 3, (0, 1): 4, (0, 2): 5, (1, 0): 4, (1, 1): 2, (1, 2): 4}
    errors |= {(2, 0): 5, (2, 1): 4, (2, 2): 1}  # (1, 1) and (2, 2) are both lower than their lines
    method = ClassicalMethod("pits", "", "", np.copy, {"a": (0, 1, 2), "b": (0, 1, 2)})
    monkeypatch.setattr(tuning, "METHODS", {"pits": method})

    def error(name, low, rgb, factor, *, offset, a, b):
        return np.full(rgb.shape[:2], errors[a, b])

    monkeypatch.setattr(tuning, "upsample", error)
    assert tune("pits", [scene()], 4, metric=height).parameters == {"a": 2, "b": 2}
    errors[1, 1] = 0
    assert tune("pits", [scene()], 4, metric=height).parameters == {"a": 1, "b": 1}


@pytest.mark.usefixtures("bowl")
def test_descent_finds_the_bottom_and_keeps_every_trial():
    tuned = tune("bowl", [scene()], 4, metric=height)
    assert tuned.parameters == {"a": 5, "b": 1.0}
    assert tuned.error == 0
    points = [tuple(trial.parameters.values()) for trial in tuned.trials]
    assert len(points) == len(set(points)) < 20  # fewer than the grid has
    assert {(3, 2.0), (5, 4.0)} <= set(points)  # both starts, the middle and the end
    assert tuned.error == min(trial.error for trial in tuned.trials)
    # A local optimum: both neighbours along both axes were tried.
    assert {(4, 1.0), (5, 0.5), (5, 2.0)} <= set(points)


def test_error_is_the_mean_over_the_frames():
    pairs = [scene(0), scene(1, (48, 33))]
    errors = []
    for pair in pairs:
        H, W = (side // 4 * 4 for side in pair.depth.shape)
        depth, rgb = pair.depth[:H, :W], pair.rgb[:H, :W]
        out = upsample("bilinear", depth[3::4, 3::4].copy(), rgb, 4, offset=3.0)
        errors.append(rmse(out, depth))
    tuned = tune("bilinear", pairs, 4, sampling="last")
    assert tuned.error == pytest.approx(np.mean(errors))
    assert tuned.parameters == {}
    assert len(tuned.trials) == 1


@pytest.mark.parametrize("method", list(METHODS))
def test_tuned_beats_the_start_and_is_what_upsampling_gives(method):
    pair = scene(size=(32, 32))
    tuned = tune(method, [pair], 4)
    assert tuned.error <= tuned.trials[0].error
    out = upsample(
        method, pair.depth[1::4, 1::4].copy(), pair.rgb, 4, offset=1.0, **tuned.parameters
    )
    assert rmse(out, pair.depth) == pytest.approx(tuned.error)


def test_unknown_depth_is_filled_before_and_left_out_after():
    pair = scene()
    depth = pair.depth.copy()
    depth[9:13, 5:9] = np.nan  # holds the sample at (9, 5)
    holed = replace(pair, depth=depth)
    tuned = tune("jbu", [holed], 4)
    assert np.isfinite(tuned.error)
    assert tuned.error != tune("jbu", [pair], 4).error


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one training frame"):
        tune("jbu", [], 4)
    with pytest.raises(ValueError, match="unknown classical method"):
        tune("jbo", [scene()], 4)
    with pytest.raises(ValueError, match="unknown sampling"):
        tune("jbu", [scene()], 4, sampling="center")
    with pytest.raises(ValueError, match="errors of the frames are"):
        tune("bilinear", [scene(size=(12, 12))], 4)  # the border leaves nothing to count
    with pytest.raises(ValueError, match="crop must be at least 1, got 0"):
        central_crop(scene(), 0)


def test_crop_is_the_middle():
    pair = scene(size=(40, 50))
    cut = central_crop(pair, 20)
    np.testing.assert_array_equal(cut.depth, pair.depth[10:30, 15:35])
    np.testing.assert_array_equal(cut.rgb, pair.rgb[10:30, 15:35])
    assert central_crop(pair, 45).depth.shape == (40, 45)


@pytest.fixture
def three_scenes(monkeypatch):
    """Data whose stored depth is metres and whose errors are centimetres, in place of any other."""
    pairs = tuple(scene(seed, (32, 32)) for seed in range(3))
    data = RGBDData("bundled_rgbd", "cm", 100.0, pairs, pairs[:1], "0" * 64, "")
    monkeypatch.setattr(command, "load_rgbd", lambda name: data)
    return pairs


def test_the_verb_writes_parameters_and_trials(three_scenes, tmp_path, capsys):
    path = tmp_path / "tuned.json"
    words = f"tune --frames 2 --factors 8 --crop 28 --out {path}"
    assert main(words.split()) == 0
    assert "jbu 8x: " in capsys.readouterr().out
    value = read_json(path)
    assert set(METHODS) <= set(value)
    assert (value["dataset"], value["sampling"], value["crop"]) == ("bundled_rgbd", "centre", 28)
    assert value["frames"] == ["scene0", "scene1"]
    assert len(value["fingerprint"]) == 64
    pairs = [central_crop(pair, 28) for pair in three_scenes[:2]]
    tuned = tune("jbu", pairs, 8)
    assert value["jbu"]["8"]["parameters"] == tuned.parameters
    assert value["jbu"]["8"]["rmse"] == pytest.approx(100 * tuned.error)  # in centimetres
    assert len(value["jbu"]["8"]["trials"]) == len(tuned.trials)
    low = np.ones((4, 4), np.float32)
    for method in METHODS:  # numbers come back from JSON of the type that upsampling takes
        upsample(
            method, low, three_scenes[0].rgb, 8, offset=3.0, **value[method]["8"]["parameters"]
        )
    first = path.read_bytes()
    assert main(words.split()) == 0
    assert path.read_bytes() == first


@pytest.mark.usefixtures("three_scenes")
def test_a_scale_gives_the_options(tmp_path, monkeypatch, capsys):
    given = {"frames": 1, "factors": [8], "methods": ["jbu"], "sampling": "area"}
    monkeypatch.setattr(command, "load_section", lambda section, scale: dict(given))
    path = tmp_path / "tuned.json"
    words = f"tune --scale smoke --out {path}".split()
    assert main(words) == 0
    value = read_json(path)
    assert value["sampling"] == "area"
    assert value["frames"] == ["scene0"]
    assert list(value["jbu"]) == ["8"]
    assert "mrf" not in value
    given["frame"] = 1
    assert main(words) == 1
    assert "got frame" in capsys.readouterr().err


@pytest.mark.usefixtures("three_scenes")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--frames 4", "from 1 to the 3 of bundled_rgbd, got 4"),
        ("--methods jbo", "unknown classical method 'jbo'; did you mean jbu"),
        ("--sampling center", "unknown sampling"),
        ("--crop 0", "crop must be at least 1, got 0"),
        ("--crop 10 --factors 16", "cannot be cut to a multiple of 16"),
        ("--factors 1", "factor must be at least 2"),
    ],
)
def test_the_verb_refuses(words, message, tmp_path, capsys):
    assert main(f"tune {words} --out {tmp_path / 'tuned.json'}".split()) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_dataset_for_testing_alone_is_refused(monkeypatch, tmp_path, capsys):
    data = RGBDData("middlebury", "px", 1.0, (), (scene(),), "0" * 64, "")
    monkeypatch.setattr(command, "load_rgbd", lambda name: data)
    words = f"tune --dataset middlebury --frames 1 --out {tmp_path / 'tuned.json'}"
    assert main(words.split()) == 1
    assert "no training pairs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
