"""DDF on rows of whole vectors: a thread makes four adjacent outputs, channel after channel.

For stride 1, dilation 1, a width that is a multiple of four and tensors aligned to four values.
The spatial taps of the four pixels stay in registers while the thread runs through up to
CHANNELS channels; the channel filters come from shared memory. A row of x is one load of four
values; what lies left and right of them comes from the neighbouring lanes by warp shuffle, except
at the ends of the warp. Indices are int32, relative to the image: Numba computes int32 * int32 in
64 bits unless the result is cut back, and longer index arithmetic is a longer inner loop.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks as block_sizes
from repro_kernels.access import advance, divide
from repro_kernels.blocks import ALL_LANES, WARP
from repro_kernels.ddf_parts import find_chunk
from repro_kernels.ddf_plain import make_gather
from repro_kernels.filter_norm import make_standardise
from repro_kernels.storage import load4_shared


@cuda.jit(device=True, inline="always")
def find_quad(job, height, width):
    """Of the four pixels that a thread makes: how many quads there are, and which its own is.

    Returns:
        quads, quad, row y, column x4 of the first pixel, whether x4 is the first of a row, the last
    """
    quads = int32(int32(height * width) >> 2)
    quad = min(job, int32(quads - 1))  # all lanes take part in shuffles; few do it in vain
    y = divide(quad, int32(width >> 2))
    x4 = int32(quad * 4 - y * width)
    return quads, quad, y, x4, x4 == 0, x4 == int32(width - 4)


def make_stage(kernel_size, storage, adjoint):
    """Copy channel filters into shared memory, each padded to whole vectors."""
    TAPS = kernel_size * kernel_size
    PADDED = (TAPS + 3) // 4 * 4
    load = storage.load
    threads = block_sizes.THREADS

    @cuda.jit(device=True, inline="always")
    def stage(channel_filter, first, count, filters):
        """Of `count` channels; turned around by `adjoint`. Whether all taps are finite."""
        finite = int32(1)
        for i in range(int32(cuda.threadIdx.x), int32(count * TAPS), int32(threads)):
            c = divide(i, int32(TAPS))
            t = int32(i - c * TAPS)
            value = load(channel_filter, int32(first * TAPS + i))
            filters[int32(c * PADDED + (TAPS - 1 - t if adjoint else t))] = value
            finite = finite if value - value == 0 else int32(0)
        return cuda.syncthreads_and(finite)

    return stage


def make_load_row(kernel_size, storage):
    """Load row u of the K rows around four pixels, with K // 2 columns to either side."""
    R = kernel_size // 2
    load_or, load4, load4_if = storage.load_or, storage.load4, storage.load4_if

    @cuda.jit(device=True, inline="always")
    def load_row(x, place, u, y, height, width, lane, at_left, at_right, row):
        """`place` is that of the four in x; to row (4 + 2 R), zero outside the image."""
        hi = int32(y + (u - R))
        inside = u == R or (hi >= 0 and hi < height)
        i = int32(place + int32(width * (u - R)))
        centre = load4(x, i) if u == R else load4_if(x, i, inside)
        for m in range(4):
            row[R + m] = centre[m]
        # A neighbouring lane holds the same row, but where a row of the image ends.
        for e in range(R):
            left = cuda.shfl_up_sync(ALL_LANES, row[4 + e], 1)
            right = cuda.shfl_down_sync(ALL_LANES, row[R + e], 1)
            left = np.float32(0) if at_left else left
            right = np.float32(0) if at_right else right
            first = lane == 0 and inside and not at_left
            last = lane == WARP - 1 and inside and not at_right
            row[e] = load_or(x, i + (e - R), first, left)
            row[R + 4 + e] = load_or(x, i + (4 + e), last, right)

    return load_row


