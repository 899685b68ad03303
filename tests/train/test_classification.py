"""The classification task and the run directories it leaves."""

import csv
import dataclasses
import os

import pytest
import torch

from repro.data.in_memory import CropAndFlip, InMemoryData
from repro.files import read_json
from repro.names import UnknownNameError
from repro.stats import mean_interval
from repro.tasks import classification
from repro.tasks.classification import (
    ClassificationTask,
    limited,
    run_method,
    run_variants,
)
from repro.tasks.predictions import confusion, mistakes
from repro.train import NonFiniteError, TrainConfig, fit
from repro.training.history import CLOCK_COLUMNS

CONFIG = TrainConfig(epochs=2, batch_size=16, lr=0.05, accelerator="cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """Threads cost more than they save on a few dozen images."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data():
    """Bright, dark and striped squares: 48 to train, 24 to test."""
    generator = torch.Generator().manual_seed(0)

    def part(count):
        labels = torch.arange(count) * 3 // count
        images = torch.randint(0, 60, (count, 1, 16, 16), generator=generator)
        images[labels == 1] += 150
        images[labels == 2, :, ::2] += 150
        return images.byte(), labels

    (train_images, train_labels), (test_images, test_labels) = part(48), part(24)
    return InMemoryData(
        name="squares",
        class_names=("dark", "bright", "striped"),
        image_size=16,
        in_channels=1,
        augmentation="shift, mirror",
        train_count=48,
        test_count=24,
        fingerprint="made up for the tests",
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        policy=CropAndFlip((90.0,), (70.0,), 1),
    )


@pytest.fixture
def run(data, tmp_path):
    """run_method on the squares, with checkpoints of its own."""

    def run(method="resnet50", config=CONFIG, **changes):
        options = {
            "dataset": "squares",
            "size": "small",
            "seeds": [0, 1],
            "out_dir": tmp_path / "out",
            "data": data,
            "resume_dir": tmp_path / "resume",
            "show_progress": False,
        }
        return run_method(method, config, **(options | changes))

    return run


@pytest.fixture
def trained(monkeypatch):
    """Names and seeds of the runs that were really trained, not remembered."""
    calls = []

    def counting(task, config, **options):
        result = fit(task, config, **options)
        if not result.remembered:
            calls.append((task.name, config.seed))
        return result

    monkeypatch.setattr("repro.training.runs.fit", counting)
    return calls


@pytest.mark.parametrize("method", ["resnet50", "ddf_resnet50"])
def test_it_learns_to_tell_squares_apart(data, method):
    config = dataclasses.replace(CONFIG, epochs=10)
    result = fit(ClassificationTask(method, data), config, show_progress=False)
    assert result.metrics["top1"] > 90
    assert result.metrics["top5"] == 100
    assert result.metrics["loss"] < 0.5


def test_a_run_directory_holds_what_was_found(run, tmp_path):
    found = run()
    out = tmp_path / "out"
    assert sorted(path.name for path in out.rglob("*.*")) == [
        "0.json", "1.json", "env.json", "history.csv", "metrics.json", "params.json",
    ]  # fmt: skip
    metrics = read_json(out / "metrics.json")
    assert metrics["method"] == "resnet50"
    assert metrics["seeds"] == [0, 1]
    assert (metrics["dataset"], metrics["train_images"], metrics["num_classes"]) == (
        "squares", 48, 3,
    )  # fmt: skip
    for name in ("top1", "top5", "loss", "train_seconds", "max_grad_norm"):
        assert len(metrics[name]) == 2, name
    assert metrics["mean"]["top1"]["mean"] == pytest.approx(mean_interval(metrics["top1"]).mean)
    assert metrics["top1"][1] == read_json(out / "seeds" / "1.json")["metrics"]["top1"]
    assert metrics["top1"][1] == pytest.approx(found.runs[1].metrics["top1"])
    with (out / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["epoch"]) for row in rows] == [
        ("0", "1"), ("0", "2"), ("1", "1"), ("1", "2"),
    ]  # fmt: skip
    assert float(rows[-1]["test_top1"]) == pytest.approx(metrics["top1"][1])
    assert read_json(out / "params.json")["lr"] == 0.05
    assert read_json(out / "env.json")["deterministic"] is True


