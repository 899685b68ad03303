"""The benchmark of FDConv's weights measures what it says: every case runs and they agree."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from repro.bench.cases import MODES
from repro.bench.fourier import Size, judge_weights, parse_size, steps, taken

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "bench_fdconv.py"


@pytest.mark.parametrize("size", [Size(8, 8, 3, 5, 4), Size(16, 8, 1, 2, 4), Size(8, 8, 3, 2, 12)])
def test_every_case_computes_the_same_weights_and_gradients(size):
    forward = {op: step() for op, step in steps(size, "forward").items()}
    assert taken(size, "forward") in forward
    for op in forward.keys() - {"copy", "irfft2", "materialised"}:
        torch.testing.assert_close(forward[op], forward["materialised"])
    for mode in MODES[1:]:
        torch.manual_seed(0)
        found = steps(size, mode)
        assert ("basis" in found) == (size.kernel_num < size.batch)
        assert taken(size, mode) == ("basis" if size.kernel_num < size.batch else "per_sample")


@pytest.mark.parametrize("op", ["per_sample", "basis"])
def test_gradients_agree(op, monkeypatch):
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)  # what gradients are taken of
    grads = steps(Size(8, 8, 3, 5, 4), "forward_backward", [op, "materialised"])
    for actual, expected in zip(grads[op](), grads["materialised"](), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_sizes_are_read_and_others_refused():
    assert parse_size("256x64x1x16x4") == Size(256, 64, 1, 16, 4)
    assert str(Size(256, 64, 1, 16, 4)) == "256x64x1x16x4"
    assert Size(256, 64, 1, 16, 4).weights_mib == 1
    for text in ("256x64x1x16", "256x64x1x16x0", "axbxcxdxe"):
        with pytest.raises(ValueError, match=f"such as 256x256x3x16x64, got '{text}'"):
            parse_size(text)
    with pytest.raises(ValueError, match=r"mode must be one of forward, .* got 'step'"):
        steps(Size(8, 8, 1, 1, 1), "step")


def test_goals_are_judged_with_losses():
    def row(op, mode, milliseconds, peak=float("nan")):
        shape = "256x64x1x16x4"  # 1 MiB of weights
        return {"op": f"fdconv_weight_{op}", "mode": mode, "kernel_size": 1, "shape": shape} | {
            "median_ms": milliseconds,
            "peak_mib": peak,
        }

    rows = [
        row("materialised", "forward", 16.0),
        row("layer", "forward", 2.0, peak=1.6),
        row("materialised", "forward_backward", 16.0),
        row("layer", "forward_backward", 9.0),
    ]
    found = [(j["mode"], j["over"], j["ratio"], j["met"]) for j in judge_weights(rows)]
    assert found == [
        ("forward", "fdconv_weight_materialised", 1 / 8, "yes"),
        ("forward_backward", "fdconv_weight_materialised", 9 / 16, "no"),
        ("forward", "weights", 1.6, "no"),
    ]


def test_evaluation_holds_no_more_than_one_and_a_half_times_the_weights():
    spec = importlib.util.spec_from_file_location("bench_fdconv", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    size = Size(256, 256, 3, 4, 64)
    assert 0.9 <= script._peak_mib(str(size)) / size.weights_mib <= 1.5


def test_the_script_writes_rows_and_goals(tmp_path):
    out = tmp_path / "rows.csv"
    command = [sys.executable, str(SCRIPT), "--rounds", "1", "--seconds", "0", "--out", str(out)]
    sizes = ["--sizes", "16x16x3x2x4", "--modes", "forward"]
    for _ in range(2):  # a second run replaces the first one's rows
        subprocess.run([*command, *sizes], check=True, capture_output=True, cwd=SCRIPT.parents[1])
    with out.open() as file:
        rows = {row["op"]: row for row in csv.DictReader(file)}
    assert len(rows) == 6 == len(out.read_text().splitlines()) - 1
    assert float(rows["fdconv_weight_layer"]["peak_mib"]) > 0
    goals = out.with_name("rows_goals.csv").read_text().splitlines()
    assert len(goals) == 3
    assert all("C8,fdconv_weight_layer,forward" in goal for goal in goals[1:])
