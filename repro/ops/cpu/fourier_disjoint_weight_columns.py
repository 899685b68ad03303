"""Fourier disjoint weights on the CPU: mix frequencies, and transform the columns of half spectra.

The first half of an inverse real FFT in place in the result, whose second half is
`repro.ops.cpu.fourier_disjoint_weight_rows`. What lies between has as many real values as the
weights. Two vectors of filters, a task of the second half, have their rows of half spectra where
these filters will be, and are read before they are written: no memory of the weights' size is
needed beside theirs.

There they lie in blocks of as many columns as a vector has lanes, row after row; in a row of a
block first the real parts, then the imaginary ones. Those of column 0 would count nothing, as those
of column width / 2, which has no other place: its real parts are there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from repro.ops.cpu.fourier_disjoint_weight_fft import Plan, transform
from repro.ops.cpu.fourier_disjoint_weight_vectors import gather
from repro.ops.cpu.jit import kernel
from repro.ops.cpu.threads import take_task
from repro.ops.cpu.tile import scratch
from repro.ops.cpu.vector import lanes, load, load_evens, store, store_first

Array = np.ndarray[Any, np.dtype[Any]]


@kernel
def columns_kernel(
    counter: Array,
    tasks: int,
    spectrum: Array,
    group_map: Array,
    attention: Array,
    out: Array,
    plan: Plan,
) -> None:
    """Mix frequencies and transform columns; tasks are blocks of columns of one sample each.

    Args:
        spectrum: (P, rows, columns, 2). group_map: (rows, columns).
        attention: (N, P, G), divided by the number of a matrix's values.
        out: (N * C_out * C_in * taps,), written: half spectra, as above.
    """
    rows, half = group_map.shape[0], group_map.shape[1] - 1
    samples = len(attention)
    re = scratch(rows * lanes(out), out)
    im = scratch(rows * lanes(out), out)
    re[:] = 0
    im[:] = 0
    task = take_task(counter)
    while task < tasks:
        # Neighbouring tasks read the same part of the spectrum.
        n, v = task % samples, task // samples * lanes(out)
        count = min(lanes(out), half - v)
        mix_columns(re, im, spectrum, group_map, attention, n, v, count, plan.columns.order)
        if v == 0:
            add_last_column(re, im, spectrum, group_map, attention, n, plan.columns.order)
        transform(re, im, plan.columns)
        store_columns(out, re, im, n, v, count, plan)
        task = take_task(counter)


@kernel
def store_columns(out: Array, re: Array, im: Array, n: int, v: int, count: int, plan: Plan) -> None:
    """Write a block of `count` columns, from column v on, for every task of the second half."""
    sizes = plan.sizes
    width = sizes.inputs * sizes.taps_w
    u = 0
    for o in range(0, sizes.filters, 2 * lanes(out)):
        rows = min(2 * lanes(out), sizes.filters - o) * sizes.taps_h
        place = (n * sizes.filters + o) * sizes.taps_h * width + 2 * v * rows
        for _ in range(rows):
            store_first(out, place, load(re, u * lanes(out)), count)
            store_first(out, place + count, load(im, u * lanes(out)), count)
            place += 2 * count
            u += 1


@kernel
def mix_columns(
    re: Array,
    im: Array,
    spectrum: Array,
    group_map: Array,
    attention: Array,
    n: int,
    first: int,
    count: int,
    order: Array,
) -> None:
    """`count` columns of the sample's spectrum, from `first` on, a row where `order` says."""
    if count < lanes(re):
        mix_some_columns(re, im, spectrum, group_map, attention, n, first, count, order)
        return
    copies, rows, columns, _ = spectrum.shape
    # One row each: what is loaded by place has no axes.
    values, groups, scales = spectrum.ravel(), group_map.ravel(), attention.ravel()
    for u in range(rows):
        place = order[u] * lanes(re)
        cell = u * columns + first
        for p in range(copies):
            scale = gather(scales, (n * copies + p) * attention.shape[2], groups, cell)
            source = 2 * (p * rows * columns + cell)
            product_re = scale * load_evens(values, source)
            product_im = scale * load_evens(values, source + 1)
            if p > 0:
                product_re = load(re, place) + product_re
                product_im = load(im, place) + product_im
            store(re, place, product_re)
            store(im, place, product_im)


@kernel
def mix_some_columns(
    re: Array,
    im: Array,
    spectrum: Array,
    group_map: Array,
    attention: Array,
    n: int,
    first: int,
    count: int,
    order: Array,
) -> None:
    """As `mix_columns`, of fewer columns than a vector has lanes."""
    for u in range(len(group_map)):
        for k in range(count):
            re[order[u] * lanes(re) + k], im[order[u] * lanes(re) + k] = mixed(
                spectrum, group_map, attention, n, u, first + k
            )


@kernel
def add_last_column(
    re: Array,
    im: Array,
    spectrum: Array,
    group_map: Array,
    attention: Array,
    n: int,
    order: Array,
) -> None:
    """Let lane 0 be column 0 + i * the last, both as far as the transform is real."""
    half_one = re.dtype.type(0.5)
    last = group_map.shape[1] - 1
    for u in range(len(group_map) // 2 + 1):
        t = (len(group_map) - u) % len(group_map)
        last_u = mixed(spectrum, group_map, attention, n, u, last)
        last_t = mixed(spectrum, group_map, attention, n, t, last)
        place_u, place_t = order[u] * lanes(re), order[t] * lanes(re)
        first_re = half_one * (re[place_u] + re[place_t])
        first_im = half_one * (im[place_u] - im[place_t])
        last_re = half_one * (last_u[0] + last_t[0])
        last_im = half_one * (last_u[1] - last_t[1])
        re[place_u], im[place_u] = first_re - last_im, first_im + last_re
        re[place_t], im[place_t] = first_re + last_im, last_re - first_im


@kernel
def mixed(
    spectrum: Array, group_map: Array, attention: Array, n: int, u: int, v: int
) -> tuple[float, float]:
    """The sample's value at one frequency."""
    re = im = spectrum.dtype.type(0)
    for p in range(len(spectrum)):
        scale = attention[n, p, group_map[u, v]]
        re += scale * spectrum[p, u, v, 0]
        im += scale * spectrum[p, u, v, 1]
    return re, im
