"""Gradients of DDF-Up, straight from the gradient of its shuffled output; see `ddf_up` for how."""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks as block_sizes
from repro_kernels.access import advance, divide
from repro_kernels.blocks import WARP
from repro_kernels.ddf_parts import find_chunk, make_leave_parts, make_sum_over_warp
from repro_kernels.ddf_plain import make_gather
from repro_kernels.ddf_up import make_load_around


def backward_x(kernel_size, add, storage, scale_factor, dilation):
    """The gradient of x: every pixel gathers from the outputs of the pixels that read it."""
    K, R, S = kernel_size, kernel_size // 2, scale_factor
    TAPS, BRANCHES = K * K, S * S
    SPATIAL = (BRANCHES, TAPS)
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    load_or = storage.load_or
    plain = make_gather(kernel_size, add, storage, adjoint=True, scale_factor=scale_factor)
    threads = block_sizes.THREADS

    def ddf_up_backward_x_kernel(
        grad_out,
        channel_filter,
        spatial_filter,
        grad_x,
        channels,
        height,
        width,
        chunk,
        chunks,
        jobs,
    ):
        job = int32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        if job >= jobs:
            return
        pixels = int32(height * width)
        part = divide(job, pixels)
        pixel = int32(job - part * pixels)
        h = divide(pixel, width)
        w = int32(pixel - h * width)
        n, first, count = find_chunk(part, chunks, chunk, channels)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * BRANCHES * pixels)
        grad_x = advance(grad_x, image * pixels)
        channel_filter = advance(channel_filter, image * BRANCHES * TAPS)
        spatial_filter = advance(spatial_filter, np.int64(n) * BRANCHES * TAPS * pixels)

        # Reader t sees this pixel in its tap TAPS - 1 - t.
        spatial = cuda.local.array(SPATIAL, accumulator)
        for b in range(BRANCHES):
            for t in range(TAPS):
                hi = int32(h + (t // K - R) * dilation)
                wi = int32(w + (t % K - R) * dilation)
                inside = hi >= 0 and hi < height and wi >= 0 and wi < width
                place = int32((b * TAPS + TAPS - 1 - t) * pixels + int32(hi * width + wi))
                spatial[b, t] = load_or(spatial_filter, place, inside, accumulator(0))

        not_finite = accumulator(0)
        for c in range(first, int32(first + count)):
            of_channel = advance(channel_filter, c * (BRANCHES * TAPS))
            total = accumulator(0)
            for t in range(TAPS):
                hi = int32(h + (t // K - R) * dilation)
                wi = int32(w + (t % K - R) * dilation)
                inside = hi >= 0 and hi < height and wi >= 0 and wi < width
                for b in range(BRANCHES):
                    row = int32((c * height + hi) * S + b // S)
                    place = int32((row * width + wi) * S + b % S)
                    tap = load(of_channel, b * TAPS + TAPS - 1 - t)
                    tap = spatial[b, t] + tap if add else spatial[b, t] * tap
                    total += tap * load_or(grad_out, place, inside, accumulator(0))
            not_finite += total * accumulator(0)
            store(grad_x, int32(c * pixels + pixel), total)

        if not_finite != 0:
            for c in range(first, first + count):
                total = plain(
                    grad_out, channel_filter, spatial_filter, c, 0, h, w, height, width, 1, dilation
                )
                store(grad_x, c * pixels + pixel, total)

    return ddf_up_backward_x_kernel


def backward_channel(kernel_size, add, storage, scale_factor, dilation):
    """Parts of the gradient of the channel filter, one for each block of pixels."""
    K, S = kernel_size, scale_factor
    TAPS, BRANCHES = K * K, S * S
    threads, most_channels = block_sizes.THREADS, block_sizes.SUMMED_CHANNELS
    warps = threads // WARP
    PRODUCTS = BRANCHES * TAPS
    SUMS, SPATIAL = warps * most_channels * PRODUCTS, (BRANCHES, TAPS)
    accumulator, load_or = storage.accumulator, storage.load_or
    sum_over_warp = make_sum_over_warp(PRODUCTS)
    leave_parts = make_leave_parts(PRODUCTS, storage, most_channels)
    load_around = make_load_around(kernel_size, storage, dilation)

    def ddf_up_backward_channel_kernel(
        grad_out, x, spatial_filter, parts, batch, channels, height, width, chunk, chunks, blocks
    ):
        sums = cuda.shared.array(SUMS, accumulator)
        part = divide(int32(cuda.blockIdx.x), blocks)
        block = int32(cuda.blockIdx.x - part * blocks)
        n, first, count = find_chunk(part, chunks, chunk, channels)
        pixels = int32(height * width)
        pixel = int32(block * threads + cuda.threadIdx.x)
        active = pixel < pixels
        h = divide(pixel, width)
        w = int32(pixel - h * width)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * BRANCHES * pixels)
        x = advance(x, image * pixels)
        spatial_filter = advance(spatial_filter, np.int64(n) * BRANCHES * TAPS * pixels)
        parts = advance(parts, ((np.int64(block) * batch + n) * channels + first) * PRODUCTS)

        spatial = cuda.local.array(SPATIAL, accumulator)
        for b in range(BRANCHES):
            for t in range(TAPS):
                place = int32((b * TAPS + t) * pixels + pixel)
                spatial[b, t] = load_or(spatial_filter, place, active, accumulator(0))
        products = cuda.local.array(PRODUCTS, accumulator)
        values = cuda.local.array(TAPS, accumulator)
        lane = int32(cuda.threadIdx.x & 31)
        sums_of_warp = int32((cuda.threadIdx.x >> 5) * (most_channels * PRODUCTS))
        for c in range(first, int32(first + count)):
            load_around(x, int32(c * pixels), h, w, height, width, active, values)
            for b in range(BRANCHES):
                row = int32((c * height + h) * S + b // S)
                place = int32((row * width + w) * S + b % S)
                grad = load_or(grad_out, place, active, accumulator(0))
                for t in range(TAPS):
                    product = grad * values[t]
                    products[b * TAPS + t] = product if add else product * spatial[b, t]
            sum_over_warp(products, lane, sums, sums_of_warp)
            sums_of_warp = int32(sums_of_warp + PRODUCTS)

        leave_parts(sums, parts, count)

    return ddf_up_backward_channel_kernel


def backward_spatial(kernel_size, add, storage, scale_factor, dilation):
    """The gradient of the spatial filter: each warp of a block takes a share of the channels."""
    K, R, S = kernel_size, kernel_size // 2, scale_factor
    TAPS, BRANCHES = K * K, S * S
    SPATIAL = (BRANCHES, TAPS)
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    load_around = make_load_around(kernel_size, storage, dilation)
    threads = block_sizes.THREADS
    warps = threads // WARP

    def ddf_up_backward_spatial_kernel(
        grad_out, x, channel_filter, grad_spatial, channels, height, width, jobs
    ):
        shares = cuda.shared.array(threads, accumulator)
        lane = int32(cuda.threadIdx.x & 31)
        warp = int32(cuda.threadIdx.x >> 5)
        job = int32(cuda.blockIdx.x * WARP + lane)
        active = job < jobs
        pixels = int32(height * width)
        n = divide(job, pixels)
        pixel = int32(job - n * pixels)
        h = divide(pixel, width)
        w = int32(pixel - h * width)

        image = np.int64(n) * channels
        grad_out = advance(grad_out, image * BRANCHES * pixels)
        x = advance(x, image * pixels)
        channel_filter = advance(channel_filter, image * BRANCHES * TAPS)
        grad_spatial = advance(grad_spatial, np.int64(n) * BRANCHES * TAPS * pixels)

        spatial = cuda.local.array(SPATIAL, accumulator)
        for b in range(BRANCHES):
            for t in range(TAPS):
                spatial[b, t] = accumulator(0)
        values = cuda.local.array(TAPS, accumulator)
        for c in range(warp, channels if active else int32(0), int32(warps)):
            of_channel = advance(channel_filter, c * (BRANCHES * TAPS))
            load_around(x, int32(c * pixels), h, w, height, width, True, values)
            for b in range(BRANCHES):
                row = int32((c * height + h) * S + b // S)
                grad = load(grad_out, int32((row * width + w) * S + b % S))
                for t in range(TAPS):
                    product = grad * values[t]
                    if not add:
                        product *= load(of_channel, b * TAPS + t)
                    spatial[b, t] += product

        for b in range(BRANCHES):
            for t in range(TAPS):
                cuda.syncthreads()
                shares[cuda.threadIdx.x] = spatial[b, t]
                cuda.syncthreads()
                if warp == t % warps and active:
                    total = accumulator(0)
                    for other in range(warps):
                        total += shares[int32(other * WARP + lane)]
                    # A tap outside has no gradient, whatever was multiplied with the zero there.
                    hi = int32(h + (t // K - R) * dilation)
                    wi = int32(w + (t % K - R) * dilation)
                    if not (hi >= 0 and hi < height and wi >= 0 and wi < width):
                        total = accumulator(0)
                    store(grad_spatial, int32((b * TAPS + t) * pixels + pixel), total)

    return ddf_up_backward_spatial_kernel
