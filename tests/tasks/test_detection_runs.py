"""Detectors side by side: what a run directory holds, what is trained once, what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from repro.data.scenes import Recipe, load_scenes
from repro.models.detection import DETECTORS
from repro.names import UnknownNameError
from repro.params import load
from repro.report.results import Results
from repro.report.runs import DETECTION
from repro.tasks.detection_runs import Setting, differences, network_of, run_detectors
from repro.train import TrainConfig
from repro.training.config import field_names

SCENES = load_scenes(0, Recipe(train_count=2, test_count=1, side=64, fewest=3, most=3))
CONFIG = TrainConfig(epochs=1, batch_size=2, lr=1e-3, optimizer="adamw", accelerator="cpu")
BOXES = Setting(SCENES, CONFIG, {"sides": (64, 64)})


def run(tmp_path, methods, *, config=CONFIG, seeds=(0, 1), masks=None):
    return run_detectors(
        methods,
        dataclasses.replace(BOXES, config=config),
        masks,
        size="small",
        seeds=seeds,
        out_dir=tmp_path / "detection",
        resume_dir=tmp_path / "resume",
        show_progress=False,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    methods = ["nearest", "ddf_up", "faster_rcnn_r50", "mask_rcnn_r50"]
    return path, run(path, methods, masks=BOXES)


def test_a_network_that_two_rows_share_is_trained_once(found):
    path, runs = found
    assert network_of("faster_rcnn_r50") == "nearest"
    folders = {folder.name for folder in (path / "detection" / "seeds").iterdir()}
    assert folders == {"nearest", "ddf_up", "mask_rcnn_r50"}
    assert runs.values("faster_rcnn_r50") == runs.values("nearest")
    assert len({network_of(name) for name in DETECTORS}) == len(DETECTORS) - 1


def test_the_report_reads_what_the_run_writes(found):
    path, runs = found
    read = Results(path).run(DETECTION, "ddf_up")
    assert read.seeds == (0, 1)
    assert read.figures("ap") == pytest.approx(runs.values("ddf_up"))
    assert read.figures("mask_ap") == {}
    assert read.details["dataset"] == "scenes"
    assert read.details["steps"] == 1
    assert Results(path).run(DETECTION, "mask_rcnn_r50").figures("mask_ap").keys() == {0, 1}


def test_a_row_is_compared_with_its_base(found):
    path, runs = found
    content = json.loads((path / "detection" / "metrics.json").read_text())
    own = content["variants"]["ddf_up"]
    assert own["base"] == "nearest"
    paired = differences(runs.detectors["ddf_up"].runs, runs.detectors["nearest"].runs)
    assert own["difference_ap"]["mean"] == pytest.approx(sum(paired.values()) / 2, abs=1e-9)
    assert content["variants"]["nearest"]["base"] is None
    assert set(content["floors"]["scenes"]) == {"whole_image", "grid", "regions"}
    assert "mask_ap" in content["floors"]["scenes"]["grid"]


def test_masks_are_found_in_the_size_of_the_image(found):
    _, runs = found
    (seen,) = runs.detectors["mask_rcnn_r50"].detect([SCENES.test[0]])
    assert seen["masks"].shape == (len(seen["boxes"]), 64, 64)
    assert seen["masks"].dtype == bool
    curve = runs.detectors["nearest"].measured().curve()
    assert curve.shape == (101,)


def test_a_finished_seed_is_not_trained_again(found):
    path, runs = found
    again = run(path, ["nearest", "ddf_up"], seeds=(0,))
    (first, *_), (same,) = runs.detectors["ddf_up"].runs, again.detectors["ddf_up"].runs
    assert same.seconds == first.seconds
    assert same.metrics == pytest.approx(first.metrics)


def test_breaking_down_is_a_result(tmp_path):
    runs = run(tmp_path, ["nearest"], config=dataclasses.replace(CONFIG, lr=1e30, epochs=2))
    own = runs.detectors["nearest"]
    assert own.metrics["ap"] == [None, None]
    assert own.measured() is None
    with pytest.raises(ValueError, match="no seed of nearest finished"):
        own.detect([SCENES.test[0]])


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["ddf_up"], "ddf_up is compared with nearest, which is not among"),
        (["nearest", "nearest"], "twice: ..nearest"),
        ([], "at least one"),
        (["mask_rcnn_r50"], "needs a setting for masks"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, methods, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, methods)
    assert not (tmp_path / "detection").exists()


def test_an_unknown_detector_is_named(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean nearest"):
        run(tmp_path, ["nearst"])


def test_the_printed_protocols_are_configurations():
    block = load()["detection"]["paper"]
    assert block["max_grad_norm"] == 0, "the notebook's word for no clipping"
    fields = field_names() - {"max_grad_norm"}
    boxes = TrainConfig(**{k: v for k, v in block.items() if k in fields})
    masks = dataclasses.replace(boxes, **block["mask_recipe"])
    assert (boxes.optimizer, boxes.lr, boxes.milestones) == ("sgd", 0.02, (8.0, 11.0))
    assert (masks.optimizer, masks.lr, masks.milestones) == ("adamw", 1e-4, (10.0, 11.0))
    assert (boxes.batch_size, boxes.epochs, boxes.momentum) == (16, 12, 0.9)
