"""Fourier disjoint weights on PyTorch tensors on a GPU: `torch.ops.repro.*` on CUDA.

Half precision is computed in float32, as everywhere: transforms do not bear less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from repro_kernels.fourier_disjoint_weight_fft import roots_of_unity
from repro_kernels.fourier_disjoint_weight_limits import Call, why_not
from repro_kernels.fourier_disjoint_weight_plan import (
    plan_basis_backward,
    plan_basis_forward,
    plan_spectrum_backward,
    plan_spectrum_forward,
)
from repro_kernels.launch import Launch, check_tensors, launch, prepare
from repro_kernels.steps import Plan, Step

ALIGNMENT = 16  # bytes, of vector loads

# Of the half spectra between the two kernels of a forward pass, one sample's at least: they stay in
# the L2 cache of a GPU, and beside the weights there is little memory in use.
PASS_BYTES = 16 << 20
FACTORS = ("channel", "filter", "spatial", "sequence", "local_filter")
PER_SAMPLE = ("attention", "channel", "filter", "spatial", "sequence")

Tensors = dict[str, Tensor]


def fourier_disjoint_weight(*args: Any) -> Tensor:
    """`torch.ops.repro.fourier_disjoint_weight` on CUDA.

    Raises:
        ValueError: no kernel takes the call; the message says why. Tensors on several devices.
        MissingToolchainError: there is no driver, or no compiler.
    """
    spectrum, group_map, attention, *factors, weight_shape, groups = _as_computed(args)
    call = _call(attention.shape, weight_shape, groups, factors, spectrum)
    out = spectrum.new_empty((call.batch, *weight_shape))
    tensors = _spectrum_tensors(call, spectrum, group_map, attention, factors)
    step = max(1, PASS_BYTES // (2 * call.rows * call.half * call.item_bytes))
    for start in range(0, max(call.batch, 1), step):
        own = {name: tensors[name][start : start + step] for name in PER_SAMPLE}
        own["out"] = out[start : start + step]
        _run(plan_spectrum_forward, call._replace(batch=len(own["out"])), tensors | own)
    return out.to(args[0].dtype)


def fourier_disjoint_weight_backward(grad_out: Tensor, *args: Any) -> tuple[Tensor, ...]:
    """`torch.ops.repro.fourier_disjoint_weight_backward` on CUDA. Raises: as the forward."""
    spectrum, group_map, attention, *factors, weight_shape, groups = _as_computed(args)
    call = _call(attention.shape, weight_shape, groups, factors, spectrum)
    if call.batch == 0:
        return _zeros((args[0], *args[2:8]))
    grad_spectrum = torch.empty_like(spectrum, memory_format=torch.contiguous_format)
    tensors = _spectrum_tensors(call, spectrum, group_map, attention, factors) | {
        "grad_out": _ready(grad_out.to(spectrum.dtype)),
        "grad_spectrum": grad_spectrum,
    }
    scratch = _run(plan_spectrum_backward, call, tensors)
    grad_attention = scratch["attention_parts"].sum(0)
    found = (grad_spectrum, grad_attention, *_factor_gradients(call, scratch, factors))
    return tuple(grad.to(args[0].dtype) for grad in found)


def weight_from_basis(*args: Any) -> Tensor:
    """`torch.ops.repro.weight_from_basis` on CUDA. Raises: as `fourier_disjoint_weight`."""
    basis, attention, *factors, groups = _as_computed(args)
    C_out, K_h, K_w, C_in = basis.shape[1:]
    call = _call((len(attention), 1, len(basis)), (C_out, C_in, K_h, K_w), groups, factors, basis)
    out = basis.new_empty((call.batch, *call.weight_shape))
    tensors = _basis_tensors(basis, attention, factors) | {"out": out}
    _run(plan_basis_forward, call, tensors)
    return out.to(args[0].dtype)


def weight_from_basis_backward(grad_out: Tensor, *args: Any) -> tuple[Tensor, ...]:
    """`torch.ops.repro.weight_from_basis_backward` on CUDA. Raises: as the forward."""
    basis, attention, *factors, groups = _as_computed(args)
    C_out, K_h, K_w, C_in = basis.shape[1:]
    call = _call((len(attention), 1, len(basis)), (C_out, C_in, K_h, K_w), groups, factors, basis)
    if call.batch == 0:
        return _zeros(args[:7])
    grad_basis = torch.empty_like(basis, memory_format=torch.contiguous_format)
    tensors = _basis_tensors(basis, attention, factors) | {
        "grad_out": _ready(grad_out.to(basis.dtype)),
        "grad_basis": grad_basis,
    }
    scratch = _run(plan_basis_backward, call, tensors)
    grad_attention = scratch["attention_parts"].sum(0)
    found = (grad_basis, grad_attention, *_factor_gradients(call, scratch, factors))
    return tuple(grad.to(args[0].dtype) for grad in found)


def _call(
    attention_shape: Sequence[int],
    weight_shape: Sequence[int],
    groups: int,
    factors: Sequence[Tensor],
    like: Tensor,
) -> Call:
    N, P, G = attention_shape
    C_out, C_in, K_h, K_w = weight_shape
    dtype = str(like.dtype).removeprefix("torch.")
    return Call(N, P, G, (C_out, C_in, K_h, K_w), groups, factors[-1].shape[1], dtype)


def _spectrum_tensors(
    call: Call, spectrum: Tensor, group_map: Tensor, attention: Tensor, factors: Sequence[Tensor]
) -> Tensors:
    return {
        "spectrum": _ready(spectrum),
        "group_map": _ready(group_map),
        "attention": _ready(attention),
        **_factors(factors),
        "row_roots": _roots(call.rows, spectrum.dtype, spectrum.device),
        "column_roots": _roots(call.length, spectrum.dtype, spectrum.device),
    }


def _basis_tensors(basis: Tensor, attention: Tensor, factors: Sequence[Tensor]) -> Tensors:
    return {"basis": _ready(basis), "attention": _ready(attention), **_factors(factors)}


def _factors(factors: Sequence[Tensor]) -> Tensors:
    """By name; the local filters' sequence with zeros around it, so that kernels need no checks."""
    tensors = dict(zip(FACTORS, factors, strict=True))
    padding = factors[-1].shape[1] // 2
    tensors["sequence"] = F.pad(tensors["sequence"], (padding, padding))
    return {name: _ready(tensor) for name, tensor in tensors.items()}


