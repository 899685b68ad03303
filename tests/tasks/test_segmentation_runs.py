"""Runs of segmenters side by side: pairs, files, what is remembered, what broke down."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import confusion_matrix

from repro.data.mosaics import make
from repro.data.segmentation_crops import RandomCrops
from repro.names import UnknownNameError
from repro.report.class_areas import read_class_areas
from repro.tasks import segmentation_runs
from repro.tasks.segmentation_analysis import (
    boundary_ratios,
    boundary_table,
    prepared,
    spectra_table,
)
from repro.tasks.segmentation_inference import Inference
from repro.train import TrainConfig

METHODS = ["upernet_r50", "upernet_r50_fdconv"]
CONFIG = TrainConfig(epochs=1, batch_size=2, lr=1e-3, optimizer="adamw")


@pytest.fixture(scope="module")
def data():
    return make(0, train_mosaics=4, test_mosaics=3)


@pytest.fixture(scope="module")
def ran(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmentation")
    return run(data, folder), folder


def run(data, folder, **options):
    chosen = {
        "seeds": [0, 1],
        "crop": RandomCrops((32, 32)),
        "multi_scales": [0.5, 1.0],
        "multi_scale_methods": METHODS,
        **options,
    }
    return segmentation_runs.run_segmentation(
        METHODS,
        CONFIG,
        data,
        out_dir=folder / "out",
        resume_dir=folder / "resume",
        show_progress=False,
        **chosen,
    )


def test_rows_are_paired_by_seed_with_their_base(ran):
    variants = ran[0].metrics["variants"]
    assert list(variants) == METHODS
    mine, base = variants["upernet_r50_fdconv"], variants["upernet_r50"]
    assert mine["base"] == "upernet_r50"
    assert "base" not in base
    for metric in ("miou", "miou_ms"):
        expected = np.mean(np.subtract(mine[metric], base[metric]))
        assert mine["difference"][metric]["mean"] == pytest.approx(expected)
        assert mine["difference"][metric]["n"] == 2
    assert ran[0].metrics["floor"]["miou"] > 0
    assert ran[0].metrics["steps"] == 2


def test_mean_iou_is_that_of_an_independent_confusion_matrix(ran, data):
    found = ran[0]
    total = np.zeros((8, 8))
    for item in data.test:
        (images, labels), *_ = segmentation_runs.WholeImages([item], 1)
        with torch.no_grad():
            predicted = Inference().probabilities(found.model("upernet_r50"), images).argmax(1)
        total += confusion_matrix(labels.ravel(), predicted.ravel(), labels=range(8))
    either = total.sum(0) + total.sum(1) - np.diag(total)
    expected = 100 * np.mean(np.diag(total)[either > 0] / either[either > 0])
    assert found.metrics["variants"]["upernet_r50"]["miou"][0] == pytest.approx(expected, abs=1e-9)


def test_the_files_say_what_the_runs_found(ran):
    folder = ran[1]
    names = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*.*")}
    assert {"metrics.json", "per_image.csv", "history.csv", "params.json", "env.json"} <= names
    assert {f"seeds/{method}/{seed}.json" for method in METHODS for seed in (0, 1)} <= names
    written = json.loads((folder / "out" / "metrics.json").read_text())["variants"]
    areas = read_class_areas(folder / "out" / "per_image.csv", "segmentation")
    for method in METHODS:
        for metric in ("miou", "miou_ms"):
            own = areas[method, metric].miou(np.ones((1, 3)))[0]
            np.testing.assert_allclose(own, written[method][metric], atol=1e-6)
    history = pd.read_csv(folder / "out" / "history.csv")
    assert set(history["method"]) == set(METHODS)


def test_a_finished_matrix_is_neither_trained_nor_measured_again(ran, data, monkeypatch):
    monkeypatch.setattr(segmentation_runs, "image_areas", lambda *_: pytest.fail("measured again"))
    again = run(data, ran[1])
    assert again.per_image.equals(ran[0].per_image)
    assert again.metrics == ran[0].metrics


def test_an_unknown_row_is_named_before_anything_is_trained(data, tmp_path):
    with pytest.raises(UnknownNameError, match="upernet_r50"):
        segmentation_runs.run_segmentation(
            ["upernet_r5"], CONFIG, data, seeds=[0], out_dir=tmp_path, resume_dir=tmp_path
        )


def test_a_seed_that_breaks_down_leaves_a_gap(data, tmp_path, monkeypatch):
    trained = segmentation_runs.train_seeds

    def broken(task, config, seeds, **options):
        for one in trained(task, config, seeds, **options):
            if config.seed == 1:
                one = type(one)(1, {}, [], None, None, "the loss was not finite")
            yield one

    monkeypatch.setattr(segmentation_runs, "train_seeds", broken)
    found = run(data, tmp_path, multi_scales=[])
    own = found.metrics["variants"]["upernet_r50_fdconv"]
    assert own["miou"][1] is None
    assert own["failures"] == {"1": "the loss was not finite"}
    assert own["difference"]["miou"]["n"] == 1
    assert list(found.models("upernet_r50")) == [0]
    assert set(found.per_image["seed"]) == {0}


def test_boundaries_are_compared_layer_by_layer_and_image_by_image(ran, data):
    table = boundary_table({"m": ran[0].models("upernet_r50_fdconv")}, data.test)
    assert set(table["band"]) == {1, 2, 3}
    assert set(table["image"]) == {item.name for item in data.test}
    assert table["layer"].nunique() == 3, "the last stage's cells are too large"
    ratios = boundary_ratios(table)
    assert len(ratios) == 2 * 3 * 3
    one = ratios.iloc[0]
    chosen = table[(table[["seed", "image", "band"]] == one[["seed", "image", "band"]]).all(axis=1)]
    assert one["ratio"] == pytest.approx((chosen["inside"] / chosen["elsewhere"]).mean())


def test_spectra_are_shares_of_the_power(ran, data):
    trained = {method: ran[0].models(method) for method in METHODS}
    table = spectra_table(trained, data.test)
    sums = table.groupby(["method", "seed"])[["before", "after"]].sum()
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    assert spectra_table({}, data.test).empty


def test_images_are_scaled_and_cut_to_whole_strides(data):
    item = prepared(data.test[0], 100)
    assert item.labels.shape == (96, 96)
    same = prepared(data.test[0], None)
    assert np.array_equal(same.image, data.test[0].image)
