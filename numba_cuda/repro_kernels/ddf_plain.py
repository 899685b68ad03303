"""One value at a time, by the definition: what fast kernels fall back to where theirs may differ.

A fast kernel multiplies what lies outside the image by zero, and a filter tap that is infinite or
NaN makes NaN of that zero, where the definition leaves the tap out. The fast kernels look for such
values at a price that cannot be measured, and hand those outputs to the functions here.
"""

from __future__ import annotations

from numba import cuda


def make_gather(kernel_size, add, storage, adjoint):
    """One output, or, `adjoint` and stride 1, one element of the gradient of x."""
    TAPS = kernel_size * kernel_size
    radius = kernel_size // 2
    accumulator, load = storage.accumulator, storage.load

    @cuda.jit(device=True, inline="always")
    def gather(x, channel_filter, spatial_filter, c, h, w, height, width, stride, dilation):
        """Pointers at image n; x is the gradient of the output where `adjoint`."""
        height_out = (height + stride - 1) // stride
        width_out = (width + stride - 1) // stride
        total = accumulator(0)
        for t in range(TAPS):
            hi = h * stride + (t // kernel_size - radius) * dilation
            wi = w * stride + (t % kernel_size - radius) * dilation
            if hi >= 0 and hi < height and wi >= 0 and wi < width:
                tap = load(channel_filter, c * TAPS + (TAPS - 1 - t if adjoint else t))
                if adjoint:
                    place = ((TAPS - 1 - t) * height + hi) * width + wi
                else:
                    place = (t * height_out + h) * width_out + w
                spatial = load(spatial_filter, place)
                tap = spatial + tap if add else spatial * tap
                total += tap * load(x, (c * height + hi) * width + wi)
        return total

    return gather


def make_channel_sum(kernel_size, add, storage):
    """One element of the gradient of the channel filter: the sum over all pixels; stride 1."""
    radius = kernel_size // 2
    accumulator, load = storage.accumulator, storage.load

    @cuda.jit(device=True, inline="always")
    def channel_sum(grad_out, x, spatial_filter, c, t, height, width, dilation):
        """Pointers at image n."""
        total = accumulator(0)
        for h in range(height):
            hi = h + (t // kernel_size - radius) * dilation
            if hi >= 0 and hi < height:
                for w in range(width):
                    wi = w + (t % kernel_size - radius) * dilation
                    if wi >= 0 and wi < width:
                        product = load(grad_out, (c * height + h) * width + w)
                        product *= load(x, (c * height + hi) * width + wi)
                        if not add:
                            product *= load(spatial_filter, (t * height + h) * width + w)
                        total += product
        return total

    return channel_sum
