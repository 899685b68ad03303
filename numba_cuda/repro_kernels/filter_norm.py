"""Filter normalisation on a GPU: every pixel's spatial filter standardised over its K*K taps.

Forward kernels of the forms vector and row hold a pixel's taps in registers and standardise them
there (`make_standardise`). The others, and all gradients, take filters that a kernel of its own has
standardised: a gradient of x weights each value by taps of K*K pixels, whose means and deviations
it would have to compute anew. DDF (arXiv 2104.14107), Eq. 3, in the form of the authors' code.
"""

from __future__ import annotations

import math

from numba import cuda

EPSILON = 1e-10  # added to a deviation after the root; it is at least that, too


def make_standardise(taps, storage, norm_scale):
    """Standardise column m of an array (taps, ...) in registers."""
    accumulator = storage.accumulator
    deviation = make_deviation(taps, storage)

    @cuda.jit(device=True, inline="always")
    def standardise(values, m):
        mean = accumulator(0)
        for t in range(taps):
            mean += values[t, m]
        mean *= accumulator(1 / taps)
        squares = accumulator(0)
        for t in range(taps):
            values[t, m] -= mean
            squares += values[t, m] * values[t, m]
        factor = accumulator(norm_scale) / (deviation(squares) + accumulator(EPSILON))
        for t in range(taps):
            values[t, m] *= factor

    return standardise


def make_measure(taps, storage):
    """The mean of a filter in memory, and its standard deviation, at least EPSILON."""
    accumulator, load = storage.accumulator, storage.load
    deviation = make_deviation(taps, storage)

    @cuda.jit(device=True, inline="always")
    def measure(filters, first, pixels):
        """Tap t is number `first + t * pixels`."""
        mean = accumulator(0)
        for t in range(taps):
            mean += load(filters, first + t * pixels)
        mean *= accumulator(1 / taps)
        squares = accumulator(0)
        for t in range(taps):
            distance = load(filters, first + t * pixels) - mean
            squares += distance * distance
        return mean, deviation(squares)

    return measure


def make_deviation(taps, storage):
    """The unbiased standard deviation, from the sum of squares; at least EPSILON."""
    accumulator = storage.accumulator

    @cuda.jit(device=True, inline="always")
    def deviation(squares):
        variance = squares * accumulator(1 / (taps - 1))
        if variance < accumulator(EPSILON * EPSILON):  # NaN is not, and stays
            return accumulator(EPSILON)
        return accumulator(math.sqrt(variance))

    return deviation


def standardise(kernel_size, add, storage, norm_scale):
    """norm_scale * (filter - mean) / std; one thread per pixel."""
    TAPS = kernel_size * kernel_size
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    measure = make_measure(TAPS, storage)

    def ddf_standardise_kernel(spatial_filter, standardised, pixels, jobs):
        job = cuda.grid(1)
        if job >= jobs:
            return
        first = job + job // pixels * (TAPS - 1) * pixels
        mean, root = measure(spatial_filter, first, pixels)
        factor = accumulator(norm_scale) / (root + accumulator(EPSILON))
        for t in range(TAPS):
            place = first + t * pixels
            store(standardised, place, (load(spatial_filter, place) - mean) * factor)

    return ddf_standardise_kernel


def standardise_backward(kernel_size, add, storage, norm_scale):
    """The gradient of the filter from that of what `standardise` makes of it."""
    TAPS = kernel_size * kernel_size
    accumulator, load, store = storage.accumulator, storage.load, storage.store
    measure = make_measure(TAPS, storage)

    def ddf_standardise_backward_kernel(
        spatial_filter, grad_standardised, grad_spatial, pixels, jobs
    ):
        job = cuda.grid(1)
        if job >= jobs:
            return
        first = job + job // pixels * (TAPS - 1) * pixels
        mean, root = measure(spatial_filter, first, pixels)
        std = root + accumulator(EPSILON)
        grad_mean = accumulator(0)
        slope = accumulator(0)
        for t in range(TAPS):
            place = first + t * pixels
            grad = load(grad_standardised, place)
            grad_mean += grad
            slope += grad * (load(spatial_filter, place) - mean)
        grad_mean *= accumulator(1 / TAPS)
        slope = slope / (root * std * accumulator(TAPS - 1))
        if root == accumulator(EPSILON):  # a deviation that is clamped does not change
            slope = accumulator(0)
        factor = accumulator(norm_scale) / std
        for t in range(TAPS):
            place = first + t * pixels
            change = slope * (load(spatial_filter, place) - mean)
            grad = load(grad_standardised, place) - grad_mean - change
            store(grad_spatial, place, grad * factor)

    return ddf_standardise_backward_kernel
