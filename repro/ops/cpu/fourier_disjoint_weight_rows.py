"""Fourier disjoint weights on the CPU: transform the rows of half spectra, and modulate.

The second half of the inverse real FFT, where `repro.ops.cpu.fourier_disjoint_weight_columns` left
half spectra. A vector's lanes are the same row of neighbouring filters; two vectors of filters are
transformed at once, as real and imaginary part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from repro.ops.cpu.fourier_disjoint_weight import Factors
from repro.ops.cpu.fourier_disjoint_weight_fft import Plan, Sizes, transform
from repro.ops.cpu.fourier_disjoint_weight_vectors import (
    divide,
    exponential_of,
    fused,
    load_rows,
    store_rows,
    subtract,
    transpose,
)
from repro.ops.cpu.jit import kernel
from repro.ops.cpu.threads import take_task
from repro.ops.cpu.tile import scratch
from repro.ops.cpu.vector import lanes, load, spread, store

# Indices are unsigned: Numba wraps signed ones around the end of an array, which costs a select per
# access.
index = np.uintp

Array = np.ndarray[Any, np.dtype[Any]]


@kernel
def weights_kernel(counter: Array, tasks: int, out: Array, factors: Factors, plan: Plan) -> None:
    """Transform rows and multiply with the factors; tasks are two vectors of filters of a sample.

    Args:
        out: (N * C_out * C_in * taps,), half spectra on entry, weights on return.
    """
    sizes = plan.sizes
    size = len(plan.rows.order) * lanes(out)
    taps = sizes.taps_h * sizes.taps_w
    re = scratch(sizes.taps_h * size, out)
    im = scratch(sizes.taps_h * size, out)
    stage = scratch(taps * lanes(out) * lanes(out), out)
    width = factors.local_filter.shape[1]
    filters = scratch((taps * width + 1) * lanes(out), out)
    task = take_task(counter)
    blocks = pairs(sizes, out)
    while task < tasks:
        n, o = task // blocks, task % blocks * 2 * lanes(out)
        transform_rows(re, im, out, n, o, plan)
        store_weights(out, re, factors, stage, filters, n, o, plan)
        if o + lanes(out) < sizes.filters:
            store_weights(out, im, factors, stage, filters, n, o + lanes(out), plan)
        task = take_task(counter)


@kernel
def matrix_kernel(counter: Array, tasks: int, out: Array, plan: Plan) -> None:
    """As `weights_kernel`, to matrices (N, C_out * taps_h, C_in * taps_w) without factors."""
    sizes = plan.sizes
    size = len(plan.rows.order) * lanes(out)
    re = scratch(sizes.taps_h * size, out)
    im = scratch(sizes.taps_h * size, out)
    task = take_task(counter)
    blocks = pairs(sizes, out)
    while task < tasks:
        n, o = task // blocks, task % blocks * 2 * lanes(out)
        transform_rows(re, im, out, n, o, plan)
        for u in range(sizes.taps_h):
            store_lines(out, re, n, o, u, plan)
            store_lines(out, im, n, o + lanes(out), u, plan)
        task = take_task(counter)


@kernel
def pairs(sizes: Sizes, like: Array) -> int:
    """Tasks that a sample's filters are cut into."""
    return (sizes.filters + 2 * lanes(like) - 1) // (2 * lanes(like))


@kernel
def transform_rows(re: Array, im: Array, out: Array, n: int, o: int, plan: Plan) -> None:
    """All rows of two vectors of filters, the first ones to `re`, the others to `im`."""
    size = len(plan.rows.order) * lanes(out)
    for u in range(plan.sizes.taps_h):
        line = u * size
        load_spectra(re[line : line + size], im[line : line + size], out, n, o, u, plan)
        transform(re[line : line + size], im[line : line + size], plan.rows)


@kernel
def load_spectra(re: Array, im: Array, out: Array, n: int, o: int, u: int, plan: Plan) -> None:
    """Half spectra of row u of two vectors of filters, a and b, as the spectrum of a + i * b.

    Where there are fewer filters, the last one again.
    """
    sizes = plan.sizes
    order = plan.rows.order
    width = len(order)
    half = width // 2
    filters = min(2 * lanes(re), sizes.filters - o)
    start = (n * sizes.filters + o) * sizes.taps_h * width
    last_a = min(lanes(re), filters) - 1
    first_b = min(lanes(re), filters - 1)
    last_b = filters - 1 - first_b
    square = scratch(4 * lanes(re) * lanes(re), re)
    area = lanes(re) * lanes(re)
    for v in range(0, half, lanes(re)):
        count = min(lanes(re), half - v)
        step = 2 * count * sizes.taps_h
        place_a = start + 2 * v * filters * sizes.taps_h + 2 * count * u
        place_b = place_a + first_b * step
        flip(square, 0, out, place_a, step, last_a, count)
        flip(square, area, out, place_a + count, step, last_a, count)
        flip(square, 2 * area, out, place_b, step, last_b, count)
        flip(square, 3 * area, out, place_b + count, step, last_b, count)
        for k in range(count):
            a_re = load(square, k * lanes(re))
            a_im = load(square, area + k * lanes(re))
            b_re = load(square, 2 * area + k * lanes(re))
            b_im = load(square, 3 * area + k * lanes(re))
            place = order[v + k] * lanes(re)
            if v + k == 0:
                other = order[half] * lanes(re)
                store(re, place, a_re)
                store(im, place, b_re)
                store(re, other, a_im)
                store(im, other, b_im)
            else:
                other = order[width - v - k] * lanes(re)
                store(re, place, subtract(a_re, b_im))
                store(im, place, a_im + b_re)
                store(re, other, a_re + b_im)
                store(im, other, subtract(b_re, a_im))


