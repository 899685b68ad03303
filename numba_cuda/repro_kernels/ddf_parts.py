"""Sums over many threads without atomics: over a warp in registers, over blocks from parts.

A block leaves its share of the gradient of the channel filter in one row of `parts`, a scratch
tensor of (blocks per image, N, C, K, K) in what the kernels sum in; a second kernel adds the rows.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks
from repro_kernels.access import advance, divide
from repro_kernels.blocks import ALL_LANES, WARP
from repro_kernels.ddf_plain import make_channel_sum
from repro_kernels.storage import STORAGES


@cuda.jit(device=True, inline="always")
def find_chunk(part, chunks, chunk, channels):
    """Of the chunk of channels `part`, counted over images: image, first channel, how many."""
    n = divide(part, chunks)
    first = int32((part - n * chunks) * chunk)
    return n, first, min(chunk, int32(channels - first))


@cuda.jit(device=True, inline="always")
def halve(values, first, count, lane, distance):
    """Add two halves of the warp, of 2 * count values; the upper half keeps the latter ones."""
    upper = lane & distance != 0
    for i in range(first, first + count):
        low, high = values[i], values[i + count]
        kept, given = (high, low) if upper else (low, high)
        values[i] = kept + cuda.shfl_xor_sync(ALL_LANES, given, distance)


def make_sum_over_warp(count):
    """Sum each of `count` values over the lanes of a warp, always in the same order.

    Eight at a time take 9 shuffles, where one at a time would take 40.
    """
    eights = count // 8

    @cuda.jit(device=True, inline="always")
    def sum_over_warp(values, lane, sums, place):
        """Sum number i goes to sums[place + i] in shared memory; overwrites `values`."""
        for eight in range(eights):
            first = 8 * eight
            halve(values, first, 4, lane, 16)
            halve(values, first, 2, lane, 8)
            halve(values, first, 1, lane, 4)
            value = values[first]  # of number lane // 4
            value += cuda.shfl_xor_sync(ALL_LANES, value, 2)
            value += cuda.shfl_xor_sync(ALL_LANES, value, 1)
            if lane & 3 == 0:
                sums[int32(place + first + (lane >> 2))] = value
        for i in range(8 * eights, count):
            value = values[i]
            for step in range(5):
                value += cuda.shfl_xor_sync(ALL_LANES, value, 16 >> step)
            if lane == 0:
                sums[int32(place + i)] = value

    return sum_over_warp


def make_leave_parts(count, storage, most_channels, adjoint=False):
    """Add up what the warps of a block summed, for its row of parts."""
    threads = blocks.THREADS
    warps = threads // WARP
    accumulator = storage.accumulator
    store_part = STORAGES[accumulator.__name__].store

    @cuda.jit(device=True, inline="always")
    def leave_parts(sums, parts, channels):
        """From sums (warps, most_channels, count) to parts (channels, count).

        The sums of a channel are in the opposite order by `adjoint`.
        """
        cuda.syncthreads()
        for i in range(int32(cuda.threadIdx.x), int32(channels * count), int32(threads)):
            place = i
            if adjoint:
                c = divide(i, int32(count))
                place = int32(c * (2 * count) + (count - 1) - i)
            total = accumulator(0)
            for warp in range(warps):
                total += sums[int32(place + warp * (most_channels * count))]
            store_part(parts, i, total)

    return leave_parts


def backward_channel_sum(kernel_size, add, storage, scale_factor):
    """The gradient of the channel filter from its parts; one thread per element.

    `scale_factor` is 1, or that of DDF-Up, whose channels have a filter for each sub-pixel.

    Parts may hold a product of zero, for outside, with a value that is not finite: a sum that is
    not finite is computed anew from the definition.
    """
    BRANCHES = scale_factor * scale_factor
    TAPS = BRANCHES * kernel_size * kernel_size
    channel_sum = make_channel_sum(kernel_size, add, storage, scale_factor)
    accumulator, store = storage.accumulator, storage.store
    load_part = STORAGES[accumulator.__name__].load
    threads = blocks.THREADS

    def ddf_backward_channel_sum_kernel(
        parts,
        grad_out,
        x,
        spatial_filter,
        grad_channel,
        batch,
        channels,
        height,
        width,
        dilation,
        count,
    ):
        values = int32(batch * channels * TAPS)
        i = int32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        if i >= values:
            return
        total = accumulator(0)
        for part in range(count):
            total += load_part(parts, np.int64(part) * values + i)
        if total - total != 0:
            plane = divide(i, int32(TAPS))
            n = divide(plane, channels)
            image = np.int64(n) * channels
            pixels = np.int64(height) * width
            total = channel_sum(
                advance(grad_out, image * pixels * BRANCHES),
                advance(x, image * pixels),
                advance(spatial_filter, np.int64(n) * TAPS * pixels),
                plane - image,
                i - plane * TAPS,
                height,
                width,
                dilation,
            )
        store(grad_channel, i, total)

    return ddf_backward_channel_sum_kernel
