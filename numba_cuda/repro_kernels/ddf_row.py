"""DDF on rows of any width: a thread makes a few outputs of one column, channel after channel.

For stride 1 or 2, any dilation (with stride 1), K up to 7. Neighbouring threads make neighbouring
columns, so that loads of single values still fill whole lines of memory; the outputs of a thread
share the rows that they read. Stride and dilation are constants of the kernel, which leaves
one address per row. A dilated thread takes every `dilation`-th row, for the same sharing.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32

from repro_kernels import blocks
from repro_kernels.access import advance, divide
from repro_kernels.ddf_parts import find_chunk
from repro_kernels.ddf_plain import make_gather
from repro_kernels.filter_norm import make_standardise

# Outputs of a thread by kernel size: as many as registers hold the spatial taps of.
ROWS = {1: 4, 3: 4, 5: 2, 7: 2}


def rows_per_thread(kernel_size: int, dtype: str) -> int:
    """How many outputs, one below the other, a thread makes; float64 takes twice the registers."""
    rows = ROWS[kernel_size]
    return max(1, rows // 2) if dtype == "float64" else rows


def gather(kernel_size, add, storage, stride, dilation, adjoint, norm_scale=0.0):
    """The forward kernel, and, `adjoint`, the gradient of x: the same sum with turned filters.

    With a `norm_scale`, and not `adjoint`, the spatial filters are standardised.
    """
    K, R = kernel_size, kernel_size // 2
    TAPS = kernel_size * kernel_size
    COUNT = rows_per_thread(kernel_size, storage.name)
    SPATIAL = (COUNT, TAPS)
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    load_or = storage.load_or
    plain = make_gather(kernel_size, add, storage, adjoint, norm_scale=norm_scale)
    standardise = make_standardise(TAPS, storage, norm_scale) if norm_scale else None
    OWN = (TAPS, COUNT)
    threads = blocks.THREADS
    rows_read = (COUNT - 1) * stride + K

    def ddf_row_gather_kernel(
        x, channel_filter, spatial_filter, out, channels, height, width, chunk, chunks, groups, jobs
    ):
        job = int32(cuda.blockIdx.x * threads + cuda.threadIdx.x)
        if job >= jobs:
            return
        height_out = divide(int32(height + (stride - 1)), int32(stride))
        width_out = divide(int32(width + (stride - 1)), int32(stride))
        # Threads run through columns, then groups of rows, then chunks of channels, then images.
        line = divide(job, width_out)
        w = int32(job - line * width_out)
        part = divide(line, groups)
        group = int32(line - part * groups)
        n, first, count = find_chunk(part, chunks, chunk, channels)
        bundle = divide(group, int32(dilation))
        h = int32(bundle * (COUNT * dilation) + (group - bundle * dilation))
        top, left = int32(h * stride), int32(w * stride)
        pixels, pixels_out = int32(height * width), int32(height_out * width_out)

        image = np.int64(n) * channels
        x = advance(x, image * pixels)
        out = advance(out, image * pixels_out)
        channel_filter = advance(channel_filter, image * TAPS)
        spatial_filter = advance(spatial_filter, np.int64(n) * TAPS * pixels_out)

        spatial = cuda.local.array(SPATIAL, accumulator)
        if norm_scale:
            own = cuda.local.array(OWN, accumulator)
            for r in range(COUNT):
                there = int32(h + r * dilation) < height_out
                for t in range(TAPS):
                    place = int32(t * pixels_out + (h + r * dilation) * width_out + w)
                    own[t, r] = load_or(spatial_filter, place, there, accumulator(0))
            for r in range(COUNT):
                standardise(own, r)
        for r in range(COUNT):
            for t in range(TAPS):
                hi = int32(top + (r * stride + t // K - R) * dilation)
                wi = int32(left + (t % K - R) * dilation)
                spatial[r, t] = accumulator(0)
                inside = hi >= 0 and hi < height and wi >= 0 and wi < width
                if inside and int32(h + r * dilation) < height_out:
                    if norm_scale:
                        spatial[r, t] = own[t, r]
                    elif adjoint:  # the tap of the pixel that reads this one
                        place = int32((TAPS - 1 - t) * pixels + hi * width + wi)
                        spatial[r, t] = load(spatial_filter, place)
                    else:
                        place = int32(t * pixels_out + (h + r * dilation) * width_out + w)
                        spatial[r, t] = load(spatial_filter, place)

        taps = cuda.local.array(TAPS, accumulator)
        totals = cuda.local.array(COUNT, accumulator)
        corner = int32(first * pixels + top * width + left)
        place_out = int32(first * pixels_out + h * width_out + w)
        not_finite = accumulator(0)
        for c in range(first, int32(first + count)):
            of_channel = advance(channel_filter, c * TAPS)
            for t in range(TAPS):
                taps[t] = load(of_channel, TAPS - 1 - t if adjoint else t)
            for r in range(COUNT):
                totals[r] = accumulator(0)
            for q in range(rows_read):
                hi = int32(top + (q - R) * dilation)
                row = int32(corner + width * ((q - R) * dilation))
                for v in range(K):
                    wi = int32(left + (v - R) * dilation)
                    inside = hi >= 0 and hi < height and wi >= 0 and wi < width
                    value = load_or(x, row + (v - R) * dilation, inside, accumulator(0))
                    for r in range(COUNT):
                        u = q - r * stride
                        if u >= 0 and u < K:
                            t = u * K + v
                            tap = spatial[r, t] + taps[t] if add else spatial[r, t] * taps[t]
                            totals[r] += tap * value
            for r in range(COUNT):
                not_finite += totals[r] * accumulator(0)
                if int32(h + r * dilation) < height_out:
                    store(out, int32(place_out + width_out * (r * dilation)), totals[r])
            corner = int32(corner + pixels)
            place_out = int32(place_out + pixels_out)

        # Products with the zeros outside are wrong where a filter is not finite.
        if not_finite != 0:
            for c in range(first, first + count):
                for hr in range(h, min(h + COUNT * dilation, height_out), dilation):
                    total = plain(
                        x,
                        channel_filter,
                        spatial_filter,
                        c,
                        0,
                        hr,
                        w,
                        height,
                        width,
                        stride,
                        dilation,
                    )
                    store(out, c * pixels_out + hr * width_out + w, total)

    return ddf_row_gather_kernel


def forward(kernel_size, add, storage, stride, dilation, norm_scale=0.0):
    """out[n,c,h,w] = sum over taps of combine(channel, spatial) * x."""
    return gather(kernel_size, add, storage, stride, dilation, adjoint=False, norm_scale=norm_scale)


def backward_x(kernel_size, add, storage, stride, dilation):
    """The gradient of x, which takes the place of out, from that of out; stride 1."""
    return gather(kernel_size, add, storage, stride, dilation, adjoint=True)
