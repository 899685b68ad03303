"""Measuring: the order of rounds, the summary, the memory account, and the rows."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from repro.bench import CASES, COLUMNS, measure, parse_shape, read_rows, write_rows
from repro.bench.cases import MODES, Call, as_step
from repro.bench.goals import Goal, extra_features, judge
from repro.bench.processes import KEEP_HEAP, MeasurementError, run_job
from repro.bench.timing import summarise, time_interleaved
from repro.names import UnknownNameError

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[1]


def test_every_round_runs_every_case_and_starts_with_another():
    calls: list[str] = []
    steps = {name: lambda name=name: calls.append(name) for name in "abc"}
    timings = time_interleaved(steps, rounds=3, device=CPU)
    assert list(timings) == ["a", "b", "c"]
    assert "".join(calls[-9:]) == "abc" + "bca" + "cab"


def test_summary_is_median_and_percentiles_in_milliseconds():
    timing = summarise([0.005, 0.001, 0.003, 0.002, 0.004, 0.006])
    assert timing.median_ms == pytest.approx(3.5)
    assert (timing.p20_ms, timing.p80_ms) == pytest.approx((2, 5))
    assert summarise([0.002]).p20_ms == pytest.approx(2)


def test_rounds_must_be_positive():
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        time_interleaved({"a": list}, rounds=0, device=CPU)


PEAK_OF_CAT = """
import torch
from repro.bench.memory import peak_bytes

def prepare(x):
    return lambda: torch.cat([x, x]).add(1)  # x, 2x and 2x again

