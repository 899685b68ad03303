"""Trains SmallTask in forked processes that are killed; a script, so that torch loads only once.

`python kill_and_resume.py <folder> <seed>` trains with each optimiser once as a whole and once
killed and resumed, writes <folder>/<optimizer>-whole.pt and -resumed.pt, and prints the number of
kills.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # what an optimiser imports at its first use: seconds in each process
from small_task import SmallTask

from repro.train import TrainConfig, fit


class DyingTask(SmallTask):
    """Kills its own process in the middle of the given step, counted from the process's start."""

    def __init__(self, dies_at):
        super().__init__()
        self.dies_at, self.calls = dies_at, 0

    def losses(self, model, batch):
        losses = super().losses(model, batch)
        if self.calls == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1
        return losses


def train(folder, optimizer, name, dies_at=None):
    """Train in a forked process; returns its id."""
    child = os.fork()
    if child == 0:
        config = TrainConfig(
            epochs=5,
            batch_size=8,
            lr=0.02,
            optimizer=optimizer,
            warmup_epochs=0.5,
            evaluate_every_epochs=2,
            checkpoint_every_seconds=0,
        )
        torch.set_num_threads(1)  # threads cost more than they save on images this small
        result = fit(
            DyingTask(dies_at),
            config,
            resume_dir=folder / f"{optimizer}-{name}",
            show_progress=False,
        )
        found = (result.metrics, result.history, result.model.state_dict())
        torch.save(found, folder / f"{optimizer}-{name}.pt")
        os._exit(0)
    return child


def was_killed(child):
    """Wait for a process; True if SIGKILL ended it."""
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"training failed: {status}"
    return os.WIFSIGNALED(status)


def kill_and_resume(folder, optimizer, draw):
    """How many times the resumed run was killed before it ended."""
    assert not was_killed(train(folder, optimizer, "whole"))
    killed = 0
    for _ in range(3):  # in the middle of a step
        killed += was_killed(train(folder, optimizer, "resumed", dies_at=draw.randrange(8)))
    for _ in range(3):  # anywhere, with a checkpoint being written most of the time
        child = train(folder, optimizer, "resumed")
        time.sleep(draw.uniform(0.02, 0.15))
        os.kill(child, signal.SIGKILL)
        killed += was_killed(child)
    assert not was_killed(train(folder, optimizer, "resumed"))
    return killed


if __name__ == "__main__":
    draw = random.Random(int(sys.argv[2]))
    print(sum(kill_and_resume(Path(sys.argv[1]), name, draw) for name in ("sgd", "adam")))