def make_load_spatial(kernel_size, storage, adjoint, norm_scale=0.0):
    """Load the spatial taps that weight the K x K values around each of four pixels."""
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    load, load4 = storage.load, storage.load4
    standardise = make_standardise(TAPS, storage, norm_scale) if norm_scale else None

    @cuda.jit(device=True, inline="always")
    def load_spatial(spatial_filter, place, y, x4, height, width, spatial):
        """To spatial (TAPS, 4); zero where the value lies outside, whatever the filter holds.

        A gradient is weighted by the taps of the pixels that read this one: `adjoint` takes them
        from there, in the opposite order. Others are standardised, given a `norm_scale`.
        """
        pixels = int32(height * width)
        if norm_scale:
            for t in range(TAPS):
                taps = load4(spatial_filter, int32(t * pixels + place))
                for m in range(4):
                    spatial[t, m] = taps[m]
            for m in range(4):
                standardise(spatial, m)
        for t in range(TAPS):
            hi = int32(y + (t // K - R))
            inside = hi >= 0 and hi < height
            if adjoint:
                plane = int32((TAPS - 1 - t) * pixels + place)
                row = int32(plane + int32(width * (t // K - R)))
                for m in range(4):
                    wi = int32(x4 + (m + t % K - R))
                    spatial[t, m] = np.float32(0)
                    if inside and wi >= 0 and wi < width:
                        spatial[t, m] = load(spatial_filter, int32(row + (m + t % K - R)))
            else:
                if not norm_scale:
                    taps = load4(spatial_filter, int32(t * pixels + place))
                    for m in range(4):
                        spatial[t, m] = taps[m]
                for m in range(4):
                    wi = int32(x4 + (m + t % K - R))
                    there = inside and wi >= 0 and wi < width
                    spatial[t, m] = spatial[t, m] if there else np.float32(0)

    return load_spatial


def forward(kernel_size, add, storage, norm_scale=0.0):
    """out[n,c,h,w] = sum over taps of combine(channel, spatial) * x."""
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    PADDED = (TAPS + 3) // 4 * 4
    FILTERS = block_sizes.CHANNELS * PADDED
    SPATIAL, ROW = (TAPS, 4), 4 + 2 * R
    store, store4 = storage.store, storage.store4
    stage = make_stage(kernel_size, storage, adjoint=False)
    load_row = make_load_row(kernel_size, storage)
    load_spatial = make_load_spatial(kernel_size, storage, adjoint=False, norm_scale=norm_scale)
    plain = make_gather(kernel_size, add, storage, adjoint=False, norm_scale=norm_scale)
    threads = block_sizes.THREADS

    def ddf_vector_forward_kernel(
        x, channel_filter, spatial_filter, out, channels, height, width, chunk, chunks, blocks
    ):
        filters = cuda.shared.array(FILTERS, np.float32, alignment=16)
        # Blocks run through the pixels of a chunk of channels, then chunks, then images.
        part = divide(int32(cuda.blockIdx.x), blocks)
        n, first, count = find_chunk(part, chunks, chunk, channels)
        job = int32((cuda.blockIdx.x - part * blocks) * threads + cuda.threadIdx.x)
        pixels = int32(height * width)
        quads, quad, y, x4, at_left, at_right = find_quad(job, height, width)
        lane = int32(cuda.threadIdx.x & 31)

        image = np.int64(n) * channels
        x = advance(x, image * pixels)
        out = advance(out, image * pixels)
        channel_filter = advance(channel_filter, image * TAPS)
        spatial_filter = advance(spatial_filter, np.int64(n) * TAPS * pixels)

        place = int32(first * pixels + quad * 4)
        if not stage(channel_filter, first, count, filters):
            if job < quads:
                for c in range(first, first + count):
                    for m in range(4):
                        total = plain(
                            x, channel_filter, spatial_filter, c, 0, y, x4 + m, height, width, 1, 1
                        )
                        store(out, place + m, total)
                    place += pixels
            return
        if int32(job - lane) >= quads:  # a whole warp beyond the image
            return

        spatial = cuda.local.array(SPATIAL, np.float32)
        load_spatial(spatial_filter, int32(quad * 4), y, x4, height, width, spatial)
        taps = cuda.local.array(PADDED, np.float32)
        row = cuda.local.array(ROW, np.float32)
        totals = cuda.local.array(4, np.float32)
        slot = int32(0)
        while slot < int32(count * PADDED):
            for t in range(0, PADDED, 4):
                taps[t], taps[t + 1], taps[t + 2], taps[t + 3] = load4_shared(filters, slot + t)
            for m in range(4):
                totals[m] = np.float32(0)
            for u in range(K):
                load_row(x, place, u, y, height, width, lane, at_left, at_right, row)
                for v in range(K):
                    t = u * K + v
                    for m in range(4):
                        tap = spatial[t, m] + taps[t] if add else spatial[t, m] * taps[t]
                        totals[m] += tap * row[v + m]
            if job < quads:
                store4(out, place, totals[0], totals[1], totals[2], totals[3])
            place = int32(place + pixels)
            slot = int32(slot + PADDED)

    return ddf_vector_forward_kernel
