"""What is particular to the CPU kernels: how they are cut into tasks, compiled and cached."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import DDFCase

from repro.ops import ddf
from repro.ops.cpu import host, jit, plan, tasks, threads, tile
from repro.ops.cpu.host import ddf_backward, ddf_forward
from repro.ops.cpu.threads import take_task

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("block_bytes", [1, 3000, 10**9])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_the_size_of_blocks_changes_nothing(block_bytes, stride, kernel_size, monkeypatch):
    case = DDFCase((2, 3, 23, 9), stride=stride, kernel_size=kernel_size)
    args = [arg.requires_grad_() for arg in case.make(torch.float64)]
    expected = ddf(*args, backend="reference", stride=stride)
    grad_out = torch.randn_like(expected)
    expected_grads = torch.autograd.grad(expected, args, grad_out)
    monkeypatch.setattr(plan, "BLOCK_BYTES", block_bytes)
    plan.plan.cache_clear()
    try:
        actual = ddf(*args, stride=stride)
        torch.testing.assert_close(actual, expected)
        grads = torch.autograd.grad(actual, args, grad_out)
        torch.testing.assert_close(grads, expected_grads)
    finally:
        plan.plan.cache_clear()


def test_large_maps_are_read_in_place_and_the_ends_of_the_tensor_from_a_tile():
    layout = plan.plan((2, 8, 200, 300), 3, 1, 1, 4).layout
    pixels = 200 * 300
    x = np.zeros(2 * 8 * pixels, np.float32)
    length = layout.rows * 300
    inside = [
        tile.lies_inside(x, c * pixels + top * 300, c * pixels + top * 300, layout, length)
        for c in range(16)
        for top in range(0, 200 - layout.rows + 1, layout.rows)
    ]
    blocks = len(inside) // 16
    assert inside[0] is False
    assert all(inside[1:-blocks])


@pytest.mark.parametrize("shape", [(1, 16, 3, 5), (4, 64, 256, 272)], ids=["small", "large"])
def test_stores_past_the_caches_are_only_for_large_aligned_results(shape):
    planned = plan.plan(shape, 3, 1, 1, 4)
    out = np.empty(int(np.prod(shape)) + 16, np.float32)
    skip = -(out.ctypes.data // 4) % 16
    length = planned.layout.rows * shape[3]
    args = (9, 0, length, planned.layout, planned.group)
    is_large = shape[3] > 5
    assert tasks.may_bypass(out[skip : len(out) - 16 + skip], *args) == is_large
    assert not tasks.may_bypass(out[skip + 1 :], *args)


def test_a_large_result_is_right_to_its_last_value():
    shape = (1, 144, 256, 240)  # 34 MiB: stored past the caches
    x, channel_filter, spatial_filter = DDFCase(shape).make(torch.float32)
    out = ddf_forward(x, channel_filter, spatial_filter, 1, 1, "mul")
    for c in (0, 1, 70, 143):
        part = (x[:, c : c + 1], channel_filter[:, c : c + 1], spatial_filter)
        torch.testing.assert_close(out[:, c : c + 1], ddf(*part, backend="reference"))


@pytest.fixture
def poisoned_memory(monkeypatch):
    """Fresh tensors hold NaN, and the kernels must not take that for a result of theirs."""

    def poisoned(self, *shape, **options):
        return torch.zeros(*shape, dtype=self.dtype).fill_(float("nan"))

    def refuse(*args):
        raise AssertionError("took finite values for others")

    monkeypatch.setattr(host, "ddf_reference", refuse)
    monkeypatch.setattr(host, "ddf_backward_reference", refuse)
    monkeypatch.setattr(torch.Tensor, "new_empty", poisoned)
    return monkeypatch


@pytest.mark.parametrize("stride", [1, 2])
def test_what_lies_in_fresh_memory_does_not_count(stride, poisoned_memory):
    args = DDFCase((2, 3, 9, 7), kernel_size=7, stride=stride).make(torch.float64)
    out = ddf_forward(*args, stride, 1, "mul")
    poisoned_memory.undo()
    torch.testing.assert_close(out, ddf(*args, backend="reference", stride=stride))


@pytest.mark.parametrize("stride", [1, 2])
def test_nor_does_it_in_the_gradients(stride, poisoned_memory):
    args = DDFCase((2, 3, 9, 7), kernel_size=7, stride=stride).make(torch.float64)
    grad_out = torch.randn(2, 3, -(-9 // stride), -(-7 // stride), dtype=torch.float64)
    grads = ddf_backward(grad_out, *args, stride, 1, "mul")
    poisoned_memory.undo()
    leaves = [arg.requires_grad_() for arg in args]
    out = ddf(*leaves, backend="reference", stride=stride)
    torch.testing.assert_close(grads, torch.autograd.grad(out, leaves, grad_out))


@jit.kernel
def count_tasks(counter, tasks, taken):
    task = take_task(counter)
    while task < tasks:
        taken[task] += 1
        task = take_task(counter)


@jit.kernel
def fail_at_the_last(counter, tasks, size):
    while take_task(counter) < tasks - 1:
        pass
    size[0] = np.empty(1 << 59).size


@pytest.fixture(params=["team", "pool"])
def threads_of(request, monkeypatch):
    """Sets the number of threads; theirs are OpenMP's, or, as after a fork, Python's."""
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: 0)
    return lambda count: monkeypatch.setattr(torch, "get_num_threads", lambda: count)


def test_every_task_is_taken_once_whatever_the_number_of_threads(threads_of):
    for count in (1, 2, 5):
        threads_of(count)
        for number in (0, 1, 4, 70):
            taken = np.zeros(number, int)
            threads.run(count_tasks, number, taken)
            assert (taken == 1).all()


def test_a_lack_of_memory_in_any_thread_reaches_the_caller(threads_of):
    for count in (1, 3):
        threads_of(count)
        with pytest.raises(MemoryError):
            threads.run(fail_at_the_last, 4, np.zeros(1))


def test_kernels_run_in_the_threads_of_pytorch():
    assert threads._openmp() != 0, torch.__config__.parallel_info()


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    def refuse(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(jit, "_Cache", refuse)
    assert jit.kernel(lambda x: x + 1)(1) == 2


CODE = (
    "import torch; from repro.ops import ddf; from repro.ops.cpu import threads;"
    "from repro.ops.cpu.ddf import forward_kernel;"
    "x = torch.ones(1, 1, 3, 3); out = ddf(x, x, torch.ones(1, 9, 3, 3));"
    "assert out[0, 0, 1, 1] == 9, out;"
    "print(sum(threads._entry(forward_kernel).stats.cache_hits.values()))"
)


def cache_hits(cache: Path) -> int:
    """Of the forward kernel, in a process that keeps its compiled kernels in `cache`."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        env={"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": f"{ROOT}:{ROOT / 'numba_cuda'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.slow
def test_a_second_process_finds_the_compiled_kernels_and_a_damaged_cache_is_made_again(tmp_path):
    assert cache_hits(tmp_path) == 0
    assert cache_hits(tmp_path) == 1
    (index,) = tmp_path.rglob("threads.forward_kernel_entry-*.nbi")
    index.write_bytes(b"no index")
    assert cache_hits(tmp_path) == 0
    assert cache_hits(tmp_path) == 1


def test_the_cache_depends_on_every_file_of_the_package(monkeypatch):
    def kept(function):
        return jit._Cache(function)._cache_file._source_stamp

    def function(x):
        return x

    before = kept(function)
    assert kept(function) == before
    monkeypatch.setattr(jit, "_sources", lambda: "other sources")
    assert kept(function) != before
