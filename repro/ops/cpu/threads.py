"""How the CPU kernels are spread over threads.

A kernel is a sequential loop that takes task after task from a shared counter; `run` starts it once
in each thread. The threads are those of the OpenMP library that PyTorch runs its own operators in,
entered from machine code: a thread that has just ended its part of a convolution, and still spins
for more work, goes on with ours. Threads of our own would have to take the core from it.

Numba's `parallel=True` does not serve here: a parallel loop takes no tuples, whose lengths are what
the kernels' inner loops unroll by; its OpenMP layer ends a process that forks, as DataLoader
workers do, and its portable layer one in which two threads enter it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from repro.ops.cpu.jit import kernel as compile_kernel

_INT32, _INT64, _POINTER = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()


def run(kernel: Any, tasks: int, *args: Any) -> None:
    """Call `kernel(counter, tasks, *args)` in several threads, the caller's own among them.

    Each takes tasks from the shared counter (`take_task`) until `tasks` are taken, so a thread that
    starts late, or shares its core, takes fewer. A kernel's result must not depend on who takes
    which. Threads follow `torch.get_num_threads()`; all of them are asked even where there are
    fewer tasks, as OpenMP ends those it does not need and makes them anew.

    Args:
        kernel: a function that `repro.ops.cpu.jit.kernel` compiles.
    Raises:
        MemoryError: a thread has no room for its scratch memory.
    """
    counter = np.zeros(1, np.int64)
    threads = torch.get_num_threads() if tasks > 1 else 1
    start, team = _entry(kernel), _openmp() if threads > 1 else 0
    if threads == 1 or team:
        failures = start(team, threads, counter, tasks, *args)
    else:
        failures = _run_in_pool(start, threads, counter, tasks, *args)
    if failures:
        raise MemoryError(f"{kernel.__name__}: a thread has no room for its scratch memory")


@intrinsic  # type: ignore[untyped-decorator]
def take_task(typing_context: Any, counter: Any) -> Any:
    """Raise counter[0] by one and return what it was, no two threads the same."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(_INT64, 1), "monotonic")

    return types.int64(counter), codegen


@cache
def _openmp() -> int:
    """Address of `GOMP_parallel`, the OpenMP library's fork and join; 0 where PyTorch has none.

    Forked processes have none either: OpenMP's threads do not survive a fork, and it would wait for
    them.
    """
    if _is_forked or not torch.backends.openmp.is_available():  # type: ignore[no-untyped-call]
        return 0
    try:
        function = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # another library than GNU's and LLVM's; Windows
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def _entry(kernel: Any) -> Any:
    """The compiled function (team, threads, *args) -> threads in which the kernel failed.

    All calls go through it, those of one thread too: compiled twice, a kernel could add up in
    another order. It is a function of its own for each kernel, and named after it, so that Numba's
    cache tells them apart.
    """
    names = {"_fork_and_join": _fork_and_join, "_kernel": kernel}
    start = FunctionType(_start.__code__, names, f"{kernel.__name__}_entry")
    start.__qualname__, start.__module__ = start.__name__, kernel.__module__
    return compile_kernel(start)


def _start(team: int, threads: int, *args: Any) -> Any:
    return _fork_and_join(_kernel, team, threads, args)  # type: ignore[name-defined]  # noqa: F821


@intrinsic  # type: ignore[untyped-decorator]
def _fork_and_join(typing_context: Any, kernel: Any, team: Any, threads: Any, args: Any) -> Any:
    """Call `kernel(*args)` in each thread of a team; how many of them it failed in.

    In C, with the arguments in a struct that the calling thread keeps on its stack:

        void body(void *shared) { kernel(shared->args) || ++shared->failures; }
        team ? team(body, &shared, threads, 0) : body(&shared);
    """
    kernel.dispatcher.compile(tuple(args.types))

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, address, count, packed = values
        compiled = kernel.dispatcher.overloads[tuple(args.types)]
        context.active_code_library.add_linking_library(compiled.library)
        callee = context.declare_function(builder.module, compiled.fndesc)
        shared_type = ir.LiteralStructType([packed.type, _INT64])
        shared = cgutils.alloca_once(builder, shared_type)
        builder.store(packed, cgutils.gep_inbounds(builder, shared, 0, 0))
        failures = cgutils.gep_inbounds(builder, shared, 0, 1)
        builder.store(ir.Constant(_INT64, 0), failures)

        body_type = ir.FunctionType(ir.VoidType(), [_POINTER])
        body = ir.Function(builder.module, body_type, f"{builder.function.name}.body")
        body.linkage = "internal"
        inner = ir.IRBuilder(body.append_basic_block())
        here = inner.bitcast(body.args[0], shared_type.as_pointer())
        loaded = inner.load(cgutils.gep_inbounds(inner, here, 0, 0))
        each = [inner.extract_value(loaded, i) for i in range(len(args.types))]
        status, _ = context.call_conv.call_function(inner, callee, types.none, args.types, each)
        with inner.if_then(status.is_error):
            failed = cgutils.gep_inbounds(inner, here, 0, 1)
            inner.atomic_rmw("add", failed, ir.Constant(_INT64, 1), "monotonic")
        inner.ret_void()

        arguments = [body_type.as_pointer(), _POINTER, _INT32, _INT32]
        team_type = ir.FunctionType(ir.VoidType(), arguments).as_pointer()
        flags, pointer = ir.Constant(_INT32, 0), builder.bitcast(shared, _POINTER)
        with builder.if_else(builder.icmp_unsigned("!=", address, address.type(0))) as (many, one):
            with many:
                function = builder.inttoptr(address, team_type)
                builder.call(function, [body, pointer, builder.trunc(count, _INT32), flags])
            with one:
                builder.call(body, [pointer])
        return builder.load(failures)

    return types.int64(kernel, team, threads, args), codegen


def _run_in_pool(start: Callable[..., int], threads: int, *args: Any) -> int:
    """As `run`, in Python's threads: where there is no OpenMP, and in forked processes."""
    pending = [_pool().submit(start, 0, 1, *args) for _ in range(1, threads)]
    failures = start(0, 1, *args)
    for future in pending:
        if not future.cancel():  # one that has not begun has nothing left to take
            failures += future.result()
    return failures


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads are started as they are needed, and kept."""
    return ThreadPoolExecutor(max(32, os.cpu_count() or 1), thread_name_prefix="repro-kernel")


_is_forked = False


def _after_fork() -> None:
    global _is_forked
    _is_forked = True
    _openmp.cache_clear()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
