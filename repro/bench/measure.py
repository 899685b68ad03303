"""From names of cases to rows of a benchmark file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from repro import env
from repro.bench.cases import CASES
from repro.bench.processes import KEEP_HEAP, MAP_EACH_BLOCK, run_job
from repro.files import write_text
from repro.names import require_known

COLUMNS = (
    "op",
    "backend",
    "mode",
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
    ops: Sequence[str],
    shape: Sequence[int],
    *,
    rounds: int = 10,
    device: str = "cpu",
    dtype: str = "float32",
) -> list[dict[str, Any]]:
    """Time some cases side by side, in inference, and find the peak memory of each.

    Args:
        ops: names of `CASES`.
        shape: (N, C, H, W) of the input; layers have C channels in and out.
        rounds: how often each is timed, in turns.
        device: "cpu" or "cuda".
        dtype: one of `DTYPES`.
    Returns:
        One row for each op, with the keys `COLUMNS`: the median, 20th and 80th percentile of the
        time, and peak memory with input and output (`repro.bench.memory.peak_bytes`).
    Raises:
        UnknownNameError: unknown op or dtype.
        ValueError: no op, shape of other than four positive sizes, rounds < 1, or no such device.
        MeasurementError: a measuring process failed.
    """
    for op in ops:
        require_known("benchmark case", op, CASES)
    require_known("benchmark dtype", dtype, DTYPES)
    if not ops:
        raise ValueError(f"name at least one benchmark case; known: {', '.join(CASES)}")
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"shape must be four positive sizes (N, C, H, W), got {tuple(shape)}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for, but PyTorch finds no CUDA device")
    job = {"shape": list(shape), "device": device, "dtype": dtype, "rounds": rounds}
    timings = run_job({**job, "quantity": "time", "ops": list(ops)}, KEEP_HEAP)
    described = _described(device)
    return [
        {
            "op": op,
            "mode": "forward",
            "shape": "x".join(map(str, shape)),
            "dtype": dtype,
            **timings[op],
            "peak_mib": peak / 2**20,
            **described,
        }
        for op, peak in zip(ops, _peaks(ops, job), strict=True)
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
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in COLUMNS})
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a file that `write_rows` wrote; times and sizes as floats."""
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in rows:
        row.update({name: float(row[name]) for name in COLUMNS if name.endswith(("_ms", "_mib"))})
    return rows


def _peaks(ops: Sequence[str], job: Mapping[str, Any]) -> list[float]:
    """Peak bytes of each op, a process each; two at a time, since each sees only its own memory."""

    def peak(op: str) -> float:
        answer = run_job({**job, "quantity": "peak_bytes", "ops": [op]}, MAP_EACH_BLOCK)
        return float(answer["peak_bytes"])

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(peak, ops))


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
