"""The training loop: it learns, it repeats exactly, it survives being killed, it stops at NaN."""

import dataclasses
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_task import Batches, SmallTask, small_network
from torch import nn

from repro.nn import DYConv2d
from repro.train import NonFiniteError, TrainConfig, fit
from repro.training.history import CLOCK_COLUMNS

CONFIG = TrainConfig(epochs=3, batch_size=16, lr=0.05, accelerator="cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """Threads cost more than they save on images this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(task=None, **options):
    config = dataclasses.replace(CONFIG, **{k: v for k, v in options.items() if k != "resume_dir"})
    resume_dir = options.get("resume_dir")
    return fit(task or SmallTask(), config, resume_dir=resume_dir, show_progress=False)


def without_clock(history):
    return [{k: v for k, v in row.items() if k not in CLOCK_COLUMNS} for row in history]


def assert_same(a, b):
    """Bit for bit, but for the clock."""
    assert a.metrics == b.metrics
    assert without_clock(a.history) == without_clock(b.history)
    assert_same_weights(a.model.state_dict(), b.model.state_dict())


def assert_same_weights(a, b):
    assert list(a) == list(b)
    for name in a:
        assert torch.equal(a[name], b[name]), name


def differ(a, b):
    return not torch.equal(a.model[0].weight, b.model[0].weight)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("sgd", {}),
        ("sgd", {"nesterov": True, "max_grad_norm": 1.0}),
        ("adam", {"lr": 0.01}),
        ("adamw", {"lr": 0.01, "schedule": "step", "milestones": (8, 10)}),
    ],
)
def test_it_learns(optimizer, options):
    result = train(optimizer=optimizer, epochs=12, **options)
    assert result.metrics["accuracy"] > 85
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"] / 2
    assert not result.model.training


def test_history_has_a_row_an_epoch():
    result = train(epochs=4, evaluate_every_epochs=3)
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    assert ["test_accuracy" in row for row in result.history] == [False, False, True, True]
    row = result.history[0]
    assert row["train_loss"] == pytest.approx(row["train_main"] + row["train_side"])
    assert 0 < row["grad_norm"] <= row["grad_norm_max"]
    assert row["images_per_second"] > 0


def test_the_same_seed_repeats_exactly_whatever_ran_before():
    first = train()
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    train(seed=5, epochs=1)
    assert_same(first, train())


def test_another_seed_trains_another_network():
    assert differ(train(), train(seed=1))


def test_a_run_leaves_the_caller_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(epochs=1)
    assert torch.equal(torch.rand(2), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_clipping_changes_the_run_and_records_the_norm_before():
    free, clipped = train(), train(max_grad_norm=1e-3)
    assert differ(free, clipped)
    assert clipped.history[0]["grad_norm"] > 1e-3


@pytest.mark.slow
def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path):
    script = Path(__file__).with_name("kill_and_resume.py")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "0"],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'numba_cuda'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6, "nothing was killed, so nothing was tested"
    for optimizer in ("sgd", "adam"):
        whole = torch.load(tmp_path / f"{optimizer}-whole.pt", weights_only=True)
        resumed = torch.load(tmp_path / f"{optimizer}-resumed.pt", weights_only=True)
        assert resumed[0] == whole[0]
        assert without_clock(resumed[1]) == without_clock(whole[1])
        assert_same_weights(resumed[2], whole[2])


class Watched(DYConv2d):
    """Notes the temperature of every forward pass, in training and in evaluation."""

    def __init__(self):
        super().__init__(1, 4, 3, temperature=7.0)
        self.seen = {True: [], False: []}

    def forward(self, x):
        self.seen[self.training].append(self.temperature)
        return super().forward(x)


def annealed_network():
    return nn.Sequential(Watched(), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))


