"""The benchmark of the upsampling layers: what it measures, counts, and says of it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from repro.bench import read_rows
from repro.bench.cases import MODES, as_step
from repro.bench.joint_upsampling import (
    CASES,
    JUDGED_COLUMNS,
    LAYERS,
    cases_for,
    judge,
    layer_macs,
)
from repro.names import UnknownNameError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("op", CASES)
@pytest.mark.parametrize("mode", MODES)
def test_every_case_runs_in_every_mode(op, mode):
    as_step(CASES[op].prepare(torch.randn(2, 8, 6, 5), 3), mode)()


def test_every_layer_doubles_the_size():
    for op in CASES:
        assert CASES[op].prepare(torch.randn(1, 8, 6, 5), 3).compute().shape == (1, 8, 12, 10), op


def test_pac_of_inserted_zeros_is_pac_by_phase():
    by_phase, by_zeros = LAYERS["pac_up"](4, 3), LAYERS["pac_up_zeros"](4, 3)
    by_zeros.load_state_dict(by_phase.state_dict())
    x, guidance = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 10, 12)
    torch.testing.assert_close(by_phase(x, guidance), by_zeros(x, guidance))


def test_pac_of_inserted_zeros_stays_out_where_it_would_not_fit():
    assert "pac_up_zeros" in cases_for((2, 256, 50, 75))
    assert "pac_up_zeros" not in cases_for((2, 256, 100, 150))


def test_macs_are_those_of_the_formulas():
    pixels = 2 * 6 * 5
    assert layer_macs("conv_transpose", (2, 8, 6, 5)) == 25 * 8 * 8 * pixels
    assert layer_macs("pac_up", (2, 8, 6, 5)) == 25 * 8 * 8 * pixels
    assert layer_macs("pac_up_zeros", (2, 8, 6, 5)) == 4 * 25 * 8 * 8 * pixels
    # A guidance's 1x1 convolution and the filtering, of every fine pixel; the channel branches.
    fine, mid = 4 * pixels, 1
    assert layer_macs("ddf_up", (2, 8, 6, 5)) == fine * (8 * 9 + 8 * 9) + 2 * 4 * 8 * mid * 10
    with pytest.raises(UnknownNameError, match="unknown upsampling layer 'pac'"):
        layer_macs("pac", (2, 8, 6, 5))


def row(op, shape, mode="forward", median_ms=1.0, peak_mib=2.0, macs=3):
    values = {"median_ms": median_ms, "peak_mib": peak_mib, "macs": macs}
    return {"op": op, "shape": shape, "mode": mode, **values}


def test_goals_are_judged_at_their_size_in_inference():
    large, small = "2x256x100x150", "1x8x4x4"
    rows = [row("ddf_up", large), row("pac_up", large, median_ms=20.0, peak_mib=6.0, macs=30)]
    rows += [row("ddf_up", small), row("pac_up", small, peak_mib=math.nan)]
    rows += [row("ddf_up", small, "forward_backward"), row("pac_up", small, "forward_backward")]
    judged = judge(rows)
    assert all(tuple(row) == JUDGED_COLUMNS for row in judged)
    found = [tuple(row.values())[2:] for row in judged]
    assert found == [
        ("forward", large, "median_ms", 20.0, 10.0, "yes"),
        ("forward", large, "peak_mib", 3.0, 10.0, "no"),
        ("forward", large, "macs", 10.0, 10.0, "yes"),
        ("forward", small, "median_ms", 1.0, "", ""),
        ("forward", small, "macs", 1.0, "", ""),
        ("forward_backward", small, "median_ms", 1.0, "", ""),
        ("forward_backward", small, "peak_mib", 1.0, "", ""),
    ]
    assert judge(rows[:1]) == []


@pytest.mark.slow
def test_the_benchmark_keeps_rows_that_it_does_not_measure_again(tmp_path):
    out = tmp_path / "rows.csv"
    script = [sys.executable, str(ROOT / "benchmarks" / "bench_joint_upsampling.py")]
    options = ["--rounds", "1", "--modes", "forward", "--out", str(out)]
    for shape in ("1x8x4x6", "1x8x6x4", "1x8x4x6"):
        subprocess.run(
            [*script, *options, "--shapes", shape],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'numba_cuda'}"},
            check=True,
            capture_output=True,
        )
    rows = read_rows(out)
    assert sorted({row["shape"] for row in rows}) == ["1x8x4x6", "1x8x6x4"]
    assert len(rows) == 2 * len(CASES)
    assert (tmp_path / "rows_goals.csv").is_file()
