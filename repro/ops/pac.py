"""Pixel-adaptive convolution in plain PyTorch: the unfold-based reference, any device and dtype.

PAC (arXiv 1904.05373), Eq. 3: a static filter, reweighted at every pixel by how like the guidance
there is to the guidance at each neighbour. Transposed, it upsamples: the neighbours are samples on
a coarse grid, and the guidance lies on the fine one (section 3, "PAC transposed convolution").
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor


def pac_kernel(guidance: Tensor, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> Tensor:
    """Gaussian weights of every pixel's neighbours: exp(-|f_i - f_j|^2 / 2).

    Args:
        guidance: (N, G, H, W), floating point.
        kernel_size: K, odd.
    Returns:
        (N, K*K, H_out, W_out), H_out = ceil(H / stride); 1 at each centre. Neighbours outside the
        image count as zeros of the guidance; `pac` multiplies them with zeros of x.
    Raises:
        ValueError: guidance is not 4-dimensional, or kernel_size is even.
    Source: PAC (arXiv 1904.05373), section 3.
    """
    _require_maps("guidance", guidance)
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 1, got {kernel_size}")
    N, _, H, W = guidance.shape
    rows = range(-(-H // stride))
    kernel = _gaussian(_patches(guidance, kernel_size, stride, dilation, rows))  # (N, K*K, L)
    return kernel.reshape(N, kernel_size**2, len(rows), -(-W // stride))


def pac(
    x: Tensor,
    guidance: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    dilation: int = 1,
    rows_per_chunk: int | None = None,
) -> Tensor:
    """Convolve x with a static filter that the guidance reweights at every pixel.

    out[n,o,i] = bias[o] + sum over j in the window of i, and c, of
    exp(-|f_i - f_j|^2 / 2) * weight[o, c, p_i - p_j] * x[n, c, j], zero outside the image. With a
    constant guidance it is an ordinary convolution.

    Args:
        x: (N, C, H, W), floating point.
        guidance: (N, G, H, W), dtype of x.
        weight: (C_out, C, K, K), K odd.
        bias: (C_out,).
        rows_per_chunk: output rows made at a time; None for all. All at once holds K*K copies of x
            and, before that, of the guidance, twice (2.1 GiB for 2x256x200x300); 8 rows, a 25th.
    Returns:
        (N, C_out, ceil(H / stride), ceil(W / stride)).
    Raises:
        ValueError: shapes disagree or K is even; the message names both.
    Source: PAC (arXiv 1904.05373), Eq. 3, with its fixed Gaussian kernel.
    Deviates: own implementation from the definition; the authors' differs in how many unfolded
        copies it holds at once.
    """
    _check(x, guidance, weight)
    K = weight.shape[2]
    H_out, W_out = (-(-size // stride) for size in x.shape[2:])
    matrix = weight.flatten(1).expand(x.shape[0], -1, -1)  # (N, C_out, C*K*K)
    step = rows_per_chunk or max(H_out, 1)
    chunks = []
    for first in range(0, max(H_out, 1), step):
        rows = range(first, min(first + step, H_out))
        kernel = _gaussian(_patches(guidance, K, stride, dilation, rows))  # (N, K*K, L)
        weighted = _patches(x, K, stride, dilation, rows) * kernel[:, None]  # (N, C, K*K, L)
        # bmm, not matmul: that would copy the unfolded features once more to merge N and L.
        chunk = torch.bmm(matrix, weighted.flatten(1, 2))  # (N, C_out, L)
        chunks.append(chunk.reshape(*chunk.shape[:2], len(rows), W_out))
    out = torch.cat(chunks, 2) if len(chunks) > 1 else chunks[0]
    return out if bias is None else out + bias[:, None, None]


def pac_transposed(
    x: Tensor,
    guidance: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 2,
    normalise: bool = False,
) -> Tensor:
    """Upsample x with a static filter that a guidance at the output's resolution reweights.

    Sample i of x lies on output pixel stride * i. With a constant guidance, and not normalised, it
    is `conv_transpose2d` with padding K // 2 and the output_padding that the guidance's size asks.

    out[n,o,y] = bias[o] + sum over samples i with |y - stride * i| <= K // 2, and c, of
    k(y, i) * weight[c, o, y - stride * i + K // 2] * x[n, c, i],
    k(y, i) = exp(-|f_y - f_(stride * i)|^2 / 2).

    Args:
        x: (N, C, H, W), floating point.
        guidance: (N, G, H_out, W_out), dtype of x; H_out from stride * (H - 1) + 1 to stride * H,
            W_out likewise.
        weight: (C, C_out, K, K), K odd and at least `stride`.
        bias: (C_out,).
        normalise: divide k by its sum over the samples that a pixel sees; joint bilateral
            upsampling is this with a weight of ones.
    Returns:
        (N, C_out, H_out, W_out).
    Raises:
        ValueError: shapes disagree, K is even or below `stride`; the message names both.
    Source: PAC (arXiv 1904.05373), Eq. 3 and section 3.
    Deviates: the authors insert zeros between the samples and unfold the result; here the pixels of
        one phase, y mod stride, are made together from the taps that they all see, at most
        ceil(K / stride)^2 of the K^2. The weight has `conv_transpose2d`'s orientation; the authors'
        is turned by 180 degrees.
    """
    _check_transposed(x, guidance, weight, stride)
    N, _, H, W = x.shape
    K = weight.shape[2]
    reach = (stride - 1 + K // 2) // stride
    H_out, W_out = guidance.shape[2:]
    guidance = F.pad(guidance, (0, stride * W - W_out, 0, stride * H - H_out))
    samples = _windows(x, reach)  # (N, C, 2*reach+1, 2*reach+1, H*W)
    centres = _windows(guidance[:, :, ::stride, ::stride], reach)  # (N, G, ...)
    inside = _windows(x.new_ones(1, 1, H, W), reach) if normalise else None
    turned = weight.transpose(0, 1).flip(2, 3)  # (C_out, C, K, K), its taps in a window's order
    outs = []
    for a, b in itertools.product(range(stride), repeat=2):
        rows, u = _phase(a, K, stride, reach)
        columns, v = _phase(b, K, stride, reach)
        seen = (slice(None), slice(None), rows, columns)
        here = guidance[:, :, a::stride, b::stride].flatten(2)[:, :, None, None]
        kernel = (centres[seen] - here).square_().sum(1, keepdim=True).mul(-0.5).exp()
        if inside is not None:
            kernel = kernel * inside[seen]
            total = kernel.sum((2, 3), keepdim=True)
            kernel = kernel / (total + (total == 0))  # no sample in reach: nothing to divide
        weighted = (samples[seen] * kernel).flatten(1, 3)  # (N, C*taps, H*W)
        matrix = turned[:, :, u, v].flatten(1)  # (C_out, C*taps)
        outs.append(torch.bmm(matrix.expand(N, -1, -1), weighted))
    phases = torch.stack(outs, 2).reshape(N, -1, H, W)  # (N, C_out*stride^2, H, W)
    out = F.pixel_shuffle(phases, stride)[:, :, :H_out, :W_out]
    return out if bias is None else out + bias[:, None, None]


def _windows(x: Tensor, reach: int) -> Tensor:
    """(N, C, side, side, H*W): the zero-padded window around each pixel, side = 2 * reach + 1."""
    N, C, H, W = x.shape
    side = 2 * reach + 1
    return F.unfold(x, side, padding=reach).reshape(N, C, side, side, H * W)


def _phase(phase: int, kernel_size: int, stride: int, reach: int) -> tuple[slice, slice]:
    """What output positions of one phase see along an axis.

    Returns:
        Which places of a window hold their samples, and which taps of the turned filter lie there.
    """
    radius = kernel_size // 2
    first, last = -((radius - phase) // stride), (radius + phase) // stride
    return slice(first + reach, last + reach + 1), slice((radius - phase) % stride, None, stride)


def _patches(x: Tensor, kernel_size: int, stride: int, dilation: int, rows: range) -> Tensor:
    """(N, C, K*K, L): the zero-padded window around each pixel of some output rows."""
    N, C, H, _ = x.shape
    reach = dilation * (kernel_size // 2)
    top, bottom = rows.start * stride - reach, (rows.stop - 1) * stride + reach + 1
    slab = F.pad(x[:, :, max(top, 0) : bottom], (0, 0, max(-top, 0), max(bottom - H, 0)))
    unfolded = F.unfold(
        slab, kernel_size, dilation=dilation, padding=(0, reach), stride=stride
    )  # (N, C*K*K, L)
    return unfolded.reshape(N, C, kernel_size**2, unfolded.shape[2])


def _gaussian(patches: Tensor) -> Tensor:
    """(N, K*K, L): likeness of each tap of a window to its centre."""
    centre = patches.shape[2] // 2
    difference = patches - patches[:, :, centre : centre + 1]
    return difference.square_().sum(1).mul(-0.5).exp()


def _check(x: Tensor, guidance: Tensor, weight: Tensor) -> None:
    _require_maps("x", x)
    _require_maps("guidance", guidance)
    if guidance.shape[0] != x.shape[0] or guidance.shape[2:] != x.shape[2:]:
        raise ValueError(
            f"guidance must be ({x.shape[0]}, G, {x.shape[2]}, {x.shape[3]}) for x "
            f"{tuple(x.shape)}, got {tuple(guidance.shape)}"
        )
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"weight must be (C_out, C, K, K) with K odd, got {tuple(weight.shape)}")
    if weight.shape[1] != x.shape[1]:
        raise ValueError(
            f"weight must be (C_out, {x.shape[1]}, K, K) for x {tuple(x.shape)}, "
            f"got {tuple(weight.shape)}"
        )


def _check_transposed(x: Tensor, guidance: Tensor, weight: Tensor, stride: int) -> None:
    _require_maps("x", x)
    _require_maps("guidance", guidance)
    if stride < 1:
        raise ValueError(f"stride must be at least 1, got {stride}")
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"weight must be (C, C_out, K, K) with K odd, got {tuple(weight.shape)}")
    if weight.shape[2] < stride:
        raise ValueError(
            f"kernel_size {weight.shape[2]} leaves pixels without a sample at stride {stride}"
        )
    if weight.shape[0] != x.shape[1]:
        raise ValueError(
            f"weight must be ({x.shape[1]}, C_out, K, K) for x {tuple(x.shape)}, "
            f"got {tuple(weight.shape)}"
        )
    N, _, H, W = x.shape
    fits = all(
        stride * (low - 1) < high <= stride * low
        for low, high in zip((H, W), guidance.shape[2:], strict=True)
    )
    if guidance.shape[0] != N or not fits:
        raise ValueError(
            f"guidance must be ({N}, G, {stride * H}, {stride * W}), or up to {stride - 1} less a "
            f"side, for x {tuple(x.shape)} and stride={stride}, got {tuple(guidance.shape)}"
        )


def _require_maps(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 4:
        raise ValueError(f"{name} must have 4 dimensions, got shape {tuple(tensor.shape)}")
