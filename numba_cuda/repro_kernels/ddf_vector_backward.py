"""Gradients of DDF on rows of whole vectors; see `ddf_vector` for where and how.

Nothing is added atomically. Sums over the pixels of a block stay in the block; sums over blocks are
left as parts, one row per block, for `backward_channel_sum` to add up in order.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks as block_sizes
from repro_kernels.access import advance, divide, make_store
from repro_kernels.blocks import WARP
from repro_kernels.ddf_parts import find_chunk, make_leave_parts, make_sum_over_warp
from repro_kernels.ddf_plain import make_gather
from repro_kernels.ddf_vector import find_quad, make_load_row, make_load_spatial, make_stage
from repro_kernels.storage import load4_shared

store4_shared = make_store("float32", 4)


def backward_x_channel(kernel_size, add, storage):
    """The gradient of x, and parts of that of the channel filter: they share most products."""
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    PADDED = (TAPS + 3) // 4 * 4
    threads, most_channels = block_sizes.THREADS, block_sizes.CHANNELS
    warps = threads // WARP
    FILTERS, SUMS = most_channels * PADDED, warps * most_channels * TAPS
    SPATIAL, ROW = (TAPS, 4), 4 + 2 * R
    store, load4, store4 = storage.store, storage.load4, storage.store4
    stage = make_stage(kernel_size, storage, adjoint=True)
    load_row = make_load_row(kernel_size, storage)
    load_spatial = make_load_spatial(kernel_size, storage, adjoint=True)
    plain = make_gather(kernel_size, add, storage, adjoint=True)
    sum_over_warp = make_sum_over_warp(TAPS)
    leave_parts = make_leave_parts(TAPS, storage, most_channels, adjoint=True)

    def ddf_vector_backward_x_channel_kernel(
        grad_out,
        x,
        channel_filter,
        spatial_filter,
        grad_x,
        parts,
        batch,
        channels,
        height,
        width,
        chunk,
        chunks,
        blocks,
    ):
        filters = cuda.shared.array(FILTERS, np.float32, alignment=16)
        sums = cuda.shared.array(SUMS, np.float32)
        part = divide(int32(cuda.blockIdx.x), blocks)
        block = int32(cuda.blockIdx.x - part * blocks)
        n, first, count = find_chunk(part, chunks, chunk, channels)
        job = int32(block * threads + cuda.threadIdx.x)
        pixels = int32(height * width)
        quads, quad, y, x4, at_left, at_right = find_quad(job, height, width)
        lane = int32(cuda.threadIdx.x & 31)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * pixels)
        x = advance(x, image * pixels)
        grad_x = advance(grad_x, image * pixels)
        channel_filter = advance(channel_filter, image * TAPS)
        spatial_filter = advance(spatial_filter, np.int64(n) * TAPS * pixels)
        parts = advance(parts, ((np.int64(block) * batch + n) * channels + first) * TAPS)

        place = int32(first * pixels + quad * 4)
        finite = stage(channel_filter, first, count, filters)
        spatial = cuda.local.array(SPATIAL, np.float32)
        load_spatial(spatial_filter, int32(quad * 4), y, x4, height, width, spatial)
        taps = cuda.local.array(PADDED, np.float32)
        row = cuda.local.array(ROW, np.float32)
        totals = cuda.local.array(4, np.float32)
        products = cuda.local.array(TAPS, np.float32)
        sums_of_warp = int32((cuda.threadIdx.x >> 5) * (most_channels * TAPS))
        slot = int32(0)
        while slot < int32(count * PADDED):
            for t in range(0, PADDED, 4):
                taps[t], taps[t + 1], taps[t + 2], taps[t + 3] = load4_shared(filters, slot + t)
            centre = load4(x, place)
            for m in range(4):
                totals[m] = np.float32(0)
            for u in range(K):
                load_row(grad_out, place, u, y, height, width, lane, at_left, at_right, row)
                for v in range(K):
                    t = u * K + v
                    products[t] = np.float32(0)
                    for m in range(4):
                        value = centre[m] if job < quads else np.float32(0)
                        grad = row[v + m]
                        if add:
                            totals[m] += (spatial[t, m] + taps[t]) * grad
                        else:
                            grad *= spatial[t, m]
                            totals[m] += taps[t] * grad
                        products[t] += grad * value
            if job < quads:
                store4(grad_x, place, totals[0], totals[1], totals[2], totals[3])
            sum_over_warp(products, lane, sums, sums_of_warp)
            sums_of_warp = int32(sums_of_warp + TAPS)
            place = int32(place + pixels)
            slot = int32(slot + PADDED)

        leave_parts(sums, parts, count)

        if not finite and job < quads:
            place = int32(first * pixels + quad * 4)
            for c in range(first, first + count):
                for m in range(4):
                    total = plain(
                        grad_out,
                        channel_filter,
                        spatial_filter,
                        c,
                        0,
                        y,
                        x4 + m,
                        height,
                        width,
                        1,
                        1,
                    )
                    store(grad_x, place + m, total)
                place = int32(place + pixels)

    return ddf_vector_backward_x_channel_kernel


def backward_spatial(kernel_size, add, storage):
    """The gradient of the spatial filter: a warp per four-fold share of the channels."""
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    PADDED = (TAPS + 3) // 4 * 4
    threads, most_channels = block_sizes.THREADS, block_sizes.CHANNELS
    warps = threads // WARP
    FILTERS, SHARES = most_channels * PADDED, threads * 4
    SPATIAL, ROW = (TAPS, 4), 4 + 2 * R
    load4, store4 = storage.load4, storage.store4
    stage = make_stage(kernel_size, storage, adjoint=False)
    load_row = make_load_row(kernel_size, storage)

    def ddf_vector_backward_spatial_kernel(
        grad_out, x, channel_filter, grad_spatial, channels, height, width, blocks
    ):
        filters = cuda.shared.array(FILTERS, np.float32, alignment=16)
        shares = cuda.shared.array(SHARES, np.float32, alignment=16)
        n = divide(int32(cuda.blockIdx.x), blocks)
        lane = int32(cuda.threadIdx.x & 31)
        warp = int32(cuda.threadIdx.x >> 5)
        job = int32((cuda.blockIdx.x - n * blocks) * WARP + lane)
        pixels = int32(height * width)
        quads, quad, y, x4, at_left, at_right = find_quad(job, height, width)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * pixels)
        x = advance(x, image * pixels)
        channel_filter = advance(channel_filter, image * TAPS)
        grad_spatial = advance(grad_spatial, np.int64(n) * TAPS * pixels)

        spatial = cuda.local.array(SPATIAL, np.float32)
        for t in range(TAPS):
            for m in range(4):
                spatial[t, m] = np.float32(0)
        taps = cuda.local.array(PADDED, np.float32)
        row = cuda.local.array(ROW, np.float32)
        for first in range(int32(0), channels, int32(most_channels)):
            count = min(int32(most_channels), int32(channels - first))
            if not add:
                cuda.syncthreads()
                stage(channel_filter, first, count, filters)
            place = int32((first + warp) * pixels + quad * 4)
            slot = int32(warp * PADDED)
            while slot < int32(count * PADDED):
                if not add:
                    for t in range(0, PADDED, 4):
                        taps[t], taps[t + 1], taps[t + 2], taps[t + 3] = load4_shared(
                            filters, slot + t
                        )
                grads = load4(grad_out, place)
                for u in range(K):
                    load_row(x, place, u, y, height, width, lane, at_left, at_right, row)
                    for v in range(K):
                        t = u * K + v
                        for m in range(4):
                            product = grads[m] * row[v + m]
                            spatial[t, m] += product if add else product * taps[t]
                place = int32(place + pixels * warps)
                slot = int32(slot + PADDED * warps)

        for t in range(TAPS):
            cuda.syncthreads()
            share = int32(cuda.threadIdx.x * 4)
            store4_shared(shares, share, spatial[t, 0], spatial[t, 1], spatial[t, 2], spatial[t, 3])
            cuda.syncthreads()
            if warp == t % warps and job < quads:
                a = b = c = d = np.float32(0)
                for other in range(warps):
                    share = load4_shared(shares, int32((other * WARP + lane) * 4))
                    a, b, c, d = a + share[0], b + share[1], c + share[2], d + share[3]
                # A tap outside has no gradient, whatever was multiplied with the zero there.
                left = int32(x4 + (t % K - R))
                hi = int32(y + (t // K - R))
                inside = hi >= 0 and hi < height
                zero = np.float32(0)
                store4(
                    grad_spatial,
                    int32(t * pixels + quad * 4),
                    a if inside and left >= 0 and left < width else zero,
                    b if inside and left + 1 >= 0 and left + 1 < width else zero,
                    c if inside and left + 2 >= 0 and left + 2 < width else zero,
                    d if inside and left + 3 >= 0 and left + 3 < width else zero,
                )

    return ddf_vector_backward_spatial_kernel
