"""Gradients of DDF's filters on rows of any width, stride 1; see `ddf_row` for how."""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks as block_sizes
from repro_kernels.access import advance, divide
from repro_kernels.blocks import WARP
from repro_kernels.ddf_parts import find_chunk, make_leave_parts, make_sum_over_warp
from repro_kernels.ddf_row import rows_per_thread


def backward_channel(kernel_size, add, storage, dilation):
    """Parts of the gradient of the channel filter, one for each block of pixels."""
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    COUNT = rows_per_thread(kernel_size, storage.name)
    threads, most_channels = block_sizes.THREADS, block_sizes.SUMMED_CHANNELS
    warps = threads // WARP
    SUMS, SPATIAL = warps * most_channels * TAPS, (COUNT, TAPS)
    accumulator, load, load_or = storage.accumulator, storage.load, storage.load_or
    sum_over_warp = make_sum_over_warp(TAPS)
    leave_parts = make_leave_parts(TAPS, storage, most_channels)

    def ddf_row_backward_channel_kernel(
        grad_out,
        x,
        spatial_filter,
        parts,
        batch,
        channels,
        height,
        width,
        chunk,
        chunks,
        groups,
        blocks,
    ):
        sums = cuda.shared.array(SUMS, accumulator)
        part = divide(int32(cuda.blockIdx.x), blocks)
        block = int32(cuda.blockIdx.x - part * blocks)
        n, first, count = find_chunk(part, chunks, chunk, channels)
        job = int32(block * threads + cuda.threadIdx.x)
        group = divide(job, width)
        active = group < groups
        w = int32(job - group * width)
        bundle = divide(group, int32(dilation))
        h = int32(bundle * (COUNT * dilation) + (group - bundle * dilation))
        pixels = int32(height * width)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * pixels)
        x = advance(x, image * pixels)
        spatial_filter = advance(spatial_filter, np.int64(n) * TAPS * pixels)
        parts = advance(parts, ((np.int64(block) * batch + n) * channels + first) * TAPS)

        spatial = cuda.local.array(SPATIAL, accumulator)
        for r in range(COUNT):
            for t in range(TAPS):
                spatial[r, t] = accumulator(0)
                hr = int32(h + r * dilation)
                if not add and active and hr < height:
                    spatial[r, t] = load(spatial_filter, int32(t * pixels + hr * width + w))
        products = cuda.local.array(TAPS, accumulator)
        grads = cuda.local.array(COUNT, accumulator)
        place = int32(first * pixels + h * width + w)
        lane = int32(cuda.threadIdx.x & 31)
        sums_of_warp = int32((cuda.threadIdx.x >> 5) * (most_channels * TAPS))
        for c in range(count):
            for r in range(COUNT):
                inside = active and int32(h + r * dilation) < height
                there = int32(place + width * (r * dilation))
                grads[r] = load_or(grad_out, there, inside, accumulator(0))
            for t in range(TAPS):
                products[t] = accumulator(0)
            for q in range(COUNT + K - 1):
                hi = int32(h + (q - R) * dilation)
                row = int32(place + width * ((q - R) * dilation))
                for v in range(K):
                    wi = int32(w + (v - R) * dilation)
                    inside = active and hi >= 0 and hi < height and wi >= 0 and wi < width
                    value = load_or(x, row + (v - R) * dilation, inside, accumulator(0))
                    for r in range(COUNT):
                        u = q - r
                        if u >= 0 and u < K:
                            t = u * K + v
                            grad = grads[r] if add else grads[r] * spatial[r, t]
                            products[t] += grad * value
            sum_over_warp(products, lane, sums, int32(sums_of_warp + c * TAPS))
            place = int32(place + pixels)

        leave_parts(sums, parts, count)

    return ddf_row_backward_channel_kernel


def backward_spatial(kernel_size, add, storage, dilation):
    """The gradient of the spatial filter: each warp of a block takes a share of the channels."""
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    COUNT = max(1, rows_per_thread(kernel_size, storage.name) // 2)
    SPATIAL = (COUNT, TAPS)
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    load_or = storage.load_or
    threads = block_sizes.THREADS
    warps = threads // WARP

    def ddf_row_backward_spatial_kernel(
        grad_out, x, channel_filter, grad_spatial, channels, height, width, groups, jobs
    ):
        shares = cuda.shared.array(threads, accumulator)
        lane = int32(cuda.threadIdx.x & 31)
        warp = int32(cuda.threadIdx.x >> 5)
        job = int32(cuda.blockIdx.x * WARP + lane)
        active = job < jobs
        line = divide(job, width)
        w = int32(job - line * width)
        n = divide(line, groups)
        group = int32(line - n * groups)
        bundle = divide(group, int32(dilation))
        h = int32(bundle * (COUNT * dilation) + (group - bundle * dilation))
        pixels = int32(height * width)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * pixels)
        x = advance(x, image * pixels)
        channel_filter = advance(channel_filter, image * TAPS)
        grad_spatial = advance(grad_spatial, np.int64(n) * TAPS * pixels)

        spatial = cuda.local.array(SPATIAL, accumulator)
        for r in range(COUNT):
            for t in range(TAPS):
                spatial[r, t] = accumulator(0)
        taps = cuda.local.array(TAPS, accumulator)
        grads = cuda.local.array(COUNT, accumulator)
        for c in range(warp, channels if active else int32(0), int32(warps)):
            place = int32(c * pixels + h * width + w)
            if not add:
                of_channel = advance(channel_filter, c * TAPS)
                for t in range(TAPS):
                    taps[t] = load(of_channel, t)
            for r in range(COUNT):
                inside = int32(h + r * dilation) < height
                there = int32(place + width * (r * dilation))
                grads[r] = load_or(grad_out, there, inside, accumulator(0))
            for q in range(COUNT + K - 1):
                hi = int32(h + (q - R) * dilation)
                row = int32(place + width * ((q - R) * dilation))
                for v in range(K):
                    wi = int32(w + (v - R) * dilation)
                    inside = hi >= 0 and hi < height and wi >= 0 and wi < width
                    value = load_or(x, row + (v - R) * dilation, inside, accumulator(0))
                    for r in range(COUNT):
                        u = q - r
                        if u >= 0 and u < K:
                            product = grads[r] * value
                            t = u * K + v
                            spatial[r, t] += product if add else product * taps[t]

        for r in range(COUNT):
            hr = int32(h + r * dilation)
            for t in range(TAPS):
                cuda.syncthreads()
                shares[cuda.threadIdx.x] = spatial[r, t]
                cuda.syncthreads()
                if warp == t % warps and active and hr < height:
                    total = accumulator(0)
                    for other in range(warps):
                        total += shares[int32(other * WARP + lane)]
                    # A tap outside has no gradient, whatever was multiplied with the zero there.
                    hi = int32(hr + (t // K - R) * dilation)
                    wi = int32(w + (t % K - R) * dilation)
                    if not (hi >= 0 and hi < height and wi >= 0 and wi < width):
                        total = accumulator(0)
                    store(grad_spatial, int32(t * pixels + hr * width + w), total)

    return ddf_row_backward_spatial_kernel
