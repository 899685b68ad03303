"""Fourier disjoint weights: DFTs down the columns of half spectra, with the mixing in their load.

A block takes a few neighbouring columns of one sample, so that every access to memory is whole
sectors; a thread has its points in registers and shares them between stages. The spectrum is read
once per sample and never stored mixed.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32, uint32

from repro_kernels.access import advance, divide, make_load
from repro_kernels.fourier_disjoint_weight_access import make_store_pair
from repro_kernels.fourier_disjoint_weight_fft import make_transform
from repro_kernels.fourier_disjoint_weight_limits import columns_at_once


def mix_columns(storage, rows, copies):
    """Scale frequencies by the attention of their groups, then inverse DFTs of the columns.

    spectra[n, y, v] = sum over u of exp(2 pi i u y / rows) times the sum over p of
    attention[n, p, group_map[u, v]] * spectrum[p, u, v].
    """
    columns = columns_at_once(rows, storage.accumulator(0).itemsize)
    SHARED = rows * columns
    real = storage.accumulator
    load1, load2 = make_load(storage.name, 1), make_load(storage.name, 2)
    store2 = make_store_pair(storage.name)

    @cuda.jit(device=True, inline="always")
    def place(column, e):
        return uint32(e * columns + column)

    @cuda.jit(device=True, inline="always")
    def load(source, u):
        spectrum, group_map, attention, half, groups, v = source
        cell = int32(u * half + min(v, int32(half - 1)))
        group = group_map[cell]
        x, y = real(0), real(0)
        for p in range(copies):
            weight = load1(attention, int32(p * groups + group))
            a, b = load2(spectrum, int32(2 * (p * rows * half + cell)))
            x += weight * a
            y += weight * b
        return x, y

    @cuda.jit(device=True, inline="always")
    def store(target, re, im, column, y, real_part, imaginary_part):
        spectra, half, v = target
        if v < half:
            store2(spectra, int32(2 * (y * half + v)), real_part, imaginary_part)

    transform = make_transform(rows, 1, storage, place, load, store, stores_shared=False)

    def mix_columns_kernel(spectrum, group_map, attention, roots, spectra, half, groups, strips):
        re = cuda.shared.array(SHARED, real, alignment=16)
        im = cuda.shared.array(SHARED, real, alignment=16)
        n = divide(int32(cuda.blockIdx.x), strips)
        strip = int32(cuda.blockIdx.x - n * strips)
        thread = divide(int32(cuda.threadIdx.x), int32(columns))
        column = int32(cuda.threadIdx.x - thread * columns)
        attention = advance(attention, np.int64(n) * (copies * groups))
        spectra = advance(spectra, np.int64(n) * half * (2 * rows))
        v = int32(strip * columns + column)
        source = (spectrum, group_map, attention, half, groups, v)
        transform(source, (spectra, half, v), roots, re, im, column, thread)

    return mix_columns_kernel


def transform_columns(storage, rows):
    """DFTs of the columns of `spectra`, in place, scaled to be the gradient of the mixed spectrum.

    `length` is that of the rows of the real matrix. Columns that stand for two, all but the first
    and, where `length` is even, the last, count twice.
    """
    columns = columns_at_once(rows, storage.accumulator(0).itemsize)
    SHARED = rows * columns
    real = storage.accumulator
    load2, store2 = make_load(storage.name, 2, constant=False), make_store_pair(storage.name)

    @cuda.jit(device=True, inline="always")
    def place(column, e):
        return uint32(e * columns + column)

    @cuda.jit(device=True, inline="always")
    def load(source, y):
        spectra, half, v = source
        return load2(spectra, int32(2 * (y * half + min(v, int32(half - 1)))))

    @cuda.jit(device=True, inline="always")
    def store(target, re, im, column, u, real_part, imaginary_part):
        spectra, half, v, scale = target
        if v < half:
            store2(spectra, int32(2 * (u * half + v)), scale * real_part, scale * imaginary_part)

    transform = make_transform(rows, -1, storage, place, load, store, stores_shared=False)

    def transform_columns_kernel(roots, spectra, half, length, strips):
        re = cuda.shared.array(SHARED, real, alignment=16)
        im = cuda.shared.array(SHARED, real, alignment=16)
        n = divide(int32(cuda.blockIdx.x), strips)
        strip = int32(cuda.blockIdx.x - n * strips)
        thread = divide(int32(cuda.threadIdx.x), int32(columns))
        column = int32(cuda.threadIdx.x - thread * columns)
        spectra = advance(spectra, np.int64(n) * half * (2 * rows))
        v = int32(strip * columns + column)
        is_alone = v == 0 or int32(2 * v) == length
        scale = real(1 if is_alone else 2) / (real(rows) * real(length))
        target = (spectra, half, v, scale)
        transform((spectra, half, v), target, roots, re, im, column, thread)

    return transform_columns_kernel