@kernel
def flip(
    square: Array, place: int, values: Array, start: int, step: int, last: int, count: int
) -> None:
    """Columns of what lies at values[start:], in rows `step` apart, as vectors."""
    store_rows(square, place, lanes(square), transpose(load_rows(values, start, step, last, count)))


@kernel
def store_weights(
    out: Array,
    values: Array,
    factors: Factors,
    stage: Array,
    filters: Array,
    n: int,
    o: int,
    plan: Plan,
) -> None:
    """Multiply a vector of filters with their factors and write them.

    Args:
        values: for each row of a filter, its values as vectors, a lane for each filter.
        stage: room for as many inputs as a vector has lanes, with all their taps.
        filters: room for the local filters, and a vector more.
    """
    sizes = plan.sizes
    taps = sizes.taps_h * sizes.taps_w
    count = min(lanes(out), sizes.filters - o)
    width = factors.local_filter.shape[1]
    own = taps * width * lanes(out)
    for k in range(lanes(out)):
        row = min(o + k, sizes.filters - 1)
        filters[own + k] = factors.filter[n, row]
        for t in range(taps):
            for j in range(width):
                place = (t * width + j) * lanes(out) + k
                filters[place] = -factors.local_filter[row * taps + t, j]
    step = sizes.inputs * taps
    target = (n * sizes.filters + o) * step
    for i in range(0, sizes.inputs, lanes(out)):
        stop = min(i + lanes(out), sizes.inputs)
        for t in range(taps):
            multiply_tap(stage, values, factors, filters, n, t, i, stop, plan)
        if count == lanes(out) and stop == i + lanes(out):
            for m in range(0, taps * lanes(out), lanes(out)):
                rows = load_rows(stage, m * lanes(out), lanes(out), lanes(out), lanes(out))
                store_rows(out, target + i * taps + m, step, transpose(rows))
        else:
            for k in range(count):
                for m in range((stop - i) * taps):
                    out[target + k * step + i * taps + m] = stage[m * lanes(out) + k]


@kernel
def multiply_tap(
    stage: Array,
    values: Array,
    factors: Factors,
    filters: Array,
    n: int,
    t: int,
    start: int,
    stop: int,
    plan: Plan,
) -> None:
    """Tap t of the inputs from `start` to `stop`, times all factors, to their places in stage."""
    taps_w = plan.sizes.taps_w
    taps = plan.sizes.taps_h * taps_w
    width = factors.local_filter.shape[1]
    own = t * width * lanes(stage)
    two = stage.dtype.type(2)
    one = spread(stage.dtype.type(1))
    scale = load(filters, taps * width * lanes(stage)) * spread(two * factors.spatial[n, t])
    place = (t // taps_w * plan.sizes.inputs * taps_w + t % taps_w) * lanes(stage)
    for i in range(start, stop):
        logit = spread(stage.dtype.type(0))
        for j in range(width):
            tap = load(filters, own + j * lanes(stage))
            logit = fused(tap, spread(factors.sequence[index(n), index(i + j)]), logit)
        value = load(values, place + i * taps_w * lanes(stage))
        value = value * scale * spread(factors.channel[index(n), index(i)])
        local = divide(value, one + exponential_of(logit))
        store(stage, ((i - start) * taps + t) * lanes(stage), local)


@kernel
def store_lines(out: Array, values: Array, n: int, o: int, u: int, plan: Plan) -> None:
    """Write row u of a vector of filters to their matrix."""
    sizes = plan.sizes
    width = len(plan.rows.order)
    count = min(lanes(out), sizes.filters - o)
    step = sizes.taps_h * width
    target = (n * sizes.filters + o) * step + u * width
    whole = width // lanes(out) * lanes(out) if count == lanes(out) else 0
    values = values[u * width * lanes(out) :]
    for i in range(0, whole, lanes(out)):
        rows = load_rows(values, i * lanes(out), lanes(out), lanes(out), lanes(out))
        store_rows(out, target + i, step, transpose(rows))
    for k in range(count):
        for i in range(whole, width):
            out[target + k * step + i] = values[i * lanes(out) + k]
