"""The parts of the loop by themselves: schedules, source digests, checkpoints, progress."""

import importlib
import io
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from repro.training.checkpoint import CheckpointError, exclusive, key_of, read_checkpoint
from repro.training.config import TrainConfig
from repro.training.optimisation import annealing_progress, build_optimizer, learning_rate
from repro.training.progress import TrainingProgress
from repro.training.randomness import random_state, seed_everything, set_random_state
from repro.training.source import digest_of, imported_files, source_digest

CONFIG = {"epochs": 100, "batch_size": 1, "lr": 0.4}


def test_cosine_with_warm_up():
    config = TrainConfig(**CONFIG, min_lr=0.2, warmup_epochs=20, warmup_lr=0.1)
    rates = [learning_rate(config, epoch) for epoch in (0, 10, 20, 60, 100)]
    assert rates == pytest.approx([0.1, 0.25, 0.4, 0.3, 0.2])


def test_cosine_is_pytorchs():
    config = TrainConfig(epochs=10, batch_size=1, lr=0.1, min_lr=1e-5)
    optimizer = build_optimizer([torch.nn.Parameter(torch.zeros(1))], config)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10, eta_min=1e-5)
    for epoch in range(10):
        assert learning_rate(config, epoch) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        theirs.step()


def test_steps_fall_at_the_milestones():
    config = TrainConfig(**CONFIG, schedule="step", milestones=(8, 11.5))
    rates = [learning_rate(config, epoch) for epoch in (0, 7.99, 8, 11.49, 11.5, 99)]
    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_constant_stays():
    config = TrainConfig(**CONFIG, schedule="constant", warmup_epochs=1)
    assert [learning_rate(config, epoch) for epoch in (0, 0.5, 1, 50)] == [0, 0.2, 0.4, 0.4]


