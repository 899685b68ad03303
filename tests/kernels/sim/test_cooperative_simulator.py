"""The scheduler that proves the kernels must itself see what is wrong with a kernel."""

from __future__ import annotations

import cooperative_simulator
import numpy as np
import pytest
from cooperative_simulator import DivergentBarrierError
from numba import cuda

SEEDS = range(5)


def reverse(synchronise):
    def kernel(x, out):
        shared = cuda.shared.array(64, np.float32)
        i = cuda.threadIdx.x
        shared[i] = x[i]
        if synchronise:
            cuda.syncthreads()
        out[i] = shared[63 - i]

    return cuda.jit(kernel)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_correct_kernel_is_correct_in_every_order(seed):
    cooperative_simulator.install(seed)
    x = np.arange(64, dtype=np.float32)
    out = np.zeros_like(x)
    reverse(synchronise=True)[1, 64](x, out)
    assert (out == x[::-1]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_barrier_is_seen(seed):
    cooperative_simulator.install(seed)
    x = np.arange(64, dtype=np.float32)
    out = np.zeros_like(x)
    reverse(synchronise=False)[1, 64](x, out)
    assert np.isnan(out).any()


@pytest.mark.parametrize("leave_first", [True, False])
def test_a_barrier_that_not_all_reach_is_an_error(leave_first):
    cooperative_simulator.install()

    @cuda.jit
    def kernel(out):
        if cuda.threadIdx.x == 3:
            if leave_first:
                return
            cuda.syncwarp(0xF)
        cuda.syncthreads()
        out[cuda.threadIdx.x] = 1

    with pytest.raises(DivergentBarrierError, match="threads wait for"):
        kernel[1, 8](np.zeros(8))


def test_shared_memory_is_fresh_in_every_block():
    cooperative_simulator.install()

    @cuda.jit
    def kernel(out):
        shared = cuda.shared.array(1, np.float32)
        local = cuda.local.array(1, np.int64)
        if cuda.blockIdx.x == 0:
            shared[0] = 1
        out[cuda.blockIdx.x] = shared[0] + local[0]

    out = np.zeros(2)
    kernel[2, 1](out)
    assert out[0] == 0
    assert np.isnan(out[1])


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("shfl_sync", 5, [5] * 32),
        ("shfl_up_sync", 1, [0, *range(31)]),
        ("shfl_down_sync", 2, [*range(2, 32), 30, 31]),
        ("shfl_xor_sync", 16, [*range(16, 32), *range(16)]),
    ],
)
def test_shuffles(name, argument, expected):
    cooperative_simulator.install()

    @cuda.jit
    def kernel(out):
        lane = cuda.laneid
        out[cuda.threadIdx.x] = getattr(cuda, name)(0xFFFFFFFF, lane, argument)

    out = np.zeros(64)
    kernel[1, 64](out)
    assert out.tolist() == expected * 2
