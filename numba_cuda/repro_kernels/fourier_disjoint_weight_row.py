"""Fourier disjoint weights: real DFTs along the rows, with permutation and modulation.

Two real rows are one complex transform: those of two neighbouring output channels, so that a block
has whole filters, and writes them in the order that a convolution reads.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numpy import int32, uint32

from repro_kernels.access import advance, divide, make_load
from repro_kernels.fourier_disjoint_weight_access import make_store_pair, make_store_run
from repro_kernels.fourier_disjoint_weight_factors import make_local_factor
from repro_kernels.fourier_disjoint_weight_fft import make_transform
from repro_kernels.fourier_disjoint_weight_limits import padded, pairs_at_once, threads_of


def make_place(length):
    PADDED = padded(length)

    @cuda.jit(device=True, inline="always")
    def place(row, e):
        return uint32(row * PADDED + e + (e >> 5))

    return place


def make_keep(place):
    """The end of a transform whose result stays in shared memory."""

    @cuda.jit(device=True, inline="always")
    def keep(target, re, im, row, e, x, y):
        i = place(row, e)
        re[i] = x
        im[i] = y

    return keep


def rows_to_weight(storage, kernel_height, kernel_width, inputs, vector, width, modulated):
    """Rows of half spectra to filters, which are permuted and modulated.

    out[n, o, i, r, s] = factors * irfft(spectra[n, o * K_h + r])[i * K_w + s]. Without `modulated`,
    the factors are left out and input channels come last, out[n, o, r, s, i].

    Args:
        vector: outputs that a thread stores at once, 4 or 1; divides a filter.
        width: of the local filters.
    """
    length = inputs * kernel_width
    taps = kernel_height * kernel_width
    pairs = pairs_at_once(length, kernel_height, storage.accumulator(0).itemsize)
    threads = threads_of(length)
    block = threads * pairs * kernel_height
    filter_size = taps * inputs
    SHARED = pairs * kernel_height * padded(length)
    real = storage.accumulator
    load1, load2 = make_load(storage.name, 1), make_load(storage.name, 2)
    store_run = make_store_run(storage, vector)
    local_factor = make_local_factor(width, storage)
    half = length // 2 + 1
    place = make_place(length)

    @cuda.jit(device=True, inline="always")
    def load(source, e):
        # What a real row has at minus the frequency is the conjugate, and nothing imaginary at 0
        # and at the middle.
        spectra, first, second = source
        is_mirrored = int32(2 * e) > length
        v = int32(length - e) if is_mirrored else e
        a, b = load2(spectra, int32(first + 2 * v))
        c, d = load2(spectra, int32(second + 2 * v))
        if v == 0 or int32(2 * v) == length:
            b, d = real(0), real(0)
        if is_mirrored:
            b, d = -b, -d
        return a - d, b + c

    store = make_keep(place)
    transform = make_transform(length, 1, storage, place, load, store, stores_shared=True)

    def rows_to_weight_kernel(
        spectra,
        roots,
        channel,
        filter,
        spatial,
        sequence,
        local_filter,
        out,
        outputs,
        per_group,
        channels,
        sequence_stride,
        strips,
    ):
        re = cuda.shared.array(SHARED, real, alignment=16)
        im = cuda.shared.array(SHARED, real, alignment=16)
        values = cuda.local.array(vector, real)
        n = divide(int32(cuda.blockIdx.x), strips)
        first = int32((cuda.blockIdx.x - n * strips) * (2 * pairs))  # output channel
        row = divide(int32(cuda.threadIdx.x), int32(threads))
        thread = int32(cuda.threadIdx.x - row * threads)
        pair = divide(row, int32(kernel_height))
        r = int32(row - pair * kernel_height)
        # The last block repeats the last output channel rather than to read beyond it.
        even = min(int32(first + 2 * pair), int32(outputs - 1))
        odd = min(int32(first + 2 * pair + 1), int32(outputs - 1))
        spectra = advance(spectra, np.int64(n) * outputs * (2 * kernel_height * half))
        source = (
            spectra,
            int32((even * kernel_height + r) * (2 * half)),
            int32((odd * kernel_height + r) * (2 * half)),
        )
        transform(source, None, roots, re, im, row, thread)
        cuda.syncthreads()

        scale = real(1) / (real(outputs) * real(kernel_height * length))
        out = advance(out, (np.int64(n) * outputs + first) * filter_size)
        count = min(int32(2 * pairs), int32(outputs - first))
        for i in range(
            int32(cuda.threadIdx.x * vector), int32(count * filter_size), int32(block * vector)
        ):
            for m in range(vector):
                e = int32(i + m)
                o = divide(e, int32(filter_size))
                e = int32(e - o * filter_size)
                if modulated:
                    c = divide(e, int32(taps))
                    t = int32(e - c * taps)
                else:
                    t = divide(e, int32(inputs))
                    c = int32(e - t * inputs)
                r = divide(t, int32(kernel_width))
                s = int32(t - r * kernel_width)
                at = place(int32((o >> 1) * kernel_height + r), int32(c * kernel_width + s))
                value = scale * (im[at] if o & 1 else re[at])
                if modulated:
                    o = int32(o + first)
                    c = int32(c + divide(o, per_group) * inputs)
                    value *= load1(channel, int32(n * channels + c))
                    value *= load1(filter, int32(n * outputs + o))
                    value *= load1(spatial, int32(n * taps + t))
                    place_in = int32(n * sequence_stride + c)
                    value *= local_factor(sequence, place_in, local_filter, int32(o * taps + t))
                values[m] = value
            store_run(out, i, values)

    return rows_to_weight_kernel


def rows_to_spectra(storage, kernel_height, kernel_width, inputs):
    """The DFTs of real rows: the adjoint of `rows_to_weight` without factors, but for scales.

    spectra[n, o * K_h + r, v] = sum over e of exp(-2 pi i v e / length) * weight[n, o, r, s, i]
    with e = i * K_w + s.
    """
    length = inputs * kernel_width
    taps = kernel_height * kernel_width
    pairs = pairs_at_once(length, kernel_height, storage.accumulator(0).itemsize)
    threads = threads_of(length)
    block = threads * pairs * kernel_height
    filter_size = taps * inputs
    SHARED = pairs * kernel_height * padded(length)
    real = storage.accumulator
    load1, store2 = make_load(storage.name, 1), make_store_pair(storage.name)
    half = length // 2 + 1
    place = make_place(length)

    @cuda.jit(device=True, inline="always")
    def load(source, e):
        weight, first, second = source
        i = divide(e, int32(kernel_width))
        at = int32((e - i * kernel_width) * inputs + i)
        return load1(weight, int32(first + at)), load1(weight, int32(second + at))

    store = make_keep(place)
    transform = make_transform(length, -1, storage, place, load, store, stores_shared=True)

    def rows_to_spectra_kernel(weight, roots, spectra, outputs, strips):
        re = cuda.shared.array(SHARED, real, alignment=16)
        im = cuda.shared.array(SHARED, real, alignment=16)
        n = divide(int32(cuda.blockIdx.x), strips)
        first = int32((cuda.blockIdx.x - n * strips) * (2 * pairs))
        row = divide(int32(cuda.threadIdx.x), int32(threads))
        thread = int32(cuda.threadIdx.x - row * threads)
        pair = divide(row, int32(kernel_height))
        r = int32(row - pair * kernel_height)
        even = min(int32(first + 2 * pair), int32(outputs - 1))
        odd = min(int32(first + 2 * pair + 1), int32(outputs - 1))
        weight = advance(weight, np.int64(n) * outputs * filter_size)
        source = (
            weight,
            int32(even * filter_size + r * (kernel_width * inputs)),
            int32(odd * filter_size + r * (kernel_width * inputs)),
        )
        transform(source, None, roots, re, im, row, thread)
        cuda.syncthreads()

        # The spectra of two real rows are the even and the odd part of that of their pair.
        count = min(int32(2 * pairs), int32(outputs - first))
        spectra = advance(spectra, (np.int64(n) * outputs + first) * (2 * kernel_height * half))
        for i in range(int32(cuda.threadIdx.x), int32(count * kernel_height * half), int32(block)):
            row = divide(i, int32(half))
            v = int32(i - row * half)
            o = divide(row, int32(kernel_height))
            row = int32((o >> 1) * kernel_height + row - o * kernel_height)
            at, opposite = place(row, v), place(row, int32(length - v if v > 0 else 0))
            if o & 1:
                x, y = im[at] + im[opposite], re[opposite] - re[at]
            else:
                x, y = re[at] + re[opposite], im[at] - im[opposite]
            store2(spectra, int32(2 * i), real(0.5) * x, real(0.5) * y)

    return rows_to_spectra_kernel
