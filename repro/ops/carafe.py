"""CARAFE's reassembly: DDF-Up with one filter a sub-pixel, shared by all channels."""

from __future__ import annotations

import math

from torch import Tensor

from repro.ops.backends import choose
from repro.ops.ddf import under_autocast
from repro.ops.ddf_up import check_ddf_up, ddf_up
from repro.ops.reference.carafe import carafe_reference


def carafe(
    x: Tensor, spatial_filter: Tensor, scale_factor: int, *, backend: str | None = None
) -> Tensor:
    """Reassemble each sub-pixel from the K x K neighbours of the pixel that it lies in.

    out[n, c, s*h + i, s*w + j] = sum over (u,v) of
    spatial_filter[n, i*s + j, u*K + v, h, w] * x[n, c, h + u - K//2, w + v - K//2], taps outside
    the image left out. That is `ddf_up` with channel filters of one everywhere, exactly, and its
    kernels do it: on CUDA the fused one where a pixel has at most 36 taps; CARAFE's own setting
    (s = 2, K = 5) has 100 and is composed of `ddf`, as everything is on the CPU.

    Args:
        x: (N, C, H, W), floating point.
        spatial_filter: (N, s*s, K*K, H, W), K odd, dtype of x. The paper's are (K*K, s*H, s*W):
            sub-pixel (i, j) of pixel (h, w) is number i*s + j. They are taken as they come; the
            layer (`repro.nn.CARAFE`) normalises them with a softmax over the taps.
        scale_factor: s, at least 1.
        backend: see `ddf`.
    Returns:
        (N, C, s*H, s*W), dtype of x.
    Raises:
        ValueError, TypeError: as of `ddf_up`; the message gives what was expected and what came.
    Source: CARAFE (arXiv 1905.02188), Eq. 3: content-aware reassembly.
    Deviates: no channel groups (the authors' code has them and the paper sets one). The kernels
        also compute the gradient of the channel filters, which nobody asks for.
    """
    x, spatial_filter = under_autocast(x, spatial_filter)
    if x.dim() != 4:
        raise ValueError(f"x must have 4 dimensions, got shape {tuple(x.shape)}")
    if spatial_filter.dim() != 5:
        raise ValueError(
            "spatial_filter must be (N, scale_factor ** 2, K * K, H, W), got shape "
            f"{tuple(spatial_filter.shape)}"
        )
    sub_pixels, taps = spatial_filter.shape[1:3]
    kernel_size = math.isqrt(taps)
    if kernel_size**2 != taps or kernel_size % 2 == 0:
        raise ValueError(f"spatial_filter must have an odd number squared of taps, got {taps}")
    ones = x.new_ones(()).expand(*x.shape[:2], sub_pixels, kernel_size, kernel_size)
    if choose("carafe", backend, x) == "reference":
        check_ddf_up(x, ones, spatial_filter, scale_factor, 1, "mul")
        return carafe_reference(x, spatial_filter, scale_factor)
    return ddf_up(x, ones, spatial_filter, scale_factor, backend=backend)