shape = (1, 4, 1024, 1024)
print(peak_bytes(prepare, shape, device=torch.device("cpu"), dtype=torch.float32))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a high-water mark")
def test_peak_memory_counts_what_is_held_at_once():
    # In a process of its own, as every peak is measured: this one's heap gives memory back.
    done = subprocess.run(
        [sys.executable, "-c", PEAK_OF_CAT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    size = 16 * 2**20  # bytes of x
    assert 4.9 * size < float(done.stdout) < 6 * size  # the kernel's account of pages lags by a few


def test_a_slow_case_runs_in_five_rounds_and_a_fast_one_in_all():
    calls: list[str] = []
    steps = {"fast": lambda: calls.append("fast")}
    steps["slow"] = lambda: (calls.append("slow"), time.sleep(0.02))
    time_interleaved(steps, rounds=50, seconds=0.12, device=CPU)
    warm_up = 1
    assert calls.count("slow") == warm_up + 5
    assert calls.count("fast") == warm_up + 50


@pytest.mark.parametrize("op", [op for op in CASES if op != "ddf_compiled"])
@pytest.mark.parametrize("mode", MODES)
def test_every_case_runs_in_every_mode(op, mode):
    as_step(CASES[op].prepare(torch.randn(2, 8, 6, 5), 3), mode)()


def test_normalising_in_the_operation_and_before_it_is_the_same():
    results = []
    for op in ("ddf_normalised", "ddf_after_filter_norm"):
        torch.manual_seed(0)
        call = CASES[op].prepare(torch.randn(2, 8, 6, 5), 3)
        results.append(call.compute())
    torch.testing.assert_close(*results)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own warnings differ from version to version
def test_the_compiled_reference_runs():
    as_step(CASES["ddf_compiled"].prepare(torch.randn(2, 8, 6, 5), 3), "forward_backward")()


def test_modes_take_the_gradients_that_they_name():
    x = torch.ones(3)
    computed = []

    def compute():
        computed.append(torch.is_grad_enabled())
        return 2 * x

    call = Call(compute, [x])
    assert torch.equal(as_step(call, "forward")(), torch.full((3,), 2.0))
    assert computed == [False]
    backward = as_step(call, "backward")
    computed.clear()
    assert len(backward()) == len(backward()) == 1
    assert computed == []
    as_step(call, "forward_backward")()
    assert computed == [True, True]  # once to know the shape of the gradient


def row(op, mode, median_ms, **values):
    defaults = {"shape": "1x2x4x8", "kernel_size": 3, "dtype": "float32", "peak_mib": float("nan")}
    return {"op": op, "mode": mode, "median_ms": median_ms, **defaults, **values}


def test_goals_are_judged_by_the_rows_of_the_same_size():
    goal = Goal("C", "copy", 2, 3, "backward", over_mode="forward")
    rows = [
        row("copy", "forward", 1.0),
        row("copy", "forward", 9.0, shape="1x2x4x9"),
        row("ddf_operator", "forward", 1.0),
        row("ddf_operator", "backward", 2.5),
        row("ddf_operator", "backward", 2.5, kernel_size=5),
        row("ddf_operator", "backward", 18.0, shape="1x2x4x9"),
        row("ddf_operator", "backward", 2.5, shape="1x1x1x1"),
    ]
    judged = judge(rows, [goal])
    assert [(row["shape"], row["ratio"], row["met"]) for row in judged] == [
        ("1x2x4x8", 2.5, "no"),
        ("1x2x4x9", 2.0, "yes"),
    ]


def test_extra_memory_is_what_the_inputs_do_not_hold():
    values = 64 + 18 + 9 * 32  # x, channel filter, spatial filter
    peak = row("ddf_operator", "forward", 1.0, peak_mib=(values + 64) * 4 / 2**20)
    assert extra_features(peak) == pytest.approx(1)
    assert judge([peak], [Goal("C", "features", 1.1, 3)])[0]["met"] == "yes"
    assert judge([row("ddf_operator", "forward", 1.0)], [Goal("C", "features", 1.1, 3)]) == []


@pytest.mark.slow
def test_rows_name_what_was_measured_and_survive_a_file(tmp_path):
    rows = measure(["ddf", "dwconv"], (2, 8, 20, 30), rounds=2)
    assert [row["op"] for row in rows] == ["ddf", "dwconv"]
    assert [row["backend"] for row in rows] == ["cpu", "pytorch"]
    for row in rows:
        assert tuple(sorted(row)) == tuple(sorted(COLUMNS))
        assert 0 < row["p20_ms"] <= row["median_ms"] <= row["p80_ms"]
        assert row["peak_mib"] >= 0
        assert (row["mode"], row["shape"], row["dtype"]) == ("forward", "2x8x20x30", "float32")
        assert row["kernel_size"] == 3
    path = tmp_path / "rows.csv"
    write_rows(path, rows)
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    again = read_rows(path)
    assert [row["op"] for row in again] == ["ddf", "dwconv"]
    assert again[0]["median_ms"] == pytest.approx(rows[0]["median_ms"], rel=1e-5)


@pytest.mark.parametrize("text", ["2x8x4", "2x8x4x0", "2x8x4x-1", "2*8*4*4", "axbxcxd", ""])
def test_shapes_are_read_as_they_are_written(text):
    assert parse_shape("2x256x200x300") == (2, 256, 200, 300)
    with pytest.raises(ValueError, match=f"NxCxHxW.*got '{re.escape(text)}'"):
        parse_shape(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["dff"], (2, 8, 4, 4)), "unknown benchmark case 'dff'; did you mean ddf"),
        (([], (2, 8, 4, 4)), "at least one benchmark case"),
        ((["ddf"], (2, 8, 4)), r"four positive sizes \(N, C, H, W\), got \(2, 8, 4\)"),
        ((["ddf"], (2, 8, 0, 4)), "four positive sizes"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure(*arguments)
    with pytest.raises(UnknownNameError, match="did you mean forward"):
        measure([("ddf", "foreward")], (2, 8, 4, 4))
    with pytest.raises(ValueError, match="odd and at least 1, got 4"):
        measure(["ddf"], (2, 8, 4, 4), kernel_size=4)
    with pytest.raises(UnknownNameError, match="did you mean float"):
        measure(["ddf"], (2, 8, 4, 4), dtype="float23")
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        measure(["ddf"], (2, 8, 4, 4), rounds=0)


def test_a_failed_process_says_why():
    job = {"registry": "repro.bench.cases", "quantity": "time", "cases": [["ddf", "forward"]]}
    job |= {"shape": [1, 2, 4, 4], "kernel_size": 3, "device": "cpu", "dtype": "float32"}
    with pytest.raises(MeasurementError, match=r"at least 1, got 0\.2 \* 2"):
        run_job({**job, "rounds": 1, "seconds": 1}, KEEP_HEAP)


@pytest.mark.slow
def test_the_benchmark_writes_rows_and_judges_them(tmp_path):
    rows = tmp_path / "rows.csv"
    script = [sys.executable, str(ROOT / "benchmarks" / "bench_ddf.py"), "--rounds", "1"]
    sizes = ["--shapes", "2x4x6x5", "8x64x56x56", "--kernel-sizes", "3", "--modes", "forward"]
    subprocess.run(
        [*script, *sizes, "--out", str(rows)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'numba_cuda'}"},
        check=True,
        capture_output=True,
    )
    assert {row["shape"] for row in read_rows(rows)} == {"2x4x6x5", "8x64x56x56"}
    with (tmp_path / "rows_goals.csv").open(encoding="utf-8", newline="") as file:
        judged = list(csv.DictReader(file))
    assert {(row["goal"], row["over"]) for row in judged} == {
        ("C2", "copy"),
        ("C4", "depthwise_operator"),
    }
    assert all(row["met"] in ("yes", "no") for row in judged)