def test_adding_a_seed_trains_only_that_one(run, trained):
    first = run(seeds=[0, 1])
    more = run(seeds=[0, 1, 2])
    assert trained == [("resnet50", 0), ("resnet50", 1), ("resnet50", 2)]
    assert more.metrics["top1"][:2] == first.metrics["top1"]
    assert more.metrics["train_seconds"][:2] == first.metrics["train_seconds"]


def test_seeds_no_longer_asked_for_leave_the_directory(run, tmp_path):
    run(seeds=[0, 1])
    run(seeds=[1])
    assert [path.name for path in (tmp_path / "out" / "seeds").iterdir()] == ["1.json"]


def test_a_run_that_stops_half_way_leaves_its_seeds_but_no_metrics(run, tmp_path, monkeypatch):
    run(seeds=[0, 1])

    def fails_at_seed_1(task, config, **options):
        if config.seed == 1:
            raise KeyboardInterrupt
        return fit(task, config, **options)

    monkeypatch.setattr("repro.training.runs.fit", fails_at_seed_1)
    with pytest.raises(KeyboardInterrupt):
        run(seeds=[0, 1])
    assert not (tmp_path / "out" / "metrics.json").exists()
    assert [path.name for path in (tmp_path / "out" / "seeds").iterdir()] == ["0.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"config": dataclasses.replace(CONFIG, lr=0.04)},
        {"label_smoothing": 0.1},
        {"method": "ddf_resnet50"},
    ],
)
def test_anything_that_decides_the_result_is_trained_anew(run, trained, change):
    run(seeds=[0])
    run(seeds=[0], **change)
    assert len(trained) == 2


def test_other_data_are_trained_anew(run, trained, data):
    run(seeds=[0])
    run(seeds=[0], data=dataclasses.replace(data, fingerprint="other"))
    assert len(trained) == 2


def test_label_smoothing_is_for_training_only(data):
    plain, smooth = (ClassificationTask("resnet50", data, label_smoothing=s) for s in (0.0, 0.5))
    model = plain.build_model().eval()
    batch = next(iter(plain.test_batches(24)))
    assert smooth.losses(model, batch)["loss"] != plain.losses(model, batch)["loss"]
    assert smooth.evaluate(model, [batch]) == plain.evaluate(model, [batch])


def test_variants_are_compared_with_the_base_by_seed(data, tmp_path, trained):
    options = {
        "dataset": "squares",
        "size": "small",
        "seeds": [0, 1],
        "data": data,
        "resume_dir": tmp_path / "resume",
        "show_progress": False,
    }
    run_method("ddf_resnet50", CONFIG, out_dir=tmp_path / "method", **options)
    found = run_variants(
        {"ddf_resnet50": ["ddf_heads_2"]}, CONFIG, out_dir=tmp_path / "ablation", **options
    )
    assert trained.count(("ddf_resnet50", 0)) == 1, "the base was trained before"
    assert list(found) == ["ddf_resnet50", "ddf_heads_2"]
    metrics = read_json(tmp_path / "ablation" / "metrics.json")
    base, variant = (metrics["variants"][name]["top1"] for name in found)
    expected = mean_interval([variant[0] - base[0], variant[1] - base[1]])
    difference = metrics["variants"]["ddf_heads_2"]["difference_top1"]
    assert difference["mean"] == pytest.approx(expected.mean)
    assert difference["high"] == pytest.approx(expected.high)
    assert metrics["variants"]["ddf_resnet50"]["difference_top1"] is None
    assert (tmp_path / "ablation" / "seeds" / "ddf_heads_2" / "1.json").is_file()


class _Diverging(ClassificationTask):
    def losses(self, model, batch):
        scale = torch.inf if self.name == "ddf_no_norm" else 1
        return {"loss": super().losses(model, batch)["loss"] * scale}


