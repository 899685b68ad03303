"""Fourier disjoint weights on the CPU: from matrices, or parallel weights, to modulated filters.

The FFT between `repro.ops.cpu.fourier_disjoint_weight_mix` and this is PyTorch's; weights that the
kernels' own FFT makes (`repro.ops.cpu.fourier_disjoint_weight_rows`) leave this file only the
gradients.

The form. One filter of one sample is worked on in planes: tap t's input channels lie side by side
in row t of a small array, so that every loop runs over neighbouring values, the local factor's
sequence among them. Filters leave the planes in the order that a convolution reads.

Tasks are output channels, forward and backward; each owns what it writes, or writes a partial sum
of its own, so results do not depend on the number of threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from repro.ops.cpu.jit import kernel
from repro.ops.cpu.threads import take_task

# Indices are unsigned: Numba wraps signed ones around the end of an array, which costs a select per
# access.
index = np.uintp

Array = np.ndarray[Any, np.dtype[Any]]


class Factors(NamedTuple):
    """What a sample's weights are multiplied with; see `repro.ops.reference` `Modulation`."""

    channel: Array  # (N, groups * C_in)
    filter: Array  # (N, C_out)
    spatial: Array  # (N, taps)
    sequence: Array  # (N, groups * C_in + width - 1): local_input with zeros around it
    local_filter: Array  # (C_out * taps, width), width 0 for none
    per_group: int  # output channels of a convolution group


class Gradients(NamedTuple):
    """Gradients of `Factors`; those summed over output channels have a row for each task."""

    channel: Array  # (tasks, N, groups * C_in)
    filter: Array  # (N, C_out)
    spatial: Array  # (tasks, N, taps)
    sequence: Array  # (tasks, N, groups * C_in + width - 1)
    local_filter: Array  # (C_out * taps, width)


@kernel
def modulate_kernel(
    counter: Array, tasks: int, matrix: Array, out: Array, factors: Factors, start: int, taps_w: int
) -> None:
    """Cut matrices into filters and multiply them with their factors; tasks are output channels.

    Args:
        matrix: (chunk, C_out * taps_h, C_in * taps_w), samples start, start + 1, ... of the batch.
        out: (N, C_out, C_in * taps).
    """
    taps = factors.spatial.shape[1]
    inputs = matrix.shape[2] // taps_w
    planes = np.empty((taps, inputs), out.dtype)
    logits = np.empty(inputs, out.dtype)
    o = take_task(counter)
    while o < tasks:
        for sample in range(len(matrix)):
            n = start + sample
            load_matrix(planes, matrix, sample, o, taps_w)
            for t in range(taps):
                correlate(logits, factors, n, o, t)
                multiply(planes, t, logits, factors, n, o)
            store_filter(out, planes, n, o)
        o = take_task(counter)


@kernel
def basis_kernel(
    counter: Array, tasks: int, basis: Array, attention: Array, out: Array, factors: Factors
) -> None:
    """Add up parallel weights and multiply with the factors; tasks are output channels.

    Args:
        basis: (B, C_out * taps, C_in). attention: (N, B). out: (N, C_out, C_in * taps).
    """
    taps = factors.spatial.shape[1]
    inputs = basis.shape[2]
    planes = np.empty((taps, inputs), out.dtype)
    logits = np.empty(inputs, out.dtype)
    o = take_task(counter)
    while o < tasks:
        for n in range(len(attention)):
            for t in range(taps):
                add_up(planes, t, basis, o * taps + t, attention, n)
                correlate(logits, factors, n, o, t)
                multiply(planes, t, logits, factors, n, o)
            store_filter(out, planes, n, o)
        o = take_task(counter)


