"""How the CPU kernels are compiled, cached and spread over threads.

Kernels are plain sequential loops that release the GIL and take task after task; `run` starts one
per thread. Numba's own `parallel=True` does not serve here: a parallel loop takes no tuples,
whose lengths are what the kernels' inner loops unroll by; its OpenMP layer ends a process that
forks, as DataLoader workers do, and its portable layer one in which two threads enter it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

log = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    # Everything that lets sums be vectorised, but not "nnan" and "ninf": NaN must stay NaN.
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call; keep the machine code for later processes."""
    compiled = njit(**OPTIONS)(function)
    try:
        compiled._cache = _Cache(function)
    except RuntimeError as error:  # neither beside the source nor in the user's cache folder
        log.info("kernels are compiled in every process: %s", error)
    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """Compile `function` into its callers.

    A call hands over an array as seven values, and counts who refers to it; a small map would take
    less than that.
    """
    return njit(forceinline=True, **OPTIONS)(function)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache, which notices changes of every file here, not only of the function's own.

    Kernels call what other files define, and hold its machine code.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _sources())

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(signature, target_context)
        except Exception as error:  # damaged, or of a version whose classes are gone
            log.warning("%s: the compiled kernels cannot be read again: %r", self.cache_path, error)
            self.flush()
            return None


@cache
def _sources() -> str:
    """What the files beside this one say, as a hash."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


@intrinsic  # type: ignore[untyped-decorator]
def take_task(typing_context: Any, counter: Any) -> Any:
    """Raise counter[0] by one and return what it was, no two threads the same."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), codegen


def run(kernel: Callable[..., None], tasks: int, *args: Any) -> None:
    """Call `kernel(counter, tasks, *args)` in several threads, the caller's own among them.

    Each takes tasks from the shared counter (`take_task`) until `tasks` are taken, so a thread that
    starts late, or shares its core, takes fewer. A kernel's result must not depend on who takes
    which. Threads follow `torch.get_num_threads()`.
    """
    counter = np.zeros(1, np.int64)
    threads = min(torch.get_num_threads(), tasks)
    pending = [_threads().submit(kernel, counter, tasks, *args) for _ in range(1, threads)]
    kernel(counter, tasks, *args)
    for future in pending:
        if not future.cancel():  # one that has not begun has nothing left to take
            future.result()


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads are started as they are needed, and kept."""
    return ThreadPoolExecutor(max(32, os.cpu_count() or 1), thread_name_prefix="repro-kernel")


os.register_at_fork(after_in_child=_threads.cache_clear)  # threads do not survive a fork
