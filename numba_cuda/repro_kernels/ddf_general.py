"""The general form of DDF's kernels: forward, and the gradients of its three inputs.

Each function makes a kernel for one kernel size, one combination of the filters and one dtype;
inside, loops over these constants unroll and small local arrays become registers. Tensors are flat
pointers, contiguous in the order of their shape in `repro.ops.ddf`; the shape comes as one argument
per axis. Every output is written by one thread, or summed by one block in a fixed order: there are
no atomics, and two runs agree to the bit.

64-bit indices, one value per load: right for every size, stride and dilation, and what fast forms
have to agree with. Up to K = 7 they need no local memory.
"""

from __future__ import annotations

import numpy as np
from numba import cuda

from repro_kernels import blocks


@cuda.jit(device=True, inline="always")
def find_pixel(job, pixels, chunks):
    """Threads run through pixels, then chunks of channels, then images: image, chunk, pixel."""
    part = job // pixels
    return part // chunks, part % chunks, job % pixels


def make_add_products(kernel_size, add, storage):
    """The products that the gradients of both filters are sums of, for one row of taps."""
    load = storage.load

    @cuda.jit(device=True, inline="always")
    def add_products(grad, x, row, left, width, dilation, other, place, step, totals):
        """grad times what the taps see of a row of x, and times the other filter; to totals (K).

        `row` is where the row starts in x, `left` the column of its first tap; `other` has the tap
        v at place + v * step.
        """
        for v in range(kernel_size):
            w = left + v * dilation
            if w >= 0 and w < width:
                product = grad * load(x, row + w)
                if not add:
                    product *= load(other, place + v * step)
                totals[v] += product

    return add_products


def forward(kernel_size, add, storage):
    """out[n,c,h,w] = sum over taps of combine(channel, spatial) * x; one thread per pixel."""
    TAPS = kernel_size * kernel_size
    radius = kernel_size // 2
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    most_channels = blocks.GENERAL_CHANNELS

    def ddf_general_forward_kernel(
        x,
        channel_filter,
        spatial_filter,
        out,
        batch,
        channels,
        height,
        width,
        height_out,
        width_out,
        stride,
        dilation,
    ):
        pixels_out = height_out * width_out
        chunks = (channels + most_channels - 1) // most_channels
        job = cuda.grid(1)
        if job >= batch * chunks * pixels_out:
            return
        n, chunk, pixel = find_pixel(job, pixels_out, chunks)
        top = pixel // width_out * stride - radius * dilation
        left = pixel % width_out * stride - radius * dilation

        spatial = cuda.local.array(TAPS, accumulator)
        for t in range(TAPS):
            spatial[t] = load(spatial_filter, (n * TAPS + t) * pixels_out + pixel)

        for c in range(chunk * most_channels, min((chunk + 1) * most_channels, channels)):
            plane = n * channels + c
            total = accumulator(0)
            for u in range(kernel_size):
                for v in range(kernel_size):
                    h = top + u * dilation
                    w = left + v * dilation
                    if h >= 0 and h < height and w >= 0 and w < width:
                        t = u * kernel_size + v
                        tap = load(channel_filter, plane * TAPS + t)
                        tap = spatial[t] + tap if add else spatial[t] * tap
                        total += tap * load(x, (plane * height + h) * width + w)
            store(out, plane * pixels_out + pixel, total)

    return ddf_general_forward_kernel