def _factor_gradients(call: Call, scratch: Tensors, factors: Sequence[Tensor]) -> list[Tensor]:
    """From the parts that `modulate_backward` leaves; small tensors, each summed in one order."""
    _, filter, spatial, _, local_filter = factors
    sums = scratch["sums"].sum(0)  # (N, C_out, taps, sums)
    sequence_parts = scratch["sequence_parts"].sum(0)  # (N, channels, width)
    N, channels, width = sequence_parts.shape
    padded = sequence_parts.new_zeros((N, channels + max(width - 1, 0)))
    for j in range(width):
        padded[:, j : j + channels] += sequence_parts[..., j]
    return [
        scratch["channel_parts"].sum(0),
        (sums[..., 0] * spatial[:, None]).sum(2),
        (sums[..., 0] * filter[..., None]).sum(1),
        padded[:, width // 2 : width // 2 + channels].contiguous(),
        sums[..., 1 : 1 + width].sum(0).reshape(local_filter.shape),
    ]


def _run(planner: Callable[[Call], Plan], call: Call, tensors: Tensors) -> Tensors:
    """Launch the kernels of a plan; returns its scratch, by name."""
    is_of_spectrum = planner in (plan_spectrum_forward, plan_spectrum_backward)
    reason = why_not(call, transforms=is_of_spectrum)
    if reason is not None:
        raise ValueError(f"no CUDA kernel takes the call: {reason}")
    plan = planner(call)
    like = tensors["attention"]
    scratch = {name: like.new_empty(shape) for name, shape in plan.scratch.items()}
    if call.batch > 0:
        execute(plan, tensors | scratch, like)
    return scratch


def execute(plan: Plan, tensors: Tensors, like: Tensor) -> None:
    """Launch a plan's steps on the current stream of the device of `like`."""
    names = tuple(tensors)
    of_dtype = [(name, t) for name, t in tensors.items() if name != "group_map"]
    device = check_tensors(*zip(*of_dtype, strict=True), like)
    launch(_prepared(plan.steps, names, device), [t.data_ptr() for t in tensors.values()], device)


@lru_cache(maxsize=1024)
def _prepared(
    steps: tuple[Step, ...], names: tuple[str, ...], device: torch.device
) -> tuple[Launch, ...]:
    return tuple(prepare(step, names, device) for step in steps)


@lru_cache(maxsize=256)
def _roots(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(roots_of_unity(length), dtype=dtype, device=device)


def _ready(tensor: Tensor) -> Tensor:
    """Contiguous, and aligned for vector loads, which a view of a tensor need not be."""
    tensor = tensor.detach().contiguous()
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


def _zeros(like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(t, memory_format=torch.contiguous_format) for t in like)


def _as_computed(args: Sequence[Any]) -> Sequence[Any]:
    """Tensors in the dtype that kernels compute in: float64, and float32 for all others."""
    if args[0].dtype in (torch.float32, torch.float64):
        return args
    return [
        arg.float() if isinstance(arg, Tensor) and arg.is_floating_point() else arg for arg in args
    ]
