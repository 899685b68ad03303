"""What is particular to the CPU kernels: how they are cut into tasks, compiled and cached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from cases import DDFCase

from repro.ops import ddf
from repro.ops.cpu import host, jit

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("block_bytes", [1, 3000, 10**9])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_size_of_blocks_changes_nothing(block_bytes, stride, monkeypatch):
    case = DDFCase((2, 3, 23, 9), stride=stride)
    args = [arg.requires_grad_() for arg in case.make(torch.float64)]
    expected = ddf(*args, backend="reference", stride=stride)
    grad_out = torch.randn_like(expected)
    expected_grads = torch.autograd.grad(expected, args, grad_out)
    monkeypatch.setattr(host, "BLOCK_BYTES", block_bytes)
    host.plan.cache_clear()
    try:
        actual = ddf(*args, stride=stride)
        torch.testing.assert_close(actual, expected)
        grads = torch.autograd.grad(actual, args, grad_out)
        torch.testing.assert_close(grads, expected_grads)
    finally:
        host.plan.cache_clear()


def test_every_task_runs_once_whatever_the_number_of_threads(monkeypatch):
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        for tasks in (0, 1, 4, 7):
            counts = np.zeros(tasks, int)

            def kernel(first, last, counts=counts):
                counts[first:last] += 1

            jit.run(kernel, tasks)
            assert (counts == 1).all()


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def kernel(first, last):
        if last == 4:
            raise ArithmeticError("in the last task")

    with pytest.raises(ArithmeticError, match="in the last task"):
        jit.run(kernel, 4)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    def refuse(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(**options)

    monkeypatch.setattr(jit, "njit", refuse)
    assert jit.kernel(lambda x: x + 1)(1) == 2


def test_a_second_process_finds_the_compiled_kernels(tmp_path):
    code = (
        "import torch; from repro.ops import ddf; from repro.ops.cpu.ddf import forward_kernel;"
        "ddf(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 3, 3), torch.ones(1, 9, 3, 3));"
        "print(sum(forward_kernel.stats.cache_hits.values()))"
    )
    hits = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'numba_cuda'}"},
            capture_output=True,
            text=True,
            check=True,
        )
        hits.append(int(done.stdout))
    assert hits == [0, 1]
