"""DDF-Up in one pass: scale_factor ** 2 filters for every pixel, written to their sub-pixels.

Branch b = i * s + j filters x (N, C, H, W) with channel_filter[:, :, b] of (N, C, s*s, K, K) and
spatial_filter[:, b] of (N, s*s, K*K, H, W); its output at (h, w) is the element (s*h + i, s*w + j)
of out (N, C, s*H, s*W). A thread makes the s * s outputs of one pixel from one set of K * K values,
channel after channel: x is read once and out written once, where four filters, a stack and a pixel
shuffle read and write 24 times the size of x (s = 2). Any width and dilation; the s * s * K * K
taps of a pixel must fit into registers (`choice.UP_TAPS`).
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks as block_sizes
from repro_kernels.access import advance, divide
from repro_kernels.ddf_parts import find_chunk
from repro_kernels.ddf_plain import make_gather


def make_load_around(kernel_size, storage, dilation):
    """Load the K x K values around a pixel."""
    K, R = kernel_size, kernel_size // 2
    load_or, zero = storage.load_or, storage.accumulator(0)

    @cuda.jit(device=True, inline="always")
    def load_around(x, plane, h, w, height, width, active, values):
        """From the plane of x that starts there, to values (K * K); zero outside the image."""
        for t in range(K * K):
            hi = int32(h + (t // K - R) * dilation)
            wi = int32(w + (t % K - R) * dilation)
            inside = active and hi >= 0 and hi < height and wi >= 0 and wi < width
            place = int32(plane + int32(hi * width + wi))
            values[t] = load_or(x, place, inside, zero)

    return load_around


def forward(kernel_size, add, storage, scale_factor, dilation):
    """out from x and the filters."""
    K, R, S = kernel_size, kernel_size // 2, scale_factor
    TAPS, BRANCHES = K * K, S * S
    SPATIAL = (BRANCHES, TAPS)
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    load_or = storage.load_or
    load_around = make_load_around(kernel_size, storage, dilation)
    plain = make_gather(kernel_size, add, storage, adjoint=False, scale_factor=scale_factor)
    threads = block_sizes.THREADS

    def ddf_up_forward_kernel(
        x, channel_filter, spatial_filter, out, channels, height, width, chunk, chunks, jobs
    ):
        job = int32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        if job >= jobs:
            return
        # Threads run through pixels, then chunks of channels, then images.
        pixels = int32(height * width)
        part = divide(job, pixels)
        pixel = int32(job - part * pixels)
        h = divide(pixel, width)
        w = int32(pixel - h * width)
        n, first, count = find_chunk(part, chunks, chunk, channels)

        image = np.int64(n) * channels
        x = advance(x, image * pixels)
        out = advance(out, image * BRANCHES * pixels)
        channel_filter = advance(channel_filter, image * BRANCHES * TAPS)
        spatial_filter = advance(spatial_filter, np.int64(n) * BRANCHES * TAPS * pixels)

        spatial = cuda.local.array(SPATIAL, accumulator)
        for b in range(BRANCHES):
            for t in range(TAPS):
                hi = int32(h + (t // K - R) * dilation)
                wi = int32(w + (t % K - R) * dilation)
                inside = hi >= 0 and hi < height and wi >= 0 and wi < width
                place = int32((b * TAPS + t) * pixels + pixel)
                spatial[b, t] = load_or(spatial_filter, place, inside, accumulator(0))

        values = cuda.local.array(TAPS, accumulator)
        not_finite = accumulator(0)
        for c in range(first, int32(first + count)):
            of_channel = advance(channel_filter, c * (BRANCHES * TAPS))
            load_around(x, int32(c * pixels), h, w, height, width, True, values)
            for b in range(BRANCHES):
                total = accumulator(0)
                for t in range(TAPS):
                    tap = load(of_channel, b * TAPS + t)
                    tap = spatial[b, t] + tap if add else spatial[b, t] * tap
                    total += tap * values[t]
                not_finite += total * accumulator(0)
                row = int32((c * height + h) * S + b // S)
                store(out, int32((row * width + w) * S + b % S), total)

        # Products with the zeros outside are wrong where a filter is not finite.
        if not_finite != 0:
            for c in range(first, first + count):
                for b in range(BRANCHES):
                    total = plain(
                        x, channel_filter, spatial_filter, c, b, h, w, height, width, 1, dilation
                    )
                    row = (c * height + h) * S + b // S
                    store(out, (row * width + w) * S + b % S, total)

    return ddf_up_forward_kernel
