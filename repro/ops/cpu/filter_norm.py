"""Standardise spatial filters over their taps on the CPU, and differentiate that.

Each is one pass over memory: a task is a block of pixels whose taps stay in the first-level cache
from the mean to the result. What they compute is in `repro.ops.reference.filter_norm`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from repro.ops.cpu.jit import inlined, kernel
from repro.ops.cpu.plan import Array
from repro.ops.cpu.threads import run, take_task
from repro.ops.cpu.vector import (
    at_least,
    lanes,
    load,
    load_inside,
    spread,
    sqrt,
    store,
    store_first,
    zero_where_below,
)
from repro.ops.reference.filter_norm import EPSILON

Sizes = tuple[int, int, int]

# Sums and products as they are written: which ones LLVM joins depends on where it inlines them, and
# it compiles a kernel for one thread apart from that for several, which have to agree to the bit.
exact_kernel = partial(kernel, fastmath=False)
exact_inlined = partial(inlined, fastmath=False)

# Values of a task: 16 KiB of float32, and as much again of what is written.
BLOCK_VALUES = 4096


def standardise(filters: Tensor, scale: float) -> Tensor:
    """scale * (filters - mean) / std over the taps.

    Args:
        filters: (N, taps, ...), float32 or float64.
    """
    out = torch.empty(filters.shape, dtype=filters.dtype)
    _run(standardise_kernel, filters, out, scale)
    return out


def standardise_backward_(grad: Tensor, filters: Tensor, scale: float) -> None:
    """Turn the gradient of `standardise(filters, scale)`, contiguous, into that of `filters`."""
    _run(standardise_backward_kernel, filters, grad, scale)


def _run(function: Callable[..., None], filters: Tensor, other: Tensor, scale: float) -> None:
    images, taps = filters.shape[:2]
    pixels = filters[0, 0].numel() if images else 0
    block = max(16, BLOCK_VALUES // taps // 16 * 16)
    tasks = images * -(-pixels // block)
    source = filters.detach().contiguous().view(-1).numpy()
    target = other.detach().view(-1).numpy()
    dtype = source.dtype.type
    run(function, tasks, source, target, (taps, pixels, block), dtype(scale), dtype(EPSILON))


@exact_kernel
def standardise_kernel(
    counter: Array,
    tasks: int,
    filters: Array,
    out: Array,
    sizes: Sizes,
    scale: float,
    epsilon: float,
) -> None:
    """Tasks are blocks of pixels of an image; arrays are (N, taps, pixels), flat.

    Args:
        sizes: taps, pixels of an image, pixels of a block.
    """
    taps, pixels, _ = sizes
    task = take_task(counter)
    while task < tasks:
        first, count = locate(task, sizes)
        for i in range(0, count, lanes(filters)):
            left = count - i
            mean, variance = measure(filters, first + i, taps, pixels, left)
            factor = spread(scale) / deviation(variance, epsilon)[1]
            for t in range(taps):
                place = first + i + t * pixels
                result = (read(filters, place, left) - mean) * factor
                write(out, place, result, left)
        task = take_task(counter)


@exact_kernel
def standardise_backward_kernel(
    counter: Array,
    tasks: int,
    filters: Array,
    grads: Array,
    sizes: Sizes,
    scale: float,
    epsilon: float,
) -> None:
    """Tasks and arguments as in `standardise_kernel`; what is in `grads` is replaced."""
    taps, pixels, _ = sizes
    task = take_task(counter)
    while task < tasks:
        first, count = locate(task, sizes)
        for i in range(0, count, lanes(filters)):
            left = count - i
            mean, variance = measure(filters, first + i, taps, pixels, left)
            grad_mean, slope = spread(filters.dtype.type(0)), spread(filters.dtype.type(0))
            for t in range(taps):
                place = first + i + t * pixels
                grad = read(grads, place, left)
                grad_mean += grad
                slope += grad * (read(filters, place, left) - mean)
            root, std = deviation(variance, epsilon)
            grad_mean = grad_mean * spread(filters.dtype.type(1 / taps))
            # A variance that is clamped does not change with the filter.
            slope = slope / (root * std * spread(filters.dtype.type(taps - 1)))
            slope = zero_where_below(slope, variance, spread(epsilon * epsilon))
            factor = spread(scale) / std
            for t in range(taps):
                place = first + i + t * pixels
                change = slope * (read(filters, place, left) - mean)
                result = (read(grads, place, left) - grad_mean - change) * factor
                write(grads, place, result, left)
        task = take_task(counter)


@exact_inlined
def locate(task: int, sizes: Sizes) -> tuple[int, int]:
    """Where a task's first tap begins, and how many pixels it has."""
    taps, pixels, block = sizes
    blocks = (pixels + block - 1) // block
    image, start = task // blocks, task % blocks * block
    return image * taps * pixels + start, min(block, pixels - start)


@exact_inlined
def measure(filters: Array, first: int, taps: int, pixels: int, left: int) -> tuple[object, object]:
    """Mean and unbiased variance of the taps of a vector of pixels."""
    mean, variance = spread(filters.dtype.type(0)), spread(filters.dtype.type(0))
    for t in range(taps):
        mean += read(filters, first + t * pixels, left)
    mean = mean * spread(filters.dtype.type(1 / taps))
    for t in range(taps):
        distance = read(filters, first + t * pixels, left) - mean
        variance += distance * distance
    return mean, variance * spread(filters.dtype.type(1 / (taps - 1)))


@exact_inlined
def deviation(variance: Any, epsilon: float) -> tuple[object, object]:
    """The root of a variance of at least `epsilon` squared, and what filters are divided by."""
    root = sqrt(at_least(variance, spread(epsilon * epsilon)))
    return root, root + spread(epsilon)


@exact_inlined
def read(array: Array, place: int, left: int) -> object:
    """A vector of which `left` values count: without a mask, which costs more, where it may be."""
    return load(array, place) if left >= lanes(array) else load_inside(array, place)


@exact_inlined
def write(array: Array, place: int, values: Any, left: int) -> None:
    """Write the values that count."""
    if left >= lanes(array):
        store(array, place, values)
    else:
        store_first(array, place, values, left)
