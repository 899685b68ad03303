"""One value at a time, by the definition: what fast kernels fall back to where theirs may differ.

A fast kernel multiplies what lies outside the image by zero, and a filter tap that is infinite or
NaN makes NaN of that zero, where the definition leaves the tap out. The fast kernels look for such
values at a price that cannot be measured, and hand those outputs to the functions here.
"""

from __future__ import annotations

from numba import cuda

from repro_kernels.filter_norm import EPSILON, make_measure


def make_gather(kernel_size, add, storage, adjoint, scale_factor=1, norm_scale=0.0):
    """One output, or, `adjoint` and stride 1, one element of the gradient of x.

    Of DDF-Up, with a `scale_factor` above 1: the output of one branch, or the gradient of all. With
    a `norm_scale`, and not `adjoint`, the spatial filter is standardised.
    """
    TAPS, S = kernel_size * kernel_size, scale_factor
    BRANCHES = S * S
    radius = kernel_size // 2
    accumulator, load = storage.accumulator, storage.load
    measure = make_measure(TAPS, storage) if norm_scale else None

    @cuda.jit(device=True, inline="always")
    def gather(x, channel_filter, spatial_filter, c, branch, h, w, height, width, stride, dilation):
        """Pointers at image n; x is the gradient of the output where `adjoint`."""
        height_out = (height + stride - 1) // stride
        width_out = (width + stride - 1) // stride
        if norm_scale:
            mean, root = measure(spatial_filter, h * width_out + w, height_out * width_out)
            factor = accumulator(norm_scale) / (root + accumulator(EPSILON))
        total = accumulator(0)
        for t in range(TAPS):
            hi = h * stride + (t // kernel_size - radius) * dilation
            wi = w * stride + (t % kernel_size - radius) * dilation
            if hi >= 0 and hi < height and wi >= 0 and wi < width:
                for b in range(0 if adjoint else branch, BRANCHES if adjoint else branch + 1):
                    if adjoint:  # what reads this pixel sees it in the opposite tap
                        u = b * TAPS + TAPS - 1 - t
                        spatial = load(spatial_filter, (u * height + hi) * width + wi)
                        row = (c * height + hi) * S + b // S
                        value = load(x, (row * width + wi) * S + b % S)
                    else:
                        u = b * TAPS + t
                        spatial = load(spatial_filter, (u * height_out + h) * width_out + w)
                        value = load(x, (c * height + hi) * width + wi)
                    if norm_scale:
                        spatial = (spatial - mean) * factor
                    tap = load(channel_filter, c * BRANCHES * TAPS + u)
                    tap = spatial + tap if add else spatial * tap
                    total += tap * value
        return total

    return gather


def make_channel_sum(kernel_size, add, storage, scale_factor=1):
    """One element of the gradient of the channel filter: the sum over all pixels; stride 1.

    Of DDF-Up, with a `scale_factor` above 1; `t` then runs through the taps of all its branches.
    """
    TAPS, S = kernel_size * kernel_size, scale_factor
    radius = kernel_size // 2
    accumulator, load = storage.accumulator, storage.load

    @cuda.jit(device=True, inline="always")
    def channel_sum(grad_out, x, spatial_filter, c, t, height, width, dilation):
        """Pointers at image n."""
        branch, tap = t // TAPS, t % TAPS
        total = accumulator(0)
        for h in range(height):
            hi = h + (tap // kernel_size - radius) * dilation
            if hi >= 0 and hi < height:
                row = (c * height + h) * S + branch // S
                for w in range(width):
                    wi = w + (tap % kernel_size - radius) * dilation
                    if wi >= 0 and wi < width:
                        product = load(grad_out, (row * width + w) * S + branch % S)
                        product *= load(x, (c * height + hi) * width + wi)
                        if not add:
                            product *= load(spatial_filter, (t * height + h) * width + w)
                        total += product
        return total

    return channel_sum