def test_temperatures_fall_while_it_trains():
    model = train(SmallTask(build=annealed_network), annealing_epochs=1.5).model
    steps = [30 - 29 * min(step / 6, 1) for step in range(12)]  # an epoch has four steps
    assert model[0].seen[True] == pytest.approx(steps)
    first, *later = dict.fromkeys(model[0].seen[False])
    assert first == pytest.approx(30 - 29 * 4 / 6), "evaluated where the epoch ended"
    assert later == [1.0]


def test_without_annealing_the_temperature_is_the_last_one():
    model = train(SmallTask(build=annealed_network), annealing_epochs=0).model
    assert set(model[0].seen[True]) == {1.0}


class _StoppedError(Exception):
    pass


class StoppingTask(SmallTask):
    """Fails at a step, as a full memory would."""

    def __init__(self, stops_at, **options):
        super().__init__(**options)
        self.left = stops_at

    def losses(self, model, batch):
        self.left -= 1
        if self.left < 0:
            raise _StoppedError
        return super().losses(model, batch)


@pytest.fixture
def stopped(tmp_path):
    """Folder of a run that stopped at its eighth step, with its checkpoints, newest last."""
    with pytest.raises(_StoppedError):
        train(StoppingTask(7), resume_dir=tmp_path, checkpoint_every_seconds=0)
    return sorted(tmp_path.glob("*/step-*.ckpt"))


def resume(checkpoints, **options):
    return train(StoppingTask(999), resume_dir=checkpoints[0].parents[1], **options)


@pytest.mark.parametrize("stops_at", [1, 4, 7, 8, 11])  # an epoch has four steps
def test_it_goes_on_where_it_stopped(tmp_path, stops_at):
    with pytest.raises(_StoppedError):
        train(StoppingTask(stops_at), resume_dir=tmp_path, checkpoint_every_seconds=0)
    task = StoppingTask(999)
    result = train(task, resume_dir=tmp_path)
    assert 999 - task.left == 12 - stops_at
    assert_same(result, train())


