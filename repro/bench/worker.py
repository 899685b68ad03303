"""The measuring process: reads one job as JSON from stdin, writes its result as JSON to stdout.

Started by `repro.bench.processes`, never by hand.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import torch

from repro.bench.cases import Case, Step, as_step
from repro.bench.memory import peak_bytes
from repro.bench.timing import time_interleaved
from repro.ops.backends import choose


def run(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Time the job's cases together, or find the peak memory of its only one.

    Returns:
        One answer for each of the job's `cases`, which are pairs of op and mode.
    """
    torch.manual_seed(0)
    cases: Mapping[str, Case] = importlib.import_module(job["registry"]).CASES
    device, dtype = torch.device(job["device"]), getattr(torch, job["dtype"])

    def prepare(op: str, mode: str, x: torch.Tensor) -> Step:
        return as_step(cases[op].prepare(x, job["kernel_size"]), mode)

    if job["quantity"] == "peak_bytes":
        ((op, mode),) = job["cases"]
        peak = peak_bytes(lambda x: prepare(op, mode, x), job["shape"], device=device, dtype=dtype)
        return [{"peak_bytes": peak}]
    x = torch.randn(*job["shape"], device=device, dtype=dtype)
    # Each has an input of its own: what requires grad for one would be recorded for another.
    steps = {i: prepare(op, mode, x.clone()) for i, (op, mode) in enumerate(job["cases"])}
    timings = time_interleaved(steps, rounds=job["rounds"], seconds=job["seconds"], device=device)
    ours = choose("ddf", None, x)  # what `repro.ops` took for these arguments
    return [
        {"backend": cases[op].backend or ours, **vars(timings[i])}
        for i, (op, _) in enumerate(job["cases"])
    ]


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