@kernel
def modulate_backward_kernel(
    counter: Array,
    tasks: int,
    grad_out: Array,
    matrix: Array,
    factors: Factors,
    gradients: Gradients,
    start: int,
    taps_w: int,
) -> None:
    """Gradients of the factors, and of `matrix` in its place; tasks are chunks of output channels.

    Args:
        grad_out: (N, C_out, C_in * taps).
        The others: as in `modulate_kernel`.
    """
    taps = factors.spatial.shape[1]
    inputs = matrix.shape[2] // taps_w
    outputs = factors.filter.shape[1]
    planes = np.empty((taps, inputs), matrix.dtype)
    grads = np.empty((taps, inputs), matrix.dtype)
    logits = np.empty(inputs, matrix.dtype)
    task = take_task(counter)
    while task < tasks:
        for o in range(task * outputs // tasks, (task + 1) * outputs // tasks):
            for sample in range(len(matrix)):
                n = start + sample
                load_matrix(planes, matrix, sample, o, taps_w)
                load_filter(grads, grad_out, n, o)
                for t in range(taps):
                    correlate(logits, factors, n, o, t)
                    differentiate(grads, planes, t, logits, factors, gradients, task, n, o)
                store_matrix(matrix, grads, sample, o, taps_w)
        task = take_task(counter)


@kernel
def basis_backward_kernel(
    counter: Array,
    tasks: int,
    grad_out: Array,
    basis: Array,
    attention: Array,
    factors: Factors,
    grad_basis: Array,
    grad_attention: Array,
    gradients: Gradients,
) -> None:
    """All gradients of `basis_kernel`; tasks are chunks of output channels.

    Args:
        grad_basis: like basis, zero. grad_attention: (tasks, N, B), zero.
    """
    taps = factors.spatial.shape[1]
    inputs = basis.shape[2]
    outputs = factors.filter.shape[1]
    planes = np.empty((taps, inputs), basis.dtype)
    grads = np.empty((taps, inputs), basis.dtype)
    logits = np.empty(inputs, basis.dtype)
    task = take_task(counter)
    while task < tasks:
        for o in range(task * outputs // tasks, (task + 1) * outputs // tasks):
            for n in range(len(attention)):
                load_filter(grads, grad_out, n, o)
                for t in range(taps):
                    add_up(planes, t, basis, o * taps + t, attention, n)
                    correlate(logits, factors, n, o, t)
                    differentiate(grads, planes, t, logits, factors, gradients, task, n, o)
                    row = index(o * taps + t)
                    for b in range(len(basis)):
                        grad_attention[task, n, b] += spread(
                            grad_basis, basis, index(b), row, attention[n, b], grads, index(t)
                        )
        task = take_task(counter)


@kernel
def spread(
    grad_basis: Array, basis: Array, b: int, row: int, weight: float, grads: Array, t: int
) -> float:
    """Give a row's gradient to parallel weight b; returns the gradient of its attention."""
    total: float = basis.dtype.type(0)
    for i in range(index(basis.shape[2])):
        grad_basis[b, row, i] += weight * grads[t, i]
        total += basis[b, row, i] * grads[t, i]
    return total


@kernel
def add_up(planes: Array, t: int, basis: Array, row: int, attention: Array, n: int) -> None:
    """planes[t] = the sum of row `row` of all parallel weights, four at a time."""
    count = index(len(basis))
    whole = count - count % index(4)
    plane = index(t)
    line = index(row)
    sample = index(n)
    planes[plane] = 0
    for b in range(index(0), whole, index(4)):
        b1 = b + index(1)
        b2 = b + index(2)
        b3 = b + index(3)
        a0 = attention[sample, b]
        a1 = attention[sample, b1]
        a2 = attention[sample, b2]
        a3 = attention[sample, b3]
        for i in range(index(planes.shape[1])):
            planes[plane, i] += (
                a0 * basis[b, line, i]
                + a1 * basis[b1, line, i]
                + a2 * basis[b2, line, i]
                + a3 * basis[b3, line, i]
            )
    for b in range(whole, count):
        a0 = attention[sample, b]
        for i in range(index(planes.shape[1])):
            planes[plane, i] += a0 * basis[b, line, i]


@kernel
def correlate(logits: Array, factors: Factors, n: int, o: int, t: int) -> None:
    """logits = minus the sequence correlated with the local filter of (o, t): exp takes it so."""
    width = index(factors.local_filter.shape[1])
    row = index(o * factors.spatial.shape[1] + t)
    offset = index(o // factors.per_group * len(logits))
    sample = index(n)
    logits[:] = 0
    # Four taps in one pass over the channels, the rest in passes of their own.
    whole = width - width % index(4)
    for j in range(index(0), whole, index(4)):
        first = offset + j
        w0 = factors.local_filter[row, j]
        w1 = factors.local_filter[row, j + index(1)]
        w2 = factors.local_filter[row, j + index(2)]
        w3 = factors.local_filter[row, j + index(3)]
        for i in range(index(len(logits))):
            logits[i] -= (
                w0 * factors.sequence[sample, first + i]
                + w1 * factors.sequence[sample, first + i + index(1)]
                + w2 * factors.sequence[sample, first + i + index(2)]
                + w3 * factors.sequence[sample, first + i + index(3)]
            )
    for j in range(whole, width):
        w0 = factors.local_filter[row, j]
        for i in range(index(len(logits))):
            logits[i] -= w0 * factors.sequence[sample, offset + j + i]


@kernel
def multiply(planes: Array, t: int, logits: Array, factors: Factors, n: int, o: int) -> None:
    """planes[t] *= local, channel, filter and spatial factors."""
    scale = factors.filter[n, o] * factors.spatial[n, t] * logits.dtype.type(2)
    offset = index(o // factors.per_group * len(logits))
    plane = index(t)
    sample = index(n)
    one = logits.dtype.type(1)
    for i in range(index(len(logits))):
        channel = scale * factors.channel[sample, offset + i]
        planes[plane, i] *= channel / (one + exponential(logits[i]))


@kernel
def differentiate(
    grads: Array,
    planes: Array,
    t: int,
    logits: Array,
    factors: Factors,
    gradients: Gradients,
    task: int,
    n: int,
    o: int,
) -> None:
    """From the gradient of weights in grads[t] to that of planes[t], in place, and of all factors.

    `logits` is as `correlate` leaves it; it and planes[t] are overwritten.
    """
    filter = factors.filter[n, o]
    spatial = factors.spatial[n, t]
    width = index(factors.local_filter.shape[1])
    offset = index(o // factors.per_group * len(logits))
    row = index(o * factors.spatial.shape[1] + t)
    part = index(task)
    plane = index(t)
    sample = index(n)
    scale = filter * spatial
    half = logits.dtype.type(0.5)
    two = logits.dtype.type(2)
    one = logits.dtype.type(1)
    total = logits.dtype.type(0)
    size = index(len(logits))
    # Several loops: in one there are too many arrays for LLVM to vectorise it, since for any two it
    # tests whether they overlap.
    for i in range(size):
        logits[i] = two / (one + exponential(logits[i]))
    for i in range(size):
        planes[plane, i] *= grads[plane, i] * logits[i]
    for i in range(size):
        gradients.channel[part, sample, offset + i] += scale * planes[plane, i]
    for i in range(size):
        grads[plane, i] *= scale * factors.channel[sample, offset + i] * logits[i]
    for i in range(size):
        inner = planes[plane, i] * factors.channel[sample, offset + i]
        total += inner
        # The derivative of s = 2 * sigmoid(z) is s * (1 - s / 2).
        logits[i] = scale * inner * (one - half * logits[i])
    gradients.filter[n, o] += spatial * total
    gradients.spatial[part, sample, plane] += filter * total
    for j in range(width):
        weight = factors.local_filter[row, j]
        total = logits.dtype.type(0)
        for i in range(index(len(logits))):
            gradients.sequence[part, sample, offset + j + i] += weight * logits[i]
            total += logits[i] * factors.sequence[sample, offset + j + i]
        gradients.local_filter[row, j] += total


@kernel
def load_matrix(planes: Array, matrix: Array, sample: int, o: int, taps_w: int) -> None:
    """Filter o of a matrix, as planes."""
    for t in range(len(planes)):
        row = index(o * (len(planes) // taps_w) + t // taps_w)
        column = index(t % taps_w)
        for i in range(index(planes.shape[1])):
            planes[index(t), i] = matrix[index(sample), row, i * index(taps_w) + column]


@kernel
def store_matrix(matrix: Array, planes: Array, sample: int, o: int, taps_w: int) -> None:
    """Undo `load_matrix`."""
    for t in range(len(planes)):
        row = index(o * (len(planes) // taps_w) + t // taps_w)
        column = index(t % taps_w)
        for i in range(index(planes.shape[1])):
            matrix[index(sample), row, i * index(taps_w) + column] = planes[index(t), i]


@kernel
def load_filter(planes: Array, weight: Array, n: int, o: int) -> None:
    """Filter o of a convolution's weight, as planes."""
    taps = index(len(planes))
    for t in range(taps):
        for i in range(index(planes.shape[1])):
            planes[t, i] = weight[index(n), index(o), i * taps + t]


@kernel
def store_filter(weight: Array, planes: Array, n: int, o: int) -> None:
    """Undo `load_filter`."""
    taps = index(len(planes))
    for t in range(taps):
        for i in range(index(planes.shape[1])):
            weight[index(n), index(o), i * taps + t] = planes[t, i]


def exponential(x: float) -> float:
    """exp(x); for float32 in a form that vectorises, within 2 units in the last place."""
    raise NotImplementedError("compiled by Numba only")


@overload(exponential, inline="always")  # type: ignore[untyped-decorator]
def _exponential(x: Any) -> Any:
    def exponential_float64(x: Any) -> Any:
        return math.exp(x)

    if x != types.float32:
        return exponential_float64

    log2_e = np.float32(1.4426950408889634)
    ln_2 = np.float32(0.6931471805599453)
    half = np.float32(0.5)
    low = np.float32(-87)
    high = np.float32(88)
    # Taylor coefficients of degree 7 to 0: on |r| <= ln(2) / 2 the rest is below 5e-9.
    c7, c6, c5, c4, c3 = (np.float32(1 / math.factorial(k)) for k in (7, 6, 5, 4, 3))
    one = np.float32(1)

    def exponential_float32(x: Any) -> Any:
        # NaN goes through unchanged: it is neither below nor above.
        x = low if x < low else (high if x > high else x)
        n = np.floor(x * log2_e + half)
        r = x - n * ln_2
        p = ((((c7 * r + c6) * r + c5) * r + c4) * r + c3) * r + half
        p = (p * r + one) * r + one
        power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
        return p * power

    return exponential_float32
