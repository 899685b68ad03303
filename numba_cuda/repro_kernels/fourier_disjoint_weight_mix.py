"""Fourier disjoint weights: from the gradient of mixed spectra to those of spectrum and attention.

Both are sums without atomics: over samples in a thread, over frequencies in bins that belong to one
thread each, which are then added up in a fixed order.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32, uint32

from repro_kernels.access import divide, make_load
from repro_kernels.blocks import ALL_LANES, WARP
from repro_kernels.fourier_disjoint_weight_access import make_store_pair
from repro_kernels.fourier_disjoint_weight_limits import bins_at_once

THREADS = 128


def unmix_spectrum(storage):
    """grad_spectrum[p, u, v] = sum over n of attention[n, p, group] * grad_mixed[n, u, v]."""
    real = storage.accumulator
    load1, load2 = make_load(storage.name, 1), make_load(storage.name, 2)
    store2 = make_store_pair(storage.name)

    def unmix_spectrum_kernel(
        grad_mixed, group_map, attention, grad_spectrum, batch, copies, groups, cells
    ):
        cell = int32(cuda.blockIdx.x * THREADS + cuda.threadIdx.x)
        if cell >= cells:
            return
        group = group_map[cell]
        for p in range(copies):
            x, y = real(0), real(0)
            for n in range(batch):
                weight = load1(attention, int32((n * copies + p) * groups + group))
                a, b = load2(grad_mixed, 2 * (np.int64(n) * cells + cell))
                x += weight * a
                y += weight * b
            store2(grad_spectrum, 2 * (np.int64(p) * cells + cell), x, y)

    return unmix_spectrum_kernel


def unmix_attention(storage):
    """parts[slice, n, p, g]: of a slice of group g's cells, grad_mixed[n] times spectrum[p].

    A block takes as many groups as it has bins for; with more, other blocks read the cells again.
    """
    real = storage.accumulator
    BINS = bins_at_once(real(0).itemsize)
    SHARED = BINS * THREADS
    warps = THREADS // WARP
    load2 = make_load(storage.name, 2)

    def unmix_attention_kernel(
        grad_mixed, group_map, spectrum, parts, copies, groups, cells, ranges, rows, slices
    ):
        sums = cuda.shared.array(SHARED, real, alignment=16)
        thread = int32(cuda.threadIdx.x)
        part = divide(int32(cuda.blockIdx.x), ranges)
        first = int32((cuda.blockIdx.x - part * ranges) * BINS)
        piece = divide(part, rows)
        row = int32(part - piece * rows)  # n * copies + p
        n = divide(row, copies)
        p = int32(row - n * copies)
        for g in range(int32(BINS)):
            sums[uint32(g * THREADS + thread)] = real(0)
        for cell in range(int32(piece * THREADS + thread), cells, int32(slices * THREADS)):
            g = int32(group_map[cell] - first)
            if g >= 0 and g < BINS:
                a, b = load2(grad_mixed, 2 * (np.int64(n) * cells + cell))
                x, y = load2(spectrum, 2 * (np.int64(p) * cells + cell))
                sums[uint32(g * THREADS + thread)] += a * x + b * y
        cuda.syncthreads()
        lane = int32(thread & (WARP - 1))
        for g in range(int32(thread >> 5), min(int32(BINS), int32(groups - first)), int32(warps)):
            total = real(0)
            for i in range(warps):
                total += sums[uint32(g * THREADS + i * WARP + lane)]
            for step in range(5):
                total += cuda.shfl_xor_sync(ALL_LANES, total, 16 >> step)
            if lane == 0:
                parts[(np.int64(piece) * rows + row) * groups + first + g] = total

    return unmix_attention_kernel