def backward_x(kernel_size, add, storage):
    """The gradient of x; one thread per input pixel gathers from the outputs that read it."""
    TAPS = kernel_size * kernel_size
    radius = kernel_size // 2
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    most_channels = blocks.GENERAL_CHANNELS

    def ddf_general_backward_x_kernel(
        grad_out,
        channel_filter,
        spatial_filter,
        grad_x,
        batch,
        channels,
        height,
        width,
        height_out,
        width_out,
        stride,
        dilation,
    ):
        pixels = height * width
        pixels_out = height_out * width_out
        chunks = (channels + most_channels - 1) // most_channels
        job = cuda.grid(1)
        if job >= batch * chunks * pixels:
            return
        n, chunk, pixel = find_pixel(job, pixels, chunks)

        # The output row, and column, that meets this pixel in its tap (u, v); -1 where none does.
        row = cuda.local.array(kernel_size, np.int64)
        column = cuda.local.array(kernel_size, np.int64)
        for u in range(kernel_size):
            h = pixel // width + (radius - u) * dilation
            w = pixel % width + (radius - u) * dilation
            row[u] = -1
            column[u] = -1
            if h >= 0 and h % stride == 0 and h // stride < height_out:
                row[u] = h // stride
            if w >= 0 and w % stride == 0 and w // stride < width_out:
                column[u] = w // stride

        spatial = cuda.local.array(TAPS, accumulator)
        for u in range(kernel_size):
            for v in range(kernel_size):
                t = u * kernel_size + v
                spatial[t] = accumulator(0)
                if row[u] >= 0 and column[v] >= 0:
                    reader = row[u] * width_out + column[v]
                    spatial[t] = load(spatial_filter, (n * TAPS + t) * pixels_out + reader)

        for c in range(chunk * most_channels, min((chunk + 1) * most_channels, channels)):
            plane = n * channels + c
            total = accumulator(0)
            for u in range(kernel_size):
                for v in range(kernel_size):
                    if row[u] >= 0 and column[v] >= 0:
                        t = u * kernel_size + v
                        tap = load(channel_filter, plane * TAPS + t)
                        tap = spatial[t] + tap if add else spatial[t] * tap
                        reader = row[u] * width_out + column[v]
                        total += tap * load(grad_out, plane * pixels_out + reader)
            store(grad_x, plane * pixels + pixel, total)

    return ddf_general_backward_x_kernel


def backward_spatial(kernel_size, add, storage):
    """The gradient of spatial_filter; one thread per output pixel and kernel row, all channels."""
    TAPS = kernel_size * kernel_size
    radius = kernel_size // 2
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    add_products = make_add_products(kernel_size, add, storage)

    def ddf_general_backward_spatial_kernel(
        grad_out,
        x,
        channel_filter,
        grad_spatial,
        batch,
        channels,
        height,
        width,
        height_out,
        width_out,
        stride,
        dilation,
    ):
        pixels_out = height_out * width_out
        job = cuda.grid(1)
        if job >= batch * kernel_size * pixels_out:
            return
        n, u, pixel = find_pixel(job, pixels_out, kernel_size)
        h = pixel // width_out * stride + (u - radius) * dilation
        left = pixel % width_out * stride - radius * dilation

        totals = cuda.local.array(kernel_size, accumulator)
        for v in range(kernel_size):
            totals[v] = accumulator(0)
        if h >= 0 and h < height:
            for c in range(channels):
                plane = n * channels + c
                grad = load(grad_out, plane * pixels_out + pixel)
                row = (plane * height + h) * width
                place = plane * TAPS + u * kernel_size
                add_products(grad, x, row, left, width, dilation, channel_filter, place, 1, totals)
        for v in range(kernel_size):
            t = u * kernel_size + v
            store(grad_spatial, (n * TAPS + t) * pixels_out + pixel, totals[v])

    return ddf_general_backward_spatial_kernel


def backward_channel(kernel_size, add, storage):
    """The gradient of channel_filter; one block per channel and kernel row, all pixels."""
    TAPS = kernel_size * kernel_size
    radius = kernel_size // 2
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    THREADS = blocks.THREADS
    add_products = make_add_products(kernel_size, add, storage)

    def ddf_general_backward_channel_kernel(
        grad_out,
        x,
        spatial_filter,
        grad_channel,
        batch,
        channels,
        height,
        width,
        height_out,
        width_out,
        stride,
        dilation,
    ):
        pixels_out = height_out * width_out
        thread = cuda.threadIdx.x
        u = cuda.blockIdx.x % kernel_size
        plane = cuda.blockIdx.x // kernel_size
        n = plane // channels

        totals = cuda.local.array(kernel_size, accumulator)
        for v in range(kernel_size):
            totals[v] = accumulator(0)
        for pixel in range(thread, pixels_out, THREADS):
            h = pixel // width_out * stride + (u - radius) * dilation
            left = pixel % width_out * stride - radius * dilation
            if h >= 0 and h < height:
                grad = load(grad_out, plane * pixels_out + pixel)
                row = (plane * height + h) * width
                place = (n * TAPS + u * kernel_size) * pixels_out + pixel
                add_products(
                    grad, x, row, left, width, dilation, spatial_filter, place, pixels_out, totals
                )

        shared = cuda.shared.array(THREADS, accumulator)
        for v in range(kernel_size):
            shared[thread] = totals[v]
            cuda.syncthreads()
            half = THREADS // 2
            while half > 0:
                if thread < half:
                    shared[thread] += shared[thread + half]
                cuda.syncthreads()
                half //= 2
            if thread == 0:
                store(grad_channel, plane * TAPS + u * kernel_size + v, shared[0])
            cuda.syncthreads()

    return ddf_general_backward_channel_kernel
