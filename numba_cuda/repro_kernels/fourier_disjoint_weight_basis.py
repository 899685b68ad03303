"""Fourier disjoint weights from parallel weights: sums over them, with the factors in the epilogue.

A thread sums SAMPLES samples at once, so that it loads a parallel weight once for all of them; the
attentions come from shared memory. Parallel weights have their input channels last, which makes
the local factor a sum over neighbours; on the way out, filters are turned in shared memory.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32, uint32

from repro_kernels.access import advance, divide, make_load
from repro_kernels.blocks import WARP
from repro_kernels.ddf_parts import make_sum_over_warp
from repro_kernels.fourier_disjoint_weight_access import make_load_run, make_store_run
from repro_kernels.fourier_disjoint_weight_factors import make_local_factor
from repro_kernels.fourier_disjoint_weight_limits import runs_at_once, samples_at_once

STAGED = 32  # terms whose attentions are in shared memory at a time
THREADS = 128  # of the kernels that need no filters

# What `multiply` takes the products of at once.
LEFT, RIGHT = 8, 4


def make_add_up(storage, vector, threads):
    """totals[s, m] = sum over b of attention[s, b] * terms[b, m], for the values of a thread."""
    real = storage.accumulator
    samples = samples_at_once(real(0).itemsize)
    STAGE = STAGED * samples
    together = 16 // real(0).itemsize  # attentions in one load of 128 bits
    load = make_load(storage.name, 1)
    load_staged = make_load(storage.name, together, constant=False)
    load_run = make_load_run(storage, vector)

    @cuda.jit(device=True, inline="always")
    def add_up(attention, first, count, row_stride, stride, terms, number, size, thread, totals):
        """Of up to `samples` of `count` rows of attention, from row `first`; of `number` terms,
        which are `size` values apart."""
        staged = cuda.shared.array(STAGE, real, alignment=16)
        values = cuda.local.array(vector, real)
        for s in range(samples):
            for m in range(vector):
                totals[s, m] = real(0)
        for start in range(int32(0), number, int32(STAGED)):
            cuda.syncthreads()
            for i in range(thread, int32(STAGE), int32(threads)):
                b = divide(i, int32(samples))
                s = int32(first + (i - b * samples))
                b = int32(start + b)
                weight = real(0)
                if s < count and b < number:
                    weight = load(attention, int32(s * row_stride + b * stride))
                staged[uint32(i)] = weight
            cuda.syncthreads()
            at = np.int64(start) * size
            for b in range(min(int32(STAGED), int32(number - start))):
                load_run(terms, at, values)
                at += size
                for s in range(0, samples, together):
                    weights = load_staged(staged, int32(b * samples + s))
                    for k in range(together):
                        for m in range(vector):
                            totals[s + k, m] += weights[k] * values[m]

    return add_up


def basis_to_weight(storage, taps, vector, width):
    """Sums of parallel weights, permuted and modulated: `repro.ops.weight_from_basis`.

    A block makes a piece of one output channel's filters, `runs_at_once(taps) * vector` input
    channels, for a few samples.
    """
    real = storage.accumulator
    samples = samples_at_once(real(0).itemsize)
    runs = runs_at_once(taps)
    threads = runs * taps
    tile = runs * vector
    PIECE = tile * taps
    SHARED, TOTALS = samples * PIECE, (samples, vector)
    load = make_load(storage.name, 1)
    load_tile = make_load_run(storage, vector, constant=False)
    store_run = make_store_run(storage, vector)
    local_factor = make_local_factor(width, storage)
    add_up = make_add_up(storage, vector, threads)

    def basis_to_weight_kernel(
        basis,
        attention,
        channel,
        filter,
        spatial,
        sequence,
        local_filter,
        out,
        batch,
        number,
        outputs,
        inputs,
        per_group,
        channels,
        sequence_stride,
        chunks,
        tiles,
    ):
        turned = cuda.shared.array(SHARED, real, alignment=16)
        totals = cuda.local.array(TOTALS, real)
        values = cuda.local.array(vector, real)
        # Chunks of samples that read the same parallel weights follow each other.
        part = divide(int32(cuda.blockIdx.x), chunks)
        first = int32((cuda.blockIdx.x - part * chunks) * samples)
        o = divide(part, tiles)
        left = int32((part - o * tiles) * tile)  # input channel
        thread = int32(cuda.threadIdx.x)
        t = divide(thread, int32(runs))
        run = int32((thread - t * runs) * vector)
        i = min(int32(left + run), int32(inputs - vector))
        size = np.int64(outputs) * taps * inputs
        row = int32(o * taps + t)
        terms = advance(basis, np.int64(row) * inputs + i)
        add_up(attention, first, batch, number, int32(1), terms, number, size, thread, totals)

        # To shared memory first: the loop below is too long to be unrolled, and an array that is
        # indexed in a loop does not stay in registers (sm_100 then takes a stack).
        own = int32(run * taps + t)
        for s in range(samples):
            for m in range(vector):
                turned[uint32(s * PIECE + m * taps + own)] = totals[s, m]
        c = int32(divide(o, per_group) * inputs + i)
        for s in range(min(int32(samples), int32(batch - first))):
            n = int32(first + s)
            scale = load(filter, int32(n * outputs + o)) * load(spatial, int32(n * taps + t))
            for m in range(vector):
                factor = scale * load(channel, int32(n * channels + c + m))
                at = int32(n * sequence_stride + c + m)
                factor *= local_factor(sequence, at, local_filter, row)
                turned[uint32(s * PIECE + m * taps + own)] *= factor
        cuda.syncthreads()
        count = int32(min(int32(tile), int32(inputs - left)) * taps)
        for s in range(min(int32(samples), int32(batch - first))):
            at = np.int64(first + s) * size + (np.int64(o) * inputs + left) * taps
            for i in range(int32(thread * vector), count, int32(threads * vector)):
                load_tile(turned, int32(s * PIECE + i), values)
                store_run(out, at + i, values)

    return basis_to_weight_kernel


def combine(storage, vector):
    """out[n, e] = sum over b of attention[n, b] * terms[b, e], for runs of `vector` values."""
    real = storage.accumulator
    samples = samples_at_once(real(0).itemsize)
    TOTALS = (samples, vector)
    store_run = make_store_run(storage, vector)
    add_up = make_add_up(storage, vector, THREADS)

    def combine_kernel(attention, terms, out, rows, number, row_stride, stride, size, chunks):
        totals = cuda.local.array(TOTALS, real)
        values = cuda.local.array(vector, real)
        part = divide(int32(cuda.blockIdx.x), chunks)
        first = int32((cuda.blockIdx.x - part * chunks) * samples)
        thread = int32(cuda.threadIdx.x)
        e = int32((part * THREADS + thread) * vector)
        terms = advance(terms, np.int64(min(e, int32(size - vector))))
        add_up(attention, first, rows, row_stride, stride, terms, number, size, thread, totals)
        for s in range(samples):
            if e < size and first + s < rows:
                for m in range(vector):
                    values[m] = totals[s, m]
                store_run(out, np.int64(first + s) * size + e, values)

    return combine_kernel


def multiply(storage, vector):
    """parts[slice, n, b] = sum over a slice of e of left[n, e] * right[b, e].

    A block takes LEFT rows of one and RIGHT rows of the other; every slice is summed in the same
    order in every run, and so are the slices later.
    """
    real = storage.accumulator
    PRODUCTS = LEFT * RIGHT
    warps = THREADS // WARP
    SHARED = PRODUCTS * warps
    LEFT_VALUES = (LEFT, vector)
    load_run = make_load_run(storage, vector)
    sum_over_warp = make_sum_over_warp(PRODUCTS)

    def multiply_kernel(left, right, parts, rows, columns, size, across, down, slices):
        sums = cuda.shared.array(SHARED, real, alignment=16)
        totals = cuda.local.array(PRODUCTS, real)
        left_values = cuda.local.array(LEFT_VALUES, real)
        values = cuda.local.array(vector, real)
        part = divide(int32(cuda.blockIdx.x), across)
        first_column = int32((cuda.blockIdx.x - part * across) * RIGHT)
        piece = divide(part, down)
        first_row = int32((part - piece * down) * LEFT)
        thread = int32(cuda.threadIdx.x)
        for i in range(PRODUCTS):
            totals[i] = real(0)
        stride = int32(slices * THREADS * vector)
        for e in range(int32((piece * THREADS + thread) * vector), size, stride):
            for a in range(LEFT):
                row = min(int32(first_row + a), int32(rows - 1))
                load_run(left, np.int64(row) * size + e, values)
                for m in range(vector):
                    left_values[a, m] = values[m]
            for b in range(RIGHT):
                column = min(int32(first_column + b), int32(columns - 1))
                load_run(right, np.int64(column) * size + e, values)
                for a in range(LEFT):
                    for m in range(vector):
                        totals[a * RIGHT + b] += left_values[a, m] * values[m]
        warp = int32(thread >> 5)
        sum_over_warp(totals, int32(thread & 31), sums, int32(warp * PRODUCTS))
        cuda.syncthreads()
        for i in range(thread, int32(PRODUCTS), int32(THREADS)):
            a = divide(i, int32(RIGHT))
            row, column = int32(first_row + a), int32(first_column + i - a * RIGHT)
            total = real(0)
            for w in range(warps):
                total += sums[uint32(w * PRODUCTS + i)]
            if row < rows and column < columns:
                parts[(np.int64(piece) * rows + row) * columns + column] = total

    return multiply_kernel
