"""The measuring process: reads one job as JSON from stdin, writes its result as JSON to stdout.

Started by `repro.bench.processes`, never by hand.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from repro.bench.cases import CASES
from repro.bench.memory import peak_bytes
from repro.bench.timing import time_interleaved
from repro.ops.backends import choose


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Time the job's ops together, or find the peak memory of its only op, without gradients."""
    torch.manual_seed(0)
    device, dtype = torch.device(job["device"]), getattr(torch, job["dtype"])
    with torch.no_grad():
        if job["quantity"] == "peak_bytes":
            (op,) = job["ops"]
            prepare = CASES[op].prepare
            return {"peak_bytes": peak_bytes(prepare, job["shape"], device=device, dtype=dtype)}
        x = torch.randn(*job["shape"], device=device, dtype=dtype)
        steps = {op: CASES[op].prepare(x) for op in job["ops"]}
        timings = time_interleaved(steps, rounds=job["rounds"], device=device)
    ours = choose("ddf", None, x)  # what `repro.ops` took for these arguments
    return {
        op: {"backend": CASES[op].backend or ours, **vars(timing)} for op, timing in timings.items()
    }


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
