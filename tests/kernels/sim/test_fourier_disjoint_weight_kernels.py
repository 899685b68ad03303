"""The CUDA kernels of Fourier disjoint weights, thread by thread, against float64 autograd.

What runs is the host code of a GPU, with the same plans: only the launches go to the simulator.
"""

from __future__ import annotations

import math

import cooperative_simulator
import numpy as np
import pytest
import torch
from accuracy import assert_as_accurate
from fourier_cases import FOURIER_CASES
from numba import cuda

from repro.ops.fourier_disjoint_weight import _factors, fourier_disjoint_weight, weight_from_basis
from repro_kernels import fourier_disjoint_weight_host as host
from repro_kernels.fourier_disjoint_weight_compile import function
from repro_kernels.fourier_disjoint_weight_fft import (
    find_radices,
)


@pytest.fixture(autouse=True)
def simulated(monkeypatch):
    """Plans run in the simulator, on scratch and results that start as NaN."""

    def execute(plan, tensors, like):
        memory = {name: tensor.flatten().numpy() for name, tensor in tensors.items()}
        for name in (
            *plan.scratch,
            *(n for n in tensors if n in ("out", "grad_spectrum", "grad_basis")),
        ):
            memory[name].fill(np.nan)
        for step in plan.steps:
            kernel = cuda.jit(function(step.variant))
            arguments = [memory[name] for name in step.tensors]
            kernel[step.blocks, step.threads](*arguments, *map(np.int32, step.sizes))

    monkeypatch.setattr(host, "execute", execute)
    cooperative_simulator.install(seed=0)


def run(case, make_call, args, grad_out):
    """Output and all gradients, by the host functions of CUDA."""
    first, attention, *rest = (arg.detach() for arg in args)
    factors = _factors(case.modulation(rest), attention, case.weight_shape, case.groups)
    if make_call == "spectrum":
        given = (first, case.group_map(), attention, *factors, case.weight_shape, case.groups)
        forward, backward = host.fourier_disjoint_weight, host.fourier_disjoint_weight_backward
    else:
        given = (first, attention.flatten(1), *factors, case.groups)
        forward, backward = host.weight_from_basis, host.weight_from_basis_backward
    grads = backward(grad_out, *given)
    used = dict.fromkeys(["first", "attention", *case.factors])
    for name, grad in zip(
        ["first", "attention", "channel", "filter", "spatial", "local", "local_filter"],
        grads,
        strict=True,
    ):
        if name in used or (name == "local_filter" and "local" in used):
            used[name] = grad
    used["attention"] = used["attention"].reshape(attention.shape)
    return [forward(*given), *used.values()]


def expect(case, make_call, args, grad_out):
    """The same by autograd, in the dtype of `args`."""
    args = [arg.detach().clone().requires_grad_() for arg in args]
    first, attention, *rest = args
    options = {"groups": case.groups, "backend": "reference"}
    modulation = case.modulation(rest)
    if make_call == "spectrum":
        out = fourier_disjoint_weight(
            first, case.group_map(), attention, case.weight_shape, modulation, **options
        )
    else:
        out = weight_from_basis(first, attention.flatten(1), modulation, **options)
    return [out, *torch.autograd.grad(out, args, grad_out.to(out.dtype))]


def make(case, make_call, dtype):
    args = case.make(dtype)
    if make_call == "basis":
        args[0] = case.basis(args[0].double()).to(dtype)
    grad_out = torch.randn(
        case.batch, *case.weight_shape, generator=torch.Generator().manual_seed(1)
    )
    return args, grad_out.to(dtype)


def check(case, make_call, dtype):
    args, grad_out = make(case, make_call, dtype)
    actual = run(case, make_call, args, grad_out)
    reference = expect(case, make_call, args, grad_out)
    truth = expect(case, make_call, [arg.double() for arg in args], grad_out.double())
    assert len(actual) == len(truth)
    terms = [math.log2(2 * math.prod(case.matrix)) + case.copies * case.kernel_num]
    terms += [math.prod(case.weight_shape) * case.batch] * (len(truth) - 1)
    for values, count in zip(zip(actual, reference, truth, strict=True), terms, strict=True):
        assert_as_accurate(*values, terms=count)
        error = (values[0] - values[2]).abs().max() / values[2].abs().max().clamp(min=1e-9)
        assert error <= (1e-6 if dtype == torch.float32 else 1e-14), error


def is_smooth(case):
    return all(find_radices(length) for length in case.matrix)


@pytest.mark.parametrize("case", [c for c in FOURIER_CASES if is_smooth(c)], ids=str)
def test_spectrum_kernels_agree_with_autograd(case):
    check(case, "spectrum", torch.float32)


@pytest.mark.parametrize("case", FOURIER_CASES, ids=str)
def test_basis_kernels_agree_with_autograd(case):
    check(case, "basis", torch.float32)