def test_a_variant_that_breaks_down_is_a_result(data, tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "ClassificationTask", _Diverging)
    run_variants(
        {"ddf_resnet50": ["ddf_no_norm"]},
        CONFIG,
        dataset="squares",
        size="small",
        seeds=[0],
        data=data,
        out_dir=tmp_path / "out",
        resume_dir=tmp_path / "resume",
        show_progress=False,
    )
    variant = read_json(tmp_path / "out" / "metrics.json")["variants"]["ddf_no_norm"]
    assert variant["seeds"] == [0]
    assert variant["max_grad_norm"] == [None]
    assert "loss is infinity" in variant["failures"]["0"]
    assert variant["difference_top1"] is None


def test_a_method_of_the_tables_that_breaks_down_is_an_error(run, monkeypatch):
    monkeypatch.setattr(classification, "ClassificationTask", _Diverging)
    with pytest.raises(NonFiniteError, match="ddf_no_norm seed 0 stopped at step 0"):
        run("ddf_no_norm")


def test_limiting_keeps_the_classes_in_equal_shares(data):
    few = limited(data, 12, 6)
    assert few.train_labels.bincount().tolist() == [4, 4, 4]
    assert few.test_labels.bincount().tolist() == [2, 2, 2]
    assert (few.train_count, few.test_count) == (12, 6)
    assert few.fingerprint != data.fingerprint
    assert limited(data, None, None) is data
    with pytest.raises(ValueError, match="must be from 1 to the 48 of squares, got 49"):
        limited(data, 49, None)


def test_confusion_counts_rows_by_truth():
    logits = torch.eye(3)[[0, 1, 1, 2]]
    assert confusion(logits, torch.tensor([0, 1, 2, 2])).tolist() == [
        [1, 0, 0], [0, 1, 0], [0, 1, 1],
    ]  # fmt: skip


def test_mistakes_are_the_most_confident_of_each_pair_of_classes(data):
    class Bright(torch.nn.Module):
        """Says "bright", the surer the brighter the image is."""

        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            means = x.mean((1, 2, 3))
            return torch.stack([torch.full_like(means, -9), means, torch.full_like(means, -9)], 1)

    found = mistakes(Bright(), data.test_batches(5), 2)
    assert [(mistake.label, mistake.taken_for) for mistake in found] == [(2, 1), (0, 1)]
    images = torch.cat([x for x, _ in data.test_batches(5)])
    brightest = images[data.test_labels == 2].mean((1, 2, 3)).max()
    assert found[0].image.mean() == pytest.approx(brightest.item())
    assert len(mistakes(Bright(), data.test_batches(5), 1)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dff_resnet50"}, "unknown method 'dff_resnet50'; did you mean ddf_resnet50"),
        ({"size": "smal"}, "did you mean small"),
        ({"dataset": "patchs", "data": None}, "did you mean patches"),
    ],
)
def test_unknown_names_are_refused(run, options, message):
    with pytest.raises(UnknownNameError, match=message):
        run(**options)


@pytest.mark.parametrize("seeds", [[], [0, 0]])
def test_seeds_that_make_no_sense_are_refused(run, seeds):
    with pytest.raises(ValueError, match="at least one, each once"):
        run(seeds=seeds)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_results_folder_fails_before_training(run, trained, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    with pytest.raises(OSError, match="cannot write"):
        run()
    assert trained == []


def test_a_results_folder_that_is_a_file_fails_before_training(run, trained, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        run()
    assert trained == []


def test_the_clock_is_all_that_differs_between_two_runs(run, tmp_path):
    first = run(seeds=[0])
    second = run(seeds=[0], resume_dir=tmp_path / "elsewhere")

    def exact(row):
        return {name: value for name, value in row.items() if name not in CLOCK_COLUMNS}

    assert [exact(row) for row in first.runs[0].history] == [
        exact(row) for row in second.runs[0].history
    ]
