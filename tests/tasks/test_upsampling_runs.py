"""The matrix of upsampling runs: what it writes, what it remembers, what the report reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from depth_pairs import small_data

from repro.files import read_json
from repro.names import UnknownNameError
from repro.report.results import Results
from repro.report.runs import JOINT_UPSAMPLING
from repro.tasks import upsampling_runs
from repro.tasks.upsampling_runs import run_upsampling
from repro.train import TrainConfig

CONFIG = TrainConfig(epochs=1, batch_size=1, lr=1e-3, optimizer="adam", weight_decay=0.0)
TUNED = {"gf": {"4": {"parameters": {"radius": 1, "epsilon": 0.001}}}}


def run(folder, methods=("bilinear", "gf", "ddf_up_net_narrow"), seeds=(0, 1), **options):
    settings = {"tuned": TUNED, "crop": 16, "crops_per_epoch": 2, "held_out": 1, **options}
    return run_upsampling(
        methods,
        [4],
        CONFIG,
        small_data(),
        seeds=seeds,
        out_dir=folder / "results" / "joint_upsampling",
        resume_dir=folder / "resume",
        show_progress=False,
        **settings,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(folder)


def test_the_report_reads_what_was_written(finished):
    folder, found = finished
    results = Results(folder / "results")
    for method in ("bilinear", "gf", "ddf_up_net_narrow"):
        own = results.run(JOINT_UPSAMPLING, method)
        errors = results.image_errors(JOINT_UPSAMPLING, method, 4)
        assert errors.images == ("test_0", "test_1", "test_2", "test_3")
        np.testing.assert_allclose(errors.rmse, found.errors(method, 4), rtol=1e-6)
        assert own.values["rmse_x4"] == pytest.approx(errors.rmse.mean(1), rel=1e-6)


def test_a_row_an_image_a_method_and_a_seed(finished):
    folder, found = finished
    table = pd.read_csv(folder / "results" / "joint_upsampling" / "per_image.csv")
    assert len(table) == 4 * (1 + 1 + 2)
    assert table.loc[table["method"] == "gf", "seed"].isna().all()
    assert table.loc[table["image"] == "test_0", "filled"].eq(1).all()
    assert sorted(found.history["method"].unique()) == ["ddf_up_net_narrow_x4"]
    assert "held_out_rmse" in found.history


def test_metrics_say_what_was_run(finished):
    folder, _ = finished
    metrics = read_json(folder / "results" / "joint_upsampling" / "metrics.json")
    assert metrics["unit"] == "cm"
    assert metrics["steps"] == 2
    assert metrics["test_images"] == 4
    assert metrics["variants"]["gf"]["deterministic"] is True
    assert metrics["variants"]["ddf_up_net_narrow"]["seeds"] == [0, 1]


def test_nothing_is_measured_twice(finished, monkeypatch):
    folder, found = finished
    monkeypatch.setattr(
        upsampling_runs, "measure", lambda *arguments: pytest.fail("measured again")
    )
    again = run(folder)
    pd.testing.assert_frame_equal(again.per_image, found.per_image)


def test_more_test_images_measure_only_the_new_ones(tmp_path, monkeypatch):
    few = run(tmp_path, methods=["bilinear"], test_images=2)
    assert list(few.per_image["image"]) == ["test_0", "test_2"]
    measured = []

    def counting(upsample, pair, *rest):
        measured.append(pair.name)
        return original(upsample, pair, *rest)

    original = upsampling_runs.measure
    monkeypatch.setattr(upsampling_runs, "measure", counting)
    run(tmp_path, methods=["bilinear"])
    assert measured == ["test_1", "test_3"]


def test_a_network_that_breaks_down_is_a_result(tmp_path, monkeypatch):
    task = upsampling_runs.JointUpsamplingTask
    losses = task.losses
    monkeypatch.setattr(
        task, "losses", lambda self, *given: {"l2": losses(self, *given)["l2"] * float("nan")}
    )
    found = run(tmp_path, methods=["bilinear", "ddf_up_net_narrow"], seeds=[0])
    figures = found.metrics["variants"]["ddf_up_net_narrow"]
    assert figures["rmse_x4"] == [None]
    assert "became" in figures["failures"]["x4 seed 0"]
    assert found.errors("ddf_up_net_narrow", 4).size == 0


def test_a_classical_method_needs_tuned_parameters(tmp_path):
    with pytest.raises(ValueError, match=r"gf at factor 4.*python -m repro tune"):
        run(tmp_path, methods=["gf"], tuned=None)


def test_an_unknown_method_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(UnknownNameError, match="pac_net"):
        run(tmp_path, methods=["bilinear", "pacnet"])
    assert not (tmp_path / "results").exists()
