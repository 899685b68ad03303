"""Fourier disjoint weights: the gradients of the factors, and what is left for the weights.

A block runs through a few output channels of one sample, a thread per input channel, so that sums
over output channels stay in registers; sums over input channels go through warps. What no block
sums alone comes out in parts, which are added up later, always in the same order.
"""

from __future__ import annotations

from math import exp

import numpy as np
from numba import cuda
from numpy import int32, uint32

from repro_kernels.access import advance, divide, make_load
from repro_kernels.blocks import WARP
from repro_kernels.ddf_parts import make_sum_over_warp
from repro_kernels.fourier_disjoint_weight_limits import (
    channels_at_once,
    outputs_at_once,
    sums_of,
)


def modulate_backward(storage, taps, width):
    """From the gradient of modulated weights to that of plain ones, and of the factors.

    Args of the kernel:
        grad_out: (N, C_out, C_in, taps).
        weight: (N, C_out, taps, C_in), the plain weights; their gradient is left there.
        sums: (tiles, N, C_out, taps, sums_of(width)): over a tile's input channels, 0: of grad_out
            times weight and all factors but filter and spatial; 1 + j: of the gradient of logits
            times the sequence, shifted by j.
        channel_parts: (chunks, N, channels), the channel factor's gradient from some outputs.
        sequence_parts: (chunks, N, channels, width): at (c, j) the part of the gradient at place
            c + j of the padded sequence that comes through input channel c.
        per_group: output channels of a convolution group; `chunks` of them make a group.
    """
    real = storage.accumulator
    threads = channels_at_once(taps, real(0).itemsize)
    outputs_of_chunk = outputs_at_once(taps)
    STAGE = threads * taps
    COUNT = sums_of(width)
    warps = threads // WARP
    SUMS = warps * taps * COUNT
    WINDOW = max(width, 1)
    load = make_load(storage.name, 1)
    load_weight = make_load(storage.name, 1, constant=False)
    sum_over_warp = make_sum_over_warp(COUNT)

    def modulate_backward_kernel(
        grad_out,
        channel,
        filter,
        spatial,
        sequence,
        local_filter,
        weight,
        sums,
        channel_parts,
        sequence_parts,
        batch,
        outputs,
        inputs,
        per_group,
        channels,
        sequence_stride,
        chunks,
        tiles,
    ):
        staged = cuda.shared.array(STAGE, real, alignment=16)
        warp_sums = cuda.shared.array(SUMS, real, alignment=16)
        window = cuda.local.array(WINDOW, real)
        taps_of_filter = cuda.local.array(WINDOW, real)
        grad_window = cuda.local.array(WINDOW, real)
        values = cuda.local.array(COUNT, real)
        thread = int32(cuda.threadIdx.x)
        part = divide(int32(cuda.blockIdx.x), tiles)
        tile = int32(cuda.blockIdx.x - part * tiles)
        n = divide(part, int32(divide(outputs, per_group) * chunks))
        part = int32(part - n * (divide(outputs, per_group) * chunks))
        group = divide(part, chunks)
        chunk = int32(part - group * chunks)
        left = int32(tile * threads)
        i = int32(left + thread)
        is_inside = i < inputs
        c = int32(group * inputs + min(i, int32(inputs - 1)))
        for j in range(width):
            window[j] = load(sequence, int32(n * sequence_stride + c + j))
            grad_window[j] = real(0)
        channel_factor = load(channel, int32(n * channels + c))
        grad_channel = real(0)
        count = int32(min(int32(threads), int32(inputs - left)) * taps)

        first = int32(group * per_group + chunk * outputs_of_chunk)
        last = min(int32(first + outputs_of_chunk), int32((group + 1) * per_group))
        for o in range(first, last):
            at = np.int64(n) * outputs + o
            own = advance(grad_out, (at * inputs + left) * taps)
            for e in range(thread, count, int32(threads)):
                staged[uint32(e)] = load(own, e)
            cuda.syncthreads()
            plain = advance(weight, at * taps * inputs)
            filter_factor = load(filter, int32(n * outputs + o))
            for t in range(int32(taps)):
                for m in range(COUNT):
                    values[m] = real(0)
                spatial_factor = load(spatial, int32(n * taps + t))
                if is_inside:
                    z = real(0)
                    for j in range(width):
                        taps_of_filter[j] = load(local_filter, int32((o * taps + t) * width + j))
                        z -= window[j] * taps_of_filter[j]
                    local = real(1)
                    if width:
                        local = real(2) / (real(1) + real(exp(z)))
                    grad = staged[uint32(thread * taps + t)]
                    place = int32(t * inputs + i)
                    scale = filter_factor * spatial_factor
                    inner = grad * load_weight(plain, place) * local
                    plain[place] = grad * (scale * channel_factor * local)
                    grad_channel += scale * inner
                    inner *= channel_factor
                    values[0] = inner
                    # The derivative of s = 2 * sigmoid(z) is s * (1 - s / 2).
                    grad_logit = scale * inner * (real(1) - real(0.5) * local)
                    for j in range(width):
                        values[1 + j] = grad_logit * window[j]
                        grad_window[j] += grad_logit * taps_of_filter[j]
                lane = int32(thread & (WARP - 1))
                warp = int32(thread >> 5)
                sum_over_warp(values, lane, warp_sums, int32((warp * taps + t) * COUNT))
            cuda.syncthreads()
            own = advance(sums, ((np.int64(tile) * batch + n) * outputs + o) * (taps * COUNT))
            for e in range(thread, int32(taps * COUNT), int32(threads)):
                total = real(0)
                for warp in range(warps):
                    total += warp_sums[uint32(warp * (taps * COUNT) + e)]
                own[e] = total
        if is_inside:
            at = (np.int64(chunk) * batch + n) * channels + c
            channel_parts[at] = grad_channel
            for j in range(width):
                sequence_parts[at * width + j] = grad_window[j]

    return modulate_backward_kernel
