"""The Fourier disjoint weight operator: per-sample convolution weights out of one half spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from repro.ops.backends import choose
from repro.ops.fourier_library import call_fourier_disjoint_weight, call_weight_from_basis
from repro.ops.reference.fourier_disjoint_weight import (
    Modulation,
    fourier_disjoint_weight_reference,
    weight_from_basis_reference,
)

AUTOCAST_DEVICES = ("cpu", "cuda")  # PyTorch raises when asked about others, "meta" among them
NO_MODULATION = Modulation()


def fourier_disjoint_weight(
    spectrum: Tensor,
    group_map: Tensor,
    attention: Tensor,
    weight_shape: Sequence[int],
    modulation: Modulation = NO_MODULATION,
    *,
    groups: int = 1,
    backend: str | None = None,
) -> Tensor:
    """Convolution weights of every sample, from frequency groups weighted per sample.

    Sample n's spectrum is the sum over copies p of attention[n, p, group] times spectrum[p], where
    `group_map` names each frequency's group. Its inverse real FFT, cut into K_h x K_w patches, is
    the sample's weight, which `modulation` then multiplies element by element.

    Args:
        spectrum: (P, C_out * K_h, C_in * K_w // 2 + 1, 2), real and imaginary parts of P half
            spectra; C_in here and in `weight_shape` counts the inputs of one convolution group.
        group_map: (C_out * K_h, C_in * K_w // 2 + 1), int32, values in 0..G - 1; see
            `repro.ops.frequency_groups`.
        attention: (N, P, G).
        weight_shape: (C_out, C_in, K_h, K_w).
        modulation: per-sample factors; its `channel` and `local_input` have groups * C_in values
            each.
        groups: of the convolution that the weights are for.
        backend: "reference", "cpu" or "cuda"; None takes the kernels of the spectrum's device, or,
            where there are none, the reference, saying so once: on CUDA, for a matrix whose rows or
            columns have a prime factor above 3 or are too long (what fits, and why, is in
            `repro_kernels.fourier_disjoint_weight_limits`). Only the reference has second
            derivatives.
    Returns:
        (N, C_out, C_in, K_h, K_w), dtype of the spectrum; within torch.autocast float32, since FFTs
        and their small factors do not bear less.
    Raises:
        ValueError: shapes or devices disagree, or the backend cannot take the call.
        TypeError: dtypes disagree, are not floating point, or group_map is not int32.
    Source: FDConv (arXiv 2503.18783), sections on FDW and KSM (their product).
    Deviates: the scale alpha of the authors' code is part of `attention`. Nothing of the weights'
        size is stored but the weights: their code makes every factor at that size.
    """
    spectrum, attention, modulation = _in_one_dtype(spectrum, attention, modulation)
    check_spectrum(spectrum, group_map, attention, weight_shape)
    check_modulation(modulation, spectrum, "spectrum", attention.shape[0], weight_shape, groups)
    refuse = _refuse_on_cuda(spectrum, attention, weight_shape, modulation, groups)
    if choose("fourier_disjoint_weight", backend, spectrum, refuse) == "reference":
        return fourier_disjoint_weight_reference(
            spectrum, group_map, attention, weight_shape, modulation, groups
        )
    factors = _factors(modulation, attention, weight_shape, groups)
    return call_fourier_disjoint_weight(
        spectrum, group_map, attention, *factors, list(weight_shape), groups
    )


def weight_from_basis(
    basis: Tensor,
    attention: Tensor,
    modulation: Modulation = NO_MODULATION,
    *,
    groups: int = 1,
    backend: str | None = None,
) -> Tensor:
    """The weights of `fourier_disjoint_weight` from what its groups alone give.

    The operator is linear in the spectrum, so that its weights are sums of P * G parallel weights
    (`repro.ops.reference.disjoint_basis`): cheaper than a transform per sample where the batch is
    large, or where the spectrum does not change.

    Args:
        basis: (B, C_out, K_h, K_w, C_in), input channels last.
        attention: (N, B).
        modulation, groups, backend: as of `fourier_disjoint_weight`.
    Returns:
        (N, C_out, C_in, K_h, K_w), dtype of the basis; within torch.autocast float32.
    Raises:
        ValueError, TypeError: as `fourier_disjoint_weight`.
    """
    basis, attention, modulation = _in_one_dtype(basis, attention, modulation)
    if basis.dim() != 5 or attention.dim() != 2 or attention.shape[1] != basis.shape[0]:
        raise ValueError(
            "basis must be (B, C_out, K_h, K_w, C_in) and attention (N, B), got "
            f"{tuple(basis.shape)} and {tuple(attention.shape)}"
        )
    _check_alike("attention", attention, "basis", basis)
    C_out, *taps, C_in = basis.shape[1:]
    weight_shape = (C_out, C_in, *taps)
    check_modulation(modulation, basis, "basis", attention.shape[0], weight_shape, groups)
    refuse = _refuse_on_cuda(basis, attention, weight_shape, modulation, groups)
    if choose("weight_from_basis", backend, basis, refuse) == "reference":
        return weight_from_basis_reference(basis, attention, modulation, groups)
    factors = _factors(modulation, attention, weight_shape, groups)
    return call_weight_from_basis(basis, attention, *factors, groups)


def check_spectrum(
    spectrum: Tensor, group_map: Tensor, attention: Tensor, weight_shape: Sequence[int]
) -> None:
    """Raise ValueError or TypeError unless the arguments fit together."""
    if len(weight_shape) != 4 or min(weight_shape) < 1:
        raise ValueError(
            f"weight_shape must be four positive sizes (C_out, C_in, K_h, K_w), got {weight_shape}"
        )
    C_out, C_in, K_h, K_w = weight_shape
    cells = (C_out * K_h, C_in * K_w // 2 + 1)
    if spectrum.dim() != 4 or spectrum.shape[1:] != (*cells, 2):
        raise ValueError(
            f"spectrum must be (P, {cells[0]}, {cells[1]}, 2) for weights {tuple(weight_shape)}, "
            f"got {tuple(spectrum.shape)}"
        )
    if group_map.shape != cells:
        raise ValueError(f"group_map must be {cells}, got {tuple(group_map.shape)}")
    if group_map.dtype != torch.int32:
        raise TypeError(f"group_map must be torch.int32, got {group_map.dtype}")
    if group_map.device != spectrum.device:
        raise ValueError(
            f"group_map must be on {spectrum.device} like spectrum, got {group_map.device}"
        )
    if attention.dim() != 3 or attention.shape[1] != spectrum.shape[0]:
        raise ValueError(
            f"attention must be (N, {spectrum.shape[0]}, G), got {tuple(attention.shape)}"
        )
    _check_alike("attention", attention, "spectrum", spectrum)


def check_modulation(
    modulation: Modulation,
    like: Tensor,
    like_name: str,
    batch: int,
    weight_shape: Sequence[int],
    groups: int,
) -> None:
    """Raise ValueError or TypeError unless the factors fit the weights."""
    C_out, C_in, K_h, K_w = weight_shape
    if groups < 1 or C_out % groups:
        raise ValueError(f"groups must divide the {C_out} output channels, got {groups}")
    expected = {
        "channel": (batch, groups * C_in),
        "filter": (batch, C_out),
        "spatial": (batch, K_h * K_w),
        "local_input": (batch, groups * C_in),
    }
    for name, shape in expected.items():
        tensor: Tensor | None = getattr(modulation, name)
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise ValueError(f"{name} must be {shape}, got {tuple(tensor.shape)}")
        _check_alike(name, tensor, like_name, like)
    if (modulation.local_input is None) != (modulation.local_filter is None):
        raise ValueError("local_input and local_filter go together: one of them is missing")
    local = modulation.local_filter
    if local is None:
        return
    rows = C_out * K_h * K_w
    if local.dim() != 2 or local.shape[0] != rows or local.shape[1] % 2 == 0:
        raise ValueError(f"local_filter must be ({rows}, odd width), got {tuple(local.shape)}")
    _check_alike("local_filter", local, like_name, like)


def _refuse_on_cuda(
    values: Tensor,
    attention: Tensor,
    weight_shape: Sequence[int],
    modulation: Modulation,
    groups: int,
) -> Callable[[str], str | None]:
    """Says why the CUDA kernels cannot take a call on a spectrum, or on a basis (5 dimensions)."""

    def refuse(backend: str) -> str | None:
        if backend != "cuda":
            return None
        from repro_kernels.fourier_disjoint_weight_limits import Call, why_not

        C_out, C_in, K_h, K_w = weight_shape
        local = modulation.local_filter
        call = Call(
            attention.shape[0],
            attention.shape[1] if values.dim() == 4 else 1,
            attention.shape[-1],
            (C_out, C_in, K_h, K_w),
            groups,
            0 if local is None else local.shape[1],
            "float64" if values.dtype == torch.float64 else "float32",
        )
        reason: str | None = why_not(call, transforms=values.dim() == 4)
        return reason

    return refuse


def _check_alike(name: str, tensor: Tensor, like_name: str, like: Tensor) -> None:
    if not like.is_floating_point():
        raise TypeError(f"{like_name} must be floating point, got {like.dtype}")
    if tensor.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype} like {like_name}, got {tensor.dtype}")
    if tensor.device != like.device:
        raise ValueError(f"{name} must be on {like.device} like {like_name}, got {tensor.device}")


def _in_one_dtype(
    values: Tensor, attention: Tensor, modulation: Modulation
) -> tuple[Tensor, Tensor, Modulation]:
    """Inside torch.autocast, everything that is below float32 in float32."""
    device = values.device.type
    if device not in AUTOCAST_DEVICES or not torch.is_autocast_enabled(device):
        return values, attention, modulation
    return (
        _at_least_float32(values),
        _at_least_float32(attention),
        Modulation(
            *(None if factor is None else _at_least_float32(factor) for factor in modulation)
        ),
    )


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _factors(
    modulation: Modulation, like: Tensor, weight_shape: Sequence[int], groups: int
) -> tuple[Tensor, ...]:
    """All five factors as the kernels take them: ones, and a filter of no width, for None."""
    C_out, C_in, K_h, K_w = weight_shape
    N = like.shape[0]
    channel, filter, spatial, local_input, local_filter = modulation
    values: tuple[tuple[Tensor | None, tuple[int, ...], Any], ...] = (
        (channel, (N, groups * C_in), 1),
        (filter, (N, C_out), 1),
        (spatial, (N, K_h * K_w), 1),
        (local_input, (N, groups * C_in), 0),
        (local_filter, (C_out * K_h * K_w, 0), 0),
    )
    return tuple(
        like.new_full(shape, fill) if tensor is None else tensor for tensor, shape, fill in values
    )