@pytest.mark.parametrize("stops_at", [3, 8])
def test_temperatures_go_on_where_it_stopped(tmp_path, stops_at):
    options = {"annealing_epochs": 2, "resume_dir": tmp_path}
    stopping = StoppingTask(stops_at, build=annealed_network)
    with pytest.raises(_StoppedError):
        train(stopping, checkpoint_every_seconds=0, **options)
    result = train(StoppingTask(999, build=annealed_network), **options)
    whole = train(SmallTask(build=annealed_network), annealing_epochs=2)
    assert_same(result, whole)
    assert result.model[0].seen[True] == whole.model[0].seen[True][stops_at:]
    assert train(StoppingTask(999, build=annealed_network), **options).model[0].temperature == 1.0


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "foreign"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(stopped, damage, caplog):
    content = bytearray(stopped[-1].read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    replacement = {"cut": content[:-10], "emptied": b"", "foreign": b"x" * 500}
    stopped[-1].write_bytes(replacement.get(damage, content))
    with caplog.at_level(logging.WARNING):
        result = resume(stopped)
    assert stopped[-1].name in caplog.text
    assert "trying the one before" in caplog.text
    assert_same(result, train())


def test_without_an_intact_checkpoint_it_starts_anew(stopped, caplog):
    for checkpoint in stopped:
        checkpoint.write_bytes(b"")
    assert_same(resume(stopped), train())
    assert caplog.text.count("checkpoint not used") == 2


def test_a_checkpoint_never_continues_another_run(stopped):
    other = resume(stopped, lr=0.04)
    assert not other.remembered
    assert_same(other, train(lr=0.04))


def test_a_finished_run_is_remembered(tmp_path):
    first = train(resume_dir=tmp_path)
    again = train(resume_dir=tmp_path)
    assert (first.remembered, again.remembered) == (False, True)
    assert_same(first, again)
    assert again.seconds == first.seconds
    assert not again.model.training


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        train(resume_dir=tmp_path / "file")


def test_a_full_disk_does_not_end_a_run(tmp_path, monkeypatch, caplog):
    def full(path, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("repro.training.checkpoint.write_checkpoint", full)
    result = train(resume_dir=tmp_path, checkpoint_every_seconds=0, epochs=1)
    assert "No space left" in caplog.text
    assert_same(result, train(epochs=1))


def test_no_training_batch_is_an_error():
    class Task(SmallTask):
        def train_batches(self, batch_size, seed, epoch):
            return Batches()

    with pytest.raises(ValueError, match="small has no training batch of batch_size=16"):
        train(Task())


class Broken(nn.Module):
    """Returns the square root of its input less its minimum: finite forward, infinite backward."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        if self.kind == "forward":
            return (x - 1e9).log()
        return (x - x.detach()).abs().add(0).sqrt() + x


def network_with(module):
    return lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), module, nn.Flatten(), nn.Linear(64, 2)
    )


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("forward", r"the loss became .*the output of 2 \(Broken\) holds NaN"),
        (
            "backward",
            r"gradient's norm became nan.*the backward pass of 2 \(Broken\) returns .* NaN",
        ),
    ],
)
def test_nan_stops_the_run_and_names_the_module(kind, message):
    with pytest.raises(NonFiniteError, match=message) as caught:
        train(SmallTask(build=network_with(Broken(kind))))
    assert caught.value.step == 0
    assert caught.value.history == []


def test_a_bad_parameter_is_named():
    def build():
        network = small_network()
        nn.init.constant_(network[5].bias, float("inf"))
        return network

    with pytest.raises(NonFiniteError, match=r"parameter 5\.bias holds infinity"):
        train(SmallTask(build=build))


def test_a_bad_batch_is_told_from_a_bad_network():
    task = SmallTask()
    task.x[3, 0, 2, 2] = torch.nan
    with pytest.raises(NonFiniteError, match=r"batch\[0\] holds NaN before the network sees it"):
        train(task)


def test_a_bad_loss_is_named():
    class Task(SmallTask):
        def losses(self, model, batch):
            losses = super().losses(model, batch)
            return {**losses, "side": losses["side"] / 0}

    with pytest.raises(NonFiniteError, match=r"side is infinity, though every module's output"):
        train(Task())


def test_divergence_keeps_the_epochs_before():
    class Task(SmallTask):
        def train_batches(self, batch_size, seed, epoch):
            batches = super().train_batches(batch_size, seed, epoch)
            return Batches((x * (1e38 if epoch == 2 else 1), y) for x, y in batches)

    with pytest.raises(NonFiniteError, match=r"stopped at step 8 \(epoch 3\)") as caught:
        train(Task())
    assert [row["epoch"] for row in caught.value.history] == [1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "sdg"}, "did you mean sgd"),
        ({"schedule": "cosin"}, "did you mean cosine"),
        ({"precision": "32"}, "unknown precision"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"weight_decay": -1e-4}, "weight_decay must not be negative"),
        ({"warmup_epochs": 3}, "leaves nothing of epochs=3"),
        ({"annealing_epochs": 4}, "annealing_epochs must lie between 0 and epochs=3, got 4"),
        ({"annealing_epochs": -1.0}, "annealing_epochs must lie between 0 and epochs=3"),
        ({"milestones": (1,)}, "milestones belong to schedule"),
        ({"schedule": "step"}, "it needs them"),
        ({"schedule": "step", "milestones": (2, 1)}, "milestones must rise"),
        ({"schedule": "step", "milestones": [5]}, "between 0 and epochs=3"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error():
    with pytest.raises(ValueError, match="sees no CUDA device"):
        train(accelerator="cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_it_learns_on_a_gpu_and_resumes(tmp_path, precision):
    options = {"accelerator": "cuda", "precision": precision, "epochs": 12}
    whole = train(**options)
    assert whole.metrics["accuracy"] > 85
    with pytest.raises(_StoppedError):
        train(StoppingTask(20), resume_dir=tmp_path, checkpoint_every_seconds=0, **options)
    assert_same(train(StoppingTask(999), resume_dir=tmp_path, **options), whole)
