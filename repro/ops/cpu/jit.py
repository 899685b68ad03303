"""How the CPU kernels are compiled, cached and spread over threads.

Kernels are plain sequential loops over a range of tasks that release the GIL; `run` gives each
thread a range. Numba's own `parallel=True` does not serve here: a parallel loop takes no tuples,
whose lengths are what the kernels' inner loops unroll by; its OpenMP layer ends a process that
forks, as DataLoader workers do, and its portable layer one in which two threads enter it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from numba import njit

log = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    # Everything that lets sums be vectorised, but not "nnan" and "ninf": NaN must stay NaN.
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call; keep the machine code for later processes.

    Numba notices changes of the file that `function` is in, and of no other: a kernel and all it
    calls belong into one file.
    """
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError as error:  # neither beside the source nor in the user's cache folder
        log.info("kernels are compiled in every process: %s", error)
        return njit(**OPTIONS)(function)


def run(kernel: Callable[..., None], tasks: int, *args: Any) -> None:
    """Call `kernel(first, last, *args)` on ranges that cover `range(tasks)`, one per thread.

    Threads follow `torch.get_num_threads()`; the caller's own takes the first range. A kernel's
    result must not depend on how the tasks are cut into ranges.
    """
    parts = min(torch.get_num_threads(), tasks)
    if parts == 0:
        return
    bounds = [part * tasks // parts for part in range(parts + 1)]
    own, *others = pairwise(bounds)
    pending = [_threads().submit(kernel, *ends, *args) for ends in others]
    kernel(*own, *args)
    for future in pending:
        future.result()


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads are started as they are needed, and kept."""
    return ThreadPoolExecutor(max(32, os.cpu_count() or 1), thread_name_prefix="repro-kernel")


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not survive a fork
