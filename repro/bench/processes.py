"""Measuring processes: started afresh, with the C library's allocator set for the purpose.

glibc reads these settings once, at start, so a running process cannot set them for itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import repro

# For timing: keep freed memory. By default glibc maps each large tensor anew and the kernel clears
# its pages, which takes longer than copying it; an operator that writes a fresh output would be
# charged for that.
KEEP_HEAP = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**28),
}

# For peak memory: every block of 64 KiB or more is mapped apart and leaves when it is freed, so
# that the high-water mark is what was held at once.
MAP_EACH_BLOCK = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**16)}


class MeasurementError(RuntimeError):
    """A measuring process ended without a result."""


def run_job(job: Mapping[str, Any], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Run one job of `repro.bench.worker` in a process of its own.

    Raises:
        MeasurementError: the process failed; the message ends in its last lines.
    """
    done = subprocess.run(
        [sys.executable, "-m", "repro.bench.worker"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=Path(repro.__file__).parents[1],  # so that it finds this `repro`, from any folder
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise MeasurementError(f"measuring {job['cases']} ended with {done.returncode}:\n{tail}")
    answer: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answer
