"""scripts/on_gpu.sh without a GPU: what fails is recorded, what is late is cut, all is archived."""

from __future__ import annotations

import csv
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STEPS = ["versions", "tests", "benchmarks_float32", "benchmarks_bfloat16", "train_real"]


def run(tmp_path: Path, python: str, **environment: str) -> tuple[dict[str, str], list[str]]:
    """The status of each step, and the names in the archive, with a stand-in for Python."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!/bin/sh\n{python}\n")
    stand_in.chmod(0o755)
    out = tmp_path / "out"
    subprocess.run(
        ["bash", ROOT / "scripts" / "on_gpu.sh"],
        env=os.environ | {"OUT": str(out), "PYTHON": str(stand_in)} | environment,
        check=True,
        capture_output=True,
    )
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        status = {row["step"]: row["status"] for row in csv.DictReader(file)}
    with tarfile.open(out / "gpu.tar.gz") as archive:
        return status, archive.getnames()


def test_a_step_that_fails_is_recorded_and_the_next_one_runs(tmp_path):
    status, archived = run(tmp_path, 'echo "said: $*"; exit 3')
    assert {status[step] for step in STEPS} == {"3"}
    assert {"./summary.csv", *(f"./{step}.log" for step in STEPS)} <= set(archived)
    assert "said: -m pytest tests/kernels -m gpu" in (tmp_path / "out/tests.log").read_text()


@pytest.mark.parametrize("step", ["tests", "train"])
def test_steps_can_be_chosen(tmp_path, step):
    status, _ = run(tmp_path, "exit 0", STEPS=step)
    assert {name.partition("_")[0] for name in status} - {"sanitizer"} == {step}


def test_what_does_not_end_is_cut_and_nothing_starts_late(tmp_path):
    status, archived = run(tmp_path, "exec sleep 60", BUDGET_SECONDS="1")
    assert status["versions"] == "124"
    assert status["train_real"] == "no time left"
    assert "./versions.log" in archived


def test_training_goes_on_from_an_earlier_archive(tmp_path):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "checkpoint").write_text("state")
    _, archived = run(tmp_path, "exit 0", STEPS="train", RESUME=str(earlier))
    assert "./resume/checkpoint" in archived
