"""Fourier disjoint weights in plain PyTorch: the truth that every kernel is measured against.

A convolution's weight (C_out, C_in, K_h, K_w) is looked at as a matrix with C_out * K_h rows and
C_in * K_w columns: entry (o * K_h + u, i * K_w + v) is weight[o, i, u, v]. What is learnt is the
half spectrum of that matrix, (C_out * K_h, C_in * K_w // 2 + 1) complex numbers.

Source: FDConv (arXiv 2503.18783), Fourier disjoint weight and kernel spatial modulation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Modulation(NamedTuple):
    """What kernel spatial modulation multiplies a weight with; None multiplies with 1.

    Attributes:
        channel: (N, C_in), per input channel.
        filter: (N, C_out), per output channel.
        spatial: (N, K_h * K_w), per tap.
        local_input: (N, C_in), a sequence that `local_filter` runs over.
        local_filter: (C_out * K_h * K_w, width), width odd: 2 * sigmoid of the sequence correlated
            with row (o, u, v), zero outside it, is the factor of weight[o, :, u, v].
    """

    channel: Tensor | None = None
    filter: Tensor | None = None
    spatial: Tensor | None = None
    local_input: Tensor | None = None
    local_filter: Tensor | None = None


def fourier_disjoint_weight_reference(
    spectrum: Tensor,
    group_map: Tensor,
    attention: Tensor,
    weight_shape: Sequence[int],
    modulation: Modulation,
    groups: int,
) -> Tensor:
    """Scale every frequency by the attention of its group, transform back, modulate.

    Arguments are those of `repro.ops.fourier_disjoint_weight`, already checked.

    Returns:
        (N, C_out, C_in / groups, K_h, K_w)
    """
    scale = attention[:, :, group_map.long()]  # (N, P, rows, half columns)
    mixed = (scale[..., None] * spectrum).sum(1)  # (N, rows, half columns, 2)
    return modulate(spectrum_to_weight(mixed, weight_shape), modulation, groups)


def weight_from_basis_reference(
    basis: Tensor, attention: Tensor, modulation: Modulation, groups: int
) -> Tensor:
    """The same weights from the parallel weights that the groups alone give.

    Args:
        basis: (B, C_out, K_h, K_w, C_in / groups).
        attention: (N, B).
    Returns:
        (N, C_out, C_in / groups, K_h, K_w)
    """
    mixed = (attention @ basis.flatten(1)).reshape(-1, *basis.shape[1:])
    return modulate(mixed.permute(0, 1, 4, 2, 3), modulation, groups)


def disjoint_basis(
    spectrum: Tensor, group_map: Tensor, weight_shape: Sequence[int], kernel_num: int
) -> Tensor:
    """The parallel weights: each is made of the frequencies of one group alone.

    Args:
        spectrum: (P, C_out * K_h, C_in * K_w // 2 + 1, 2).
        group_map: (C_out * K_h, C_in * K_w // 2 + 1), integer.
        weight_shape: (C_out, C_in, K_h, K_w).
    Returns:
        (P * kernel_num, C_out, C_in, K_h, K_w); group g of copy p is at p * kernel_num + g.
    """
    number = torch.arange(kernel_num, device=group_map.device)[:, None, None]
    masks = (group_map == number).to(spectrum.dtype)  # (G, rows, half columns)
    masked = spectrum[:, None] * masks[..., None]  # (P, G, rows, half columns, 2)
    return spectrum_to_weight(masked.flatten(0, 1), weight_shape)


def spectrum_to_weight(spectrum: Tensor, weight_shape: Sequence[int]) -> Tensor:
    """The weights (..., C_out, C_in, K_h, K_w) with the half spectra (..., rows, columns, 2).

    Parts that a real matrix cannot have (imaginary parts at frequency 0, say) are not seen.
    """
    C_out, C_in, K_h, K_w = weight_shape
    shape = (C_out * K_h, C_in * K_w)
    if spectrum.numel() == 0:  # which MKL's FFT refuses
        matrix = spectrum[..., :1, :1, 0].expand(*spectrum.shape[:-3], *shape)
    else:
        matrix = torch.fft.irfft2(torch.view_as_complex(spectrum.contiguous()), s=shape)
    return matrix_to_weight(matrix, weight_shape)


def weight_to_spectrum(weight: Tensor) -> Tensor:
    """The half spectra (..., C_out * K_h, C_in * K_w // 2 + 1, 2) of weights."""
    matrix = weight.transpose(-3, -2).flatten(-4, -3).flatten(-2)
    return torch.view_as_real(torch.fft.rfft2(matrix))


def matrix_to_weight(matrix: Tensor, weight_shape: Sequence[int]) -> Tensor:
    """Cut (..., C_out * K_h, C_in * K_w) into filters (..., C_out, C_in, K_h, K_w)."""
    C_out, C_in, K_h, K_w = weight_shape
    return matrix.reshape(*matrix.shape[:-2], C_out, K_h, C_in, K_w).transpose(-3, -2)


def modulate(weight: Tensor, modulation: Modulation, groups: int) -> Tensor:
    """Multiply (N, C_out, C_in / groups, K_h, K_w) with every factor of `modulation`.

    Factors of input channels are those of the channels that an output's group sees.
    """
    N, C_out, _, *taps = weight.shape
    channel, filter, spatial, local_input, local_filter = modulation
    # Small factors first: their product reaches the weight's size once.
    factor = weight.new_ones(())
    if channel is not None:
        factor = of_groups(channel[:, None], C_out, groups)[..., None, None]  # (N, -, C_in, 1, 1)
    if spatial is not None:
        factor = factor * spatial.reshape(N, 1, 1, *taps)
    if filter is not None:
        factor = factor * filter[..., None, None, None]
    weight = weight * factor
    if local_input is not None and local_filter is not None:
        padding = local_filter.shape[1] // 2
        logits = F.conv1d(local_input[:, None], local_filter[:, None], padding=padding)
        local = 2 * torch.sigmoid(
            torch.unflatten(logits, 1, (C_out, taps[0] * taps[1]))
        )  # (N, C_out, taps, C_in)
        local = torch.unflatten(of_groups(local, C_out, groups), 2, taps)
        weight = weight * local.permute(0, 1, 4, 2, 3)
    return weight


def of_groups(values: Tensor, out_channels: int, groups: int) -> Tensor:
    """(N, C_out, ..., C_in / groups) out of (N, 1 or C_out, ..., C_in): what each output sees."""
    if groups == 1:
        return values
    values = values.expand(-1, out_channels, *values.shape[2:])
    split = torch.unflatten(values, 1, (groups, out_channels // groups))
    split = torch.unflatten(split, -1, (groups, values.shape[-1] // groups))
    own = split.diagonal(0, 1, split.dim() - 2).movedim(-1, 1)  # (N, groups, C_out/groups, ...)
    return own.flatten(1, 2)


def fourier_disjoint_weight_materialised(
    spectrum: Tensor,
    group_map: Tensor,
    attention: Tensor,
    weight_shape: Sequence[int],
    modulation: Modulation,
    groups: int = 1,
) -> Tensor:
    """The weights by the steps of the authors' pipeline, every factor at full size.

    Groups are gathered, scaled one by one and scattered into a spectrum of zeros per sample; the
    local factor is made for all weights before it is applied. It is here to be timed against.

    Returns:
        (N, C_out, C_in / groups, K_h, K_w)
    """
    flat = group_map.flatten().long()
    order = torch.argsort(flat, stable=True)
    mixed = spectrum.new_zeros(len(attention), flat.numel(), 2)
    for p in range(spectrum.shape[0]):
        values = spectrum[p].flatten(0, 1)[order]  # the groups, one after the other
        scale = attention[:, p, flat[order]]
        scaled = torch.stack([values[:, 0] * scale, values[:, 1] * scale], -1)
        mixed[:, order] += scaled
    mixed = torch.unflatten(mixed, 1, group_map.shape)  # (N, rows, half columns, 2)
    return modulate(spectrum_to_weight(mixed, weight_shape), modulation, groups)
