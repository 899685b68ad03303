"""Call the CPU kernels of the Fourier weight operators with PyTorch tensors.

The inverse FFT is one of our own, in place in the weights, where there is a plan for it
(`repro.ops.cpu.fourier_disjoint_weight_fft.plan`) and the convolution has a single group; otherwise
PyTorch's. With that, and in the backward pass, samples are taken a few at a time, so that beside
the weights there is little memory in use. The backward pass makes what lies between spectrum and
weights again instead of keeping it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.ops.cpu.fourier_disjoint_weight import (
    Array,
    Factors,
    Gradients,
    basis_backward_kernel,
    basis_kernel,
    modulate_backward_kernel,
    modulate_kernel,
)
from repro.ops.cpu.fourier_disjoint_weight_columns import columns_kernel
from repro.ops.cpu.fourier_disjoint_weight_fft import Plan, pairs_of_vectors, plan
from repro.ops.cpu.fourier_disjoint_weight_mix import mix_backward_kernel, mix_kernel
from repro.ops.cpu.fourier_disjoint_weight_rows import matrix_kernel, weights_kernel
from repro.ops.cpu.threads import run
from repro.ops.cpu.vector import lane_count

log = logging.getLogger(__name__)

# Of the matrices that are between spectrum and weights at a time, one sample at least.
CHUNK_BYTES = 4 << 20

# The backward pass sums in this many parts, enough to keep all cores of a large machine busy.
BACKWARD_TASKS = 16

Grads = tuple[Tensor, ...]


def fourier_disjoint_weight(*args: Any) -> Tensor:
    """`torch.ops.repro.fourier_disjoint_weight` on the CPU; half precision runs in float32."""
    spectrum, group_map, attention, *factors, weight_shape, groups = _as_computed(args)
    out = spectrum.new_empty((attention.shape[0], *weight_shape))
    arrays = _factors(factors, weight_shape, groups)
    own = _own_plan(spectrum, weight_shape, groups)
    if own is not None:
        # In place, and so the whole batch at once: each part of the spectrum is read once.
        _transform_columns(spectrum, group_map, attention, out, own)
        tasks = attention.shape[0] * pairs_of_vectors(own)
        run(weights_kernel, tasks, _array(out.view(-1)), arrays, own)
    else:
        for samples in _chunks(spectrum, attention):
            matrix = _array(_matrix(spectrum, group_map, attention[samples], weight_shape, None))
            flat, options = _array(out.flatten(2)), (samples.start, weight_shape[3])
            run(modulate_kernel, weight_shape[0], matrix, flat, arrays, *options)
    result: Tensor = out.to(args[0].dtype)
    return result


def fourier_disjoint_weight_backward(grad_out: Tensor, *args: Any) -> Grads:
    """`torch.ops.repro.fourier_disjoint_weight_backward` on the CPU."""
    spectrum, group_map, attention, *factors, weight_shape, groups = _as_computed(args)
    grads = _array(grad_out.to(spectrum.dtype).flatten(2))
    arrays = _factors(factors, weight_shape, groups)
    gradients, parts = _gradients(arrays, spectrum)
    grad_spectrum = torch.zeros_like(spectrum, memory_format=torch.contiguous_format)
    rows, columns = spectrum.shape[1:3]
    mix_tasks = min(BACKWARD_TASKS, rows)
    grad_attention = spectrum.new_zeros((mix_tasks, *attention.shape))
    column_scale = _column_scale(weight_shape, columns, spectrum)
    own = _own_plan(spectrum, weight_shape, groups)
    for samples in _chunks(spectrum, attention):
        matrix = _matrix(spectrum, group_map, attention[samples], weight_shape, own)
        run(
            modulate_backward_kernel,
            len(gradients.channel),
            grads,
            _array(matrix),
            arrays,
            gradients,
            samples.start,
            weight_shape[3],
        )
        part = spectrum.new_zeros((mix_tasks, matrix.shape[0], *attention.shape[1:]))
        run(
            mix_backward_kernel,
            mix_tasks,
            _array(torch.view_as_real(torch.fft.rfft2(matrix))),
            _array(spectrum),
            _array(group_map),
            _array(attention[samples]),
            column_scale,
            _array(grad_spectrum),
            _array(part),
        )
        grad_attention[:, samples] = part
    found = (grad_spectrum, grad_attention.sum(0), *_summed(parts, local_input=factors[3]))
    return tuple(grad.to(args[0].dtype) for grad in found)


def weight_from_basis(*args: Any) -> Tensor:
    """`torch.ops.repro.weight_from_basis` on the CPU; half precision runs in float32."""
    basis, attention, *factors, groups = _as_computed(args)
    C_out, K_h, K_w, C_in = basis.shape[1:]
    out = basis.new_empty((attention.shape[0], C_out, C_in, K_h, K_w))
    run(
        basis_kernel,
        C_out,
        _rows(basis),
        _array(attention),
        _array(out.flatten(2)),
        _factors(factors, (C_out, C_in, K_h, K_w), groups),
    )
    result: Tensor = out.to(args[0].dtype)
    return result


def weight_from_basis_backward(grad_out: Tensor, *args: Any) -> Grads:
    """`torch.ops.repro.weight_from_basis_backward` on the CPU."""
    basis, attention, *factors, groups = _as_computed(args)
    C_out, K_h, K_w, C_in = basis.shape[1:]
    arrays = _factors(factors, (C_out, C_in, K_h, K_w), groups)
    gradients, parts = _gradients(arrays, basis)
    grad_basis = torch.zeros_like(basis, memory_format=torch.contiguous_format)
    grad_attention = basis.new_zeros((len(gradients.channel), *attention.shape))
    run(
        basis_backward_kernel,
        len(gradients.channel),
        _array(grad_out.to(basis.dtype).flatten(2)),
        _rows(basis),
        _array(attention),
        arrays,
        _rows(grad_basis),
        _array(grad_attention),
        gradients,
    )
    found = (grad_basis, grad_attention.sum(0), *_summed(parts, local_input=factors[3]))
    return tuple(grad.to(args[0].dtype) for grad in found)


def _own_plan(spectrum: Tensor, weight_shape: Sequence[int], groups: int) -> Plan | None:
    """How to transform by the kernels' own FFT, or None to take PyTorch's, which is said once."""
    C_out, C_in, K_h, K_w = weight_shape
    own = plan((C_out, C_in, K_h, K_w), str(spectrum.dtype).removeprefix("torch."))
    if own is None:
        _say(f"no FFT of our own for {C_out * K_h} x {C_in * K_w} values: PyTorch's is taken")
    return own if groups == 1 and spectrum.shape[0] > 0 else None


@cache
def _say(message: str) -> None:
    log.info(message)


def _transform_columns(
    spectrum: Tensor, group_map: Tensor, attention: Tensor, out: Tensor, own: Plan
) -> None:
    """Half spectra of some samples to where their weights will be."""
    half = group_map.shape[1] - 1
    blocks = -(-half // lane_count(spectrum.element_size()))
    run(
        columns_kernel,
        attention.shape[0] * blocks,
        _array(spectrum),
        _array(group_map),
        _array(attention / (group_map.shape[0] * 2 * half)),
        _array(out.view(-1)),
        own,
    )


def _matrix(
    spectrum: Tensor,
    group_map: Tensor,
    attention: Tensor,
    weight_shape: Sequence[int],
    own: Plan | None,
) -> Tensor:
    """The unmodulated weights of some samples, (samples, C_out * K_h, C_in * K_w)."""
    C_out, C_in, K_h, K_w = weight_shape
    if own is not None:
        matrix = spectrum.new_empty(attention.shape[0], C_out * K_h, C_in * K_w)
        _transform_columns(spectrum, group_map, attention, matrix, own)
        tasks = attention.shape[0] * pairs_of_vectors(own)
        run(matrix_kernel, tasks, _array(matrix.view(-1)), own)
        return matrix
    mixed = spectrum.new_empty((attention.shape[0], *spectrum.shape[1:]))
    run(
        mix_kernel,
        spectrum.shape[1],
        _array(spectrum),
        _array(group_map),
        _array(attention),
        _array(mixed),
    )
    shape = (C_out * K_h, C_in * K_w)
    transformed: Tensor = torch.fft.irfft2(torch.view_as_complex(mixed), s=shape)
    return transformed.contiguous()


def _chunks(spectrum: Tensor, attention: Tensor) -> Iterator[slice]:
    """The batch, cut so that a chunk's matrices have about `CHUNK_BYTES`."""
    sample_bytes = spectrum[0].numel() * spectrum.element_size()
    step = max(1, CHUNK_BYTES // sample_bytes)
    for start in range(0, attention.shape[0], step):
        yield slice(start, min(start + step, attention.shape[0]))


def _column_scale(weight_shape: Sequence[int], columns: int, like: Tensor) -> Array:
    """What makes `rfft2` the adjoint of `irfft2`: columns that stand for two count twice."""
    C_out, C_in, K_h, K_w = weight_shape
    rows, width = C_out * K_h, C_in * K_w
    scale = torch.full((columns,), 2 / (rows * width), dtype=like.dtype)
    scale[0] /= 2
    if width % 2 == 0:
        scale[-1] /= 2
    return scale.numpy()


def _factors(factors: Sequence[Tensor], weight_shape: Sequence[int], groups: int) -> Factors:
    channel, filter, spatial, local_input, local_filter = factors
    padding = local_filter.shape[1] // 2
    return Factors(
        _array(channel),
        _array(filter),
        _array(spatial),
        _array(F.pad(local_input, (padding, padding))),
        _array(local_filter),
        weight_shape[0] // groups,
    )


def _gradients(factors: Factors, like: Tensor) -> tuple[Gradients, list[Tensor]]:
    """Zeros to add gradients to, as arrays and as the tensors behind them."""
    tasks = min(BACKWARD_TASKS, factors.filter.shape[1])
    parts = [
        like.new_zeros(shape)
        for shape in (
            (tasks, *factors.channel.shape),
            factors.filter.shape,
            (tasks, *factors.spatial.shape),
            (tasks, *factors.sequence.shape),
            factors.local_filter.shape,
        )
    ]
    return Gradients(*map(_array, parts)), parts


def _summed(parts: list[Tensor], local_input: Tensor) -> Grads:
    """The factors' gradients: parts added up, the sequence without the zeros around it."""
    channel, filter, spatial, sequence, local_filter = parts
    padding = local_filter.shape[1] // 2
    own = sequence.sum(0)[:, padding : padding + local_input.shape[1]]
    return channel.sum(0), filter, spatial.sum(0), own.contiguous(), local_filter


def _as_computed(args: Sequence[Any]) -> Sequence[Any]:
    """Tensors in the dtype that kernels compute in: float64, and float32 for all others."""
    if args[0].dtype in (torch.float32, torch.float64):
        return args
    return [
        arg.float() if isinstance(arg, Tensor) and arg.is_floating_point() else arg for arg in args
    ]


def _rows(basis: Tensor) -> Array:
    """(B, C_out, K_h, K_w, C_in) as (B, C_out * taps, C_in)."""
    return _array(basis.flatten(1, 3))


def _array(tensor: Tensor) -> Array:
    """The memory of a tensor, copied if not contiguous."""
    array: Array = tensor.detach().contiguous().numpy()
    return array
