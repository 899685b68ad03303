"""From names of cases to rows of a benchmark file."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from repro import env
from repro.bench.cases import MODES
from repro.bench.processes import KEEP_HEAP, MAP_EACH_BLOCK, run_job
from repro.files import write_text
from repro.names import require_known

COLUMNS = (
    "op",
    "backend",
    "mode",
    "kernel_size",
    "shape",
    "dtype",
    "median_ms",
    "p20_ms",
    "p80_ms",
    "peak_mib",
    "device",
    "versions",
    "commit",
)
DTYPES = ("float32", "float64", "float16", "bfloat16")


def measure(
    ops: Sequence[str | tuple[str, str]],
    shape: Sequence[int],
    *,
    kernel_size: int = 3,
    rounds: int = 10,
    seconds: float = 1e9,
    peaks: bool = True,
    device: str = "cpu",
    dtype: str = "float32",
    registry: str = "repro.bench.cases",
) -> list[dict[str, Any]]:
    """Time some cases side by side, and find the peak memory of each.

    Args:
        ops: names of the registry's `CASES`, each alone for inference, or with one of `MODES`.
        shape: (N, C, H, W) of the input; layers have C channels in and out.
        kernel_size: K, of the cases that leave it open.
        rounds: how often each is timed, in turns.
        seconds: for all rounds; see `repro.bench.timing.time_interleaved`.
        peaks: whether to measure memory, which takes a process for each case.
        device: "cpu" or "cuda".
        dtype: one of `DTYPES`.
        registry: the module that holds the cases.
    Returns:
        One row for each op, with the keys `COLUMNS`: the median, 20th and 80th percentile of the
        time, and peak memory with input and output (`repro.bench.memory.peak_bytes`), or NaN.
    Raises:
        UnknownNameError: unknown op, mode or dtype.
        ValueError: no op, shape of other than four positive sizes, even kernel_size, rounds < 1, or
            no such device.
        MeasurementError: a measuring process failed.
    """
    known = importlib.import_module(registry).CASES
    cases = [(op, "forward") if isinstance(op, str) else op for op in ops]
    for op, mode in cases:
        require_known("benchmark case", op, known)
        require_known("benchmark mode", mode, MODES)
    require_known("benchmark dtype", dtype, DTYPES)
    if not ops:
        raise ValueError(f"name at least one benchmark case; known: {', '.join(known)}")
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape must be four positive sizes (N, C, H, W), got {tuple(shape)}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 1, got {kernel_size}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but PyTorch finds no CUDA device")
    job = {
        "registry": registry,
        "shape": list(shape),
        "kernel_size": kernel_size,
        "device": device,
        "dtype": dtype,
        "rounds": rounds,
        "seconds": seconds,
    }
    timings = run_job({**job, "quantity": "time", "cases": cases}, KEEP_HEAP)
    described = _described(device)
    return [
        {
            "op": op,
            "mode": mode,
            "kernel_size": kernel_size,
            "shape": "x".join(map(str, shape)),
            "dtype": dtype,
            **timing,
            "peak_mib": peak / 2**20,
            **described,
        }
        for (op, mode), timing, peak in zip(
            cases,
            timings,
            _peaks(cases, job) if peaks else [float("nan")] * len(cases),
            strict=True,
        )
    ]


def parse_shape(text: str) -> tuple[int, ...]:
    """(2, 256, 200, 300) from "2x256x200x300", as the column `shape` has it.

    Raises:
        ValueError: not four positive sizes joined by x.
    """
    sizes = text.split("x")
    if len(sizes) != 4 or not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise ValueError(f"shape must be NxCxHxW, such as 2x256x200x300, got {text!r}")
    return tuple(int(size) for size in sizes)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, atomically; times and sizes with six significant digits."""
    write_table(path, COLUMNS, rows)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """As `write_rows`, of other columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in columns})
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a file that `write_rows` wrote; times and sizes as numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row.update({name: float(row[name]) for name in COLUMNS if name.endswith(("_ms", "_mib"))})
        row["kernel_size"] = int(row["kernel_size"])
    return rows


def _peaks(cases: Sequence[tuple[str, str]], job: Mapping[str, Any]) -> list[float]:
    """Peak bytes of each case, a process each; two at a time, since each sees its own memory."""

    def peak(case: tuple[str, str]) -> float:
        (answer,) = run_job({**job, "quantity": "peak_bytes", "cases": [case]}, MAP_EACH_BLOCK)
        return float(answer["peak_bytes"])

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(peak, cases))


def _described(device: str) -> dict[str, str]:
    on_cpu = torch.device(device).type == "cpu"
    versions = env.versions()
    shown = ("torch", "numba") if on_cpu else ("torch", "numba-cuda")
    return {
        "device": f"{env.cpu_name()}, {torch.get_num_threads()} threads"
        if on_cpu
        else torch.cuda.get_device_name(device),
        "versions": "; ".join(f"{name} {versions[name]}" for name in shown if versions[name]),
        "commit": env.commit() or "",
    }


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
