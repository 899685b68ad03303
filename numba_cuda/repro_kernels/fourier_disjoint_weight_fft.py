"""Complex DFTs of lengths 2**a * 3**b inside a block, for Fourier disjoint weights.

Stockham's form: each stage takes butterflies of radix 8, 4, 3 or 2 from shared memory into
registers, multiplies with roots of unity from a table, and leaves the points sorted for the next
one; no bit reversal. A kernel says where the first stage reads from and where the last one writes
to, and so gets its own work into the transform without another pass over memory.

Real and imaginary parts are arrays of their own in shared memory.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import cuda
from numpy import int32, uint32

from repro_kernels.access import make_load
from repro_kernels.fourier_disjoint_weight_limits import find_radices, threads_of


def roots_of_unity(length: int) -> np.ndarray:
    """(length, 2), float64: cosine and sine of 2 pi k / length."""
    angles = 2 * np.pi * np.arange(length) / length
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def make_butterfly(radix, sign, real):
    """DFT of `radix` points in place; `first`, and `stride` from point to point, are constants."""
    plus = real(sign)

    @cuda.jit(device=True, inline="always")
    def one(x, y, first, stride):
        pass

    @cuda.jit(device=True, inline="always")
    def two(x, y, first, stride):
        a, b = first, first + stride
        x[a], x[b] = x[a] + x[b], x[a] - x[b]
        y[a], y[b] = y[a] + y[b], y[a] - y[b]

    half, height = real(0.5), real(sign * sqrt(0.75))

    @cuda.jit(device=True, inline="always")
    def three(x, y, first, stride):
        a, b, c = first, first + stride, first + 2 * stride
        sum_x, sum_y = x[b] + x[c], y[b] + y[c]
        turned_x, turned_y = height * (y[c] - y[b]), height * (x[b] - x[c])
        middle_x, middle_y = x[a] - half * sum_x, y[a] - half * sum_y
        x[a], y[a] = x[a] + sum_x, y[a] + sum_y
        x[b], y[b] = middle_x + turned_x, middle_y + turned_y
        x[c], y[c] = middle_x - turned_x, middle_y - turned_y

    @cuda.jit(device=True, inline="always")
    def four(x, y, first, stride):
        a, b = first, first + stride
        c, d = first + 2 * stride, first + 3 * stride
        even_x, even_y, odd_x, odd_y = x[a] + x[c], y[a] + y[c], x[b] + x[d], y[b] + y[d]
        rest_x, rest_y = x[a] - x[c], y[a] - y[c]
        turned_x, turned_y = plus * (y[d] - y[b]), plus * (x[b] - x[d])
        x[a], y[a] = even_x + odd_x, even_y + odd_y
        x[b], y[b] = rest_x + turned_x, rest_y + turned_y
        x[c], y[c] = even_x - odd_x, even_y - odd_y
        x[d], y[d] = rest_x - turned_x, rest_y - turned_y

    diagonal = real(sqrt(0.5))

    @cuda.jit(device=True, inline="always")
    def eight(x, y, first, stride):
        four(x, y, first, 2 * stride)
        four(x, y, first + stride, 2 * stride)
        # Odd point k turns by k eighths of a circle.
        b, d, f, h = first + stride, first + 3 * stride, first + 5 * stride, first + 7 * stride
        x[d], y[d] = diagonal * (x[d] - plus * y[d]), diagonal * (y[d] + plus * x[d])
        x[f], y[f] = -plus * y[f], plus * x[f]
        x[h], y[h] = -diagonal * (x[h] + plus * y[h]), diagonal * (plus * x[h] - y[h])
        a, c, e, g = first, first + 2 * stride, first + 4 * stride, first + 6 * stride
        x[a], x[c], x[e], x[g], x[b], x[d], x[f], x[h] = (
            x[a] + x[b],
            x[e] + x[f],
            x[a] - x[b],
            x[e] - x[f],
            x[c] + x[d],
            x[g] + x[h],
            x[c] - x[d],
            x[g] - x[h],
        )
        y[a], y[c], y[e], y[g], y[b], y[d], y[f], y[h] = (
            y[a] + y[b],
            y[e] + y[f],
            y[a] - y[b],
            y[e] - y[f],
            y[c] + y[d],
            y[g] + y[h],
            y[c] - y[d],
            y[g] - y[h],
        )

    return {1: one, 2: two, 3: three, 4: four, 8: eight}[radix]


def make_transform(length, sign, storage, place, load, store, stores_shared):
    """A DFT with exp(sign * 2 pi i ...), not scaled, by `threads_of(length)` threads.

    Args:
        place: (base, e) -> where point e lies in the shared arrays.
        load: (source, e) -> real and imaginary part of input e, for the first stage.
        store: (target, re, im, base, e, x, y) takes output e from the last one.
        stores_shared: whether `store` writes to re and im.
    Returns:
        transform(source, target, roots, re, im, base, thread), for all threads of a block to call;
        a barrier is still due before others read what `store` wrote.
    """
    radices = find_radices(length)

    @cuda.jit(device=True, inline="always")
    def load_first(source, re, im, base, e):
        return load(source, e)

    @cuda.jit(device=True, inline="always")
    def load_shared(source, re, im, base, e):
        i = place(base, e)
        return re[i], im[i]

    @cuda.jit(device=True, inline="always")
    def store_shared(target, re, im, base, e, x, y):
        i = place(base, e)
        re[i] = x
        im[i] = y

    transform, done = None, 1
    for number, radix in enumerate(radices):
        is_first, is_last = number == 0, number == len(radices) - 1
        stage = _make_stage(
            length,
            radix,
            done,
            sign,
            storage,
            load_first if is_first else load_shared,
            store if is_last else store_shared,
            reads_shared=not is_first,
            stores_shared=stores_shared or not is_last,
        )
        transform = stage if transform is None else _one_after_the_other(transform, stage)
        done *= radix
    return transform


def _one_after_the_other(before, after):
    @cuda.jit(device=True, inline="always")
    def both(source, target, roots, re, im, base, thread):
        before(source, target, roots, re, im, base, thread)
        after(source, target, roots, re, im, base, thread)

    return both


def _make_stage(length, radix, done, sign, storage, load, store, *, reads_shared, stores_shared):
    """One stage, after stages whose radices multiply to `done`."""
    real = storage.accumulator
    threads = threads_of(length)
    butterflies = length // radix
    rounds = -(-butterflies // threads)
    is_even = butterflies % threads == 0
    POINTS = rounds * radix
    step = length // (done * radix)
    plus = real(sign)
    load_root = make_load(storage.name, 2)
    butterfly = make_butterfly(radix, sign, real)

    @cuda.jit(device=True, inline="always")
    def stage(source, target, roots, re, im, base, thread):
        x = cuda.local.array(POINTS, real)
        y = cuda.local.array(POINTS, real)
        if reads_shared:
            cuda.syncthreads()
        for i in range(rounds):
            j = int32(thread + i * threads)
            if is_even or j < butterflies:
                for q in range(radix):
                    e = int32(j + q * butterflies)
                    x[i * radix + q], y[i * radix + q] = load(source, re, im, base, e)
        if reads_shared and stores_shared:
            cuda.syncthreads()
        for i in range(rounds):
            j = int32(thread + i * threads)
            if is_even or j < butterflies:
                k = int32(uint32(j) % uint32(done))
                if done > 1:
                    for q in range(1, radix):
                        cosine, sine = load_root(roots, int32(2 * step * q * k))
                        a, b = x[i * radix + q], y[i * radix + q]
                        x[i * radix + q] = a * cosine - plus * (b * sine)
                        y[i * radix + q] = b * cosine + plus * (a * sine)
                butterfly(x, y, i * radix, 1)
                e = int32((j - k) * radix + k)
                for q in range(radix):
                    m = i * radix + q
                    store(target, re, im, base, int32(e + q * done), x[m], y[m])

    return stage