@pytest.mark.parametrize(
    ("options", "progress"),
    [
        ({"annealing_epochs": 4}, [0.0, 0.25, 0.5, 1.0, 1.0]),
        ({"annealing_epochs": 0}, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ({}, [0.0, 0.1, 0.2, 0.5, 1.0]),  # the papers' 10 epochs
        ({"epochs": 8}, [0.0, 0.25, 0.5, 1.0, 1.0]),  # half of a short run
    ],
)
def test_temperatures_fall_at_the_start_of_a_run(options, progress):
    config = TrainConfig(**{**CONFIG, **options})
    found = [annealing_progress(config, epoch) for epoch in (0, 1, 2, 5, 50)]
    assert found == pytest.approx(progress)


def test_a_model_without_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameters to train"):
        build_optimizer([torch.zeros(1)], TrainConfig(**CONFIG))


def test_seeds_that_differ_anywhere_give_other_streams():
    drawn = set()
    for seeds in ((0, 1), (1, 0), (0, 2), (0,), (1,)):
        seed_everything(*seeds)
        drawn.add(torch.rand(1).item())
    assert len(drawn) == 5


def test_random_state_survives_a_file():
    seed_everything(7)
    buffer = io.BytesIO()
    torch.save(random_state(), buffer)
    buffer.seek(0)
    expected = torch.rand(3)
    set_random_state(torch.load(buffer, weights_only=True))
    assert torch.equal(torch.rand(3), expected)


def test_imports_are_followed_however_they_are_written(tmp_path, monkeypatch):
    files = imported_files(["repro.train"])
    assert "repro" in files
    assert "repro.training.checkpoint" in files
    assert "repro.files" in files, "imported by an imported module"
    assert "repro.report" not in files


def test_rewording_changes_no_digest_but_code_does(tmp_path):
    digests = []
    for number, text in enumerate(
        (
            'def f(x):\n    """Doc."""\n    return x\n',
            'def f(x):\n    """Other."""\n    # why\n    return (x)\n',
            'def f(x):\n    """Doc."""\n    return -x\n',
        )
    ):
        module = tmp_path / f"{number}.py"
        module.write_text(text)
        digests.append(digest_of({"probe": module}))
    assert digests[0] == digests[1] != digests[2]


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A module that is imported, and a function that edits its file."""
    module = tmp_path / "edited_module.py"
    module.write_text("x = 1\n")
    os.utime(module, (1, 1))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("edited_module")
    source_digest.cache_clear()
    yield lambda: module.write_text("x = 2\n")
    source_digest.cache_clear()
    del sys.modules["edited_module"]


def test_the_digest_is_of_the_code_in_memory(edited):
    before = source_digest("edited_module")
    edited()
    assert source_digest("edited_module") == before


def test_code_edited_between_import_and_training_is_refused(edited):
    edited()
    with pytest.raises(ValueError, match=r"edited_module\.py was changed after .* imported it"):
        source_digest("edited_module")


def test_a_task_without_a_file_cannot_be_hashed(monkeypatch):
    monkeypatch.setitem(sys.modules, "notebook_cell", type(sys)("notebook_cell"))
    with pytest.raises(ValueError, match="has no source file"):
        source_digest("notebook_cell")


def test_the_digest_misses_no_module_that_a_run_imports():
    program = (
        "import sys, torch, repro.models, repro.ops\n"
        "from repro.tasks.classification import ClassificationTask\n"
        "net = repro.models.build('ddf_resnet50', size='small', num_classes=2, in_channels=1)\n"
        "net(torch.zeros(2, 1, 32, 32)).sum().backward()\n"
        "print(*(m for m in sys.modules if m.partition('.')[0] in ('repro', 'repro_kernels')))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{root}:{root / 'numba_cuda'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    covered = imported_files(["repro.train", "repro.tasks.classification"])
    assert set(done.stdout.split()) <= set(covered)


def test_a_key_needs_plain_values():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    with pytest.raises(TypeError, match="plain values, got Tensor"):
        key_of({"a": torch.zeros(1)})


def test_a_file_that_is_no_checkpoint_is_told(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"does not start as a checkpoint does \(5 bytes\)"):
        read_checkpoint(path)


def _hold(path, held, release):
    with exclusive(path):
        held.set()
        release.wait()


def test_a_second_process_waits_and_says_so(tmp_path, caplog):
    spawn = multiprocessing.get_context("spawn")
    held, release = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(60)

    def let_go(record):
        release.set()
        return True

    caplog.handler.addFilter(let_go)
    with exclusive(tmp_path):
        assert release.is_set()
    caplog.handler.removeFilter(let_go)
    other.join()
    assert "another process is training this run" in caplog.text


def progress(console, **options):
    return TrainingProgress(
        "ddf seed 0", "top1", epochs=2, steps_per_epoch=3, console=console, **options
    )


def test_progress_is_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with progress(Console(file=stream, force_terminal=False), every_seconds=0) as shown:
        for _ in range(3):
            shown.step(32, 1.25)
        shown.evaluated({"top1": 61.5, "loss": 2.0})
        for _ in range(3):
            shown.step(32, 0.5)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("ddf seed 0 | epoch 1/2 | loss 1.25 | ")
    assert "images/s" in lines[0]
    assert lines[0].endswith(" left")
    assert "epoch 2/2 | loss 0.5 | top1 61.5" in lines[-1]
    assert "done in 0:00" in lines[-1]


def test_progress_does_not_flood_a_log():
    stream = io.StringIO()
    with progress(Console(file=stream, force_terminal=False), every_seconds=60) as shown:
        for _ in range(6):
            shown.step(32, 1.25)
    assert len(stream.getvalue().splitlines()) == 1


def test_progress_is_a_bar_on_a_terminal():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    with progress(console) as shown:
        for _ in range(6):
            shown.step(32, 1.25)
    assert "━" in stream.getvalue()
    assert "done in" in stream.getvalue()


def test_progress_is_plain_lines_in_a_notebook(monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with progress(None) as shown:
        shown.step(32, 1.25)
    written = capsys.readouterr().out
    assert written.startswith("ddf seed 0 | epoch 1/2 | loss 1.25 | ")
    assert "\x1b" not in written


def test_progress_can_be_silent():
    stream = io.StringIO()
    with progress(Console(file=stream), enabled=False) as shown:
        shown.step(32, 1.25)
    assert stream.getvalue() == ""
