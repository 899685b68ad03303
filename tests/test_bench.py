"""Measuring: the order of rounds, the summary, the memory account, and the rows."""

from __future__ import annotations

import re
import sys

import pytest
import torch

from repro.bench import CASES, COLUMNS, measure, parse_shape, read_rows, write_rows
from repro.bench.memory import peak_bytes
from repro.bench.processes import KEEP_HEAP, MeasurementError, run_job
from repro.bench.timing import summarise, time_interleaved
from repro.names import UnknownNameError

CPU = torch.device("cpu")


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a high-water mark")
def test_peak_memory_counts_what_is_held_at_once():
    def prepare(x):
        return lambda: torch.cat([x, x]).add(1)  # x, 2x and 2x again

    size = 16 * 2**20  # bytes of x
    peak = peak_bytes(prepare, (1, 4, 1024, 1024), device=CPU, dtype=torch.float32)
    assert 4.9 * size < peak < 6 * size  # the kernel's account of pages lags by a few


@pytest.mark.parametrize("op", CASES)
def test_every_case_runs(op):
    with torch.no_grad():
        CASES[op].prepare(torch.randn(2, 8, 6, 5))()


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
    with pytest.raises(UnknownNameError, match="did you mean float"):
        measure(["ddf"], (2, 8, 4, 4), dtype="float23")
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        measure(["ddf"], (2, 8, 4, 4), rounds=0)


def test_a_failed_process_says_why():
    job = {"quantity": "time", "ops": ["ddf"], "shape": [1, 2, 4, 4], "device": "cpu"}
    with pytest.raises(MeasurementError, match=r"at least 1, got 0\.2 \* 2"):
        run_job({**job, "dtype": "float32", "rounds": 1}, KEEP_HEAP)
