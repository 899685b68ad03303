"""Pixel-adaptive convolution in plain PyTorch: the unfold-based reference, any device and dtype.

PAC (arXiv 1904.05373), Eq. 3: a static filter, reweighted at every pixel by how like the guidance
there is to the guidance at each neighbour.
"""

from __future__ import annotations

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


def _require_maps(name: str, tensor: Tensor) -> None:
    if tensor.dim() != 4:
        raise ValueError(f"{name} must have 4 dimensions, got shape {tuple(tensor.shape)}")
