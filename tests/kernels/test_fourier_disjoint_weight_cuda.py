"""The CUDA side of Fourier disjoint weights without a GPU: limits, registration, launches.

What the kernels compute is tested in sim/; on a GPU, the last tests here run them there.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accuracy import assert_as_accurate
from fourier_cases import FOURIER_CASES, LARGE_CASES, FourierCase

from repro.ops.fourier_disjoint_weight import (
    _factors,
    _refuse_on_cuda,
    fourier_disjoint_weight,
    weight_from_basis,
)
from repro.ops.reference.fourier_disjoint_weight import Modulation
from repro_kernels import fourier_disjoint_weight_host as host
from repro_kernels import launch
from repro_kernels.fourier_disjoint_weight_limits import (
    Call,
    columns_at_once,
    find_radices,
    pairs_at_once,
    why_not,
)
from repro_kernels.fourier_disjoint_weight_plan import plan_spectrum_forward

CALL = Call(4, 1, 64, (64, 64, 3, 3), 1, 5, "float32")


@pytest.mark.parametrize(
    ("length", "radices"),
    [(1, (1,)), (2, (2,)), (16, (4, 4)), (24, (8, 3)), (1536, (8, 8, 8, 3)), (10, ()), (111, ())],
)
def test_radices(length, radices):
    assert find_radices(length) == radices


def test_every_block_convolution_of_the_resnets_fits():
    squares = [(c, c, 3, 3) for c in (64, 128, 256, 512)]
    points = [(o, i, 1, 1) for i in (64, 256, 512, 1024, 2048) for o in (64, 128, 512, 2048)]
    for layer in (*squares, *points):
        assert why_not(CALL._replace(weight_shape=layer), transforms=True) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weight_shape": (20, 64, 3, 3)}, "its 60 rows have a prime factor above 3"),
        ({"weight_shape": (64, 64, 5, 5)}, "its 320 rows have a prime factor above 3"),
        ({"weight_shape": (16, 37, 3, 3)}, "its 111 columns have a prime factor above 3"),
        ({"weight_shape": (4096, 64, 1, 1)}, "two columns of 4096 float32 pairs do not fit"),
        ({"weight_shape": (16, 1024, 3, 3)}, "3 rows of 3072 float32 pairs do not fit"),
        ({"weight_shape": (64, 64, 32, 32)}, "filters of 1024 taps do not fit"),
        ({"weight_shape": (32768, 32768, 1, 1), "copies": 2}, "need 64-bit indices"),
    ],
)
def test_what_does_not_fit_is_said(change, reason):
    assert reason in why_not(CALL._replace(**change), transforms=True)


def test_a_block_has_whole_sectors_and_no_more_shared_memory_than_there_is():
    for rows in (1, 12, 64, 192, 768, 1536, 2048, 3072):
        for item_bytes in (4, 8):
            columns = columns_at_once(rows, item_bytes)
            assert 2 * item_bytes * rows * columns <= 48 << 10
            if rows <= 1536:
                assert columns * 2 * item_bytes >= 32
    assert pairs_at_once(1536, 3, 4) == 1
    assert pairs_at_once(1536, 3, 8) == 0


@pytest.mark.parametrize("name", ["fourier_disjoint_weight", "weight_from_basis"])
def test_ops_are_registered_for_cuda(name):
    for op_name in (name, f"{name}_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"repro::{op_name}", "CUDA")
        assert callable(getattr(host, op_name))


def test_the_reason_is_found_without_numba_and_while_compiling():
    def reason(spectrum, attention):
        refuse = _refuse_on_cuda(spectrum, attention, (4, 5, 3, 3), Modulation(), 1)
        return spectrum + (refuse("cpu") is None), refuse("cuda")

    spectrum, attention = torch.zeros(1, 12, 8, 2), torch.ones(2, 1, 4)
    expected = "its 15 columns have a prime factor above 3"
    assert reason(spectrum, attention)[1] == expected
    assert (
        torch.compile(reason, fullgraph=True, backend="eager")(spectrum, attention)[1] == expected
    )


def test_tensors_must_be_on_a_cuda_device():
    args = (torch.ones(1, 2, 3, 2), torch.zeros(2, 3, dtype=torch.int32), torch.ones(1, 1, 1))
    factors = (torch.ones(1, 4), torch.ones(1, 2), torch.ones(1, 1), torch.ones(1, 4))
    factors = (*factors, torch.ones(2, 0))
    with pytest.raises(ValueError, match="spectrum must be on one CUDA device, got cpu"):
        host.fourier_disjoint_weight(*args, *factors, (2, 4, 1, 1), 1)


def shifted(tensors):
    """The same values, four bytes past a multiple of sixteen."""
    memories = [torch.cat([tensor.new_zeros(1), tensor.flatten()]) for tensor in tensors]
    return [memory[1:].view(t.shape) for memory, t in zip(memories, tensors, strict=True)]


@pytest.mark.parametrize("form", ["spectrum", "basis"])
def test_tensors_that_are_not_aligned_are_copied_before_a_launch(form, monkeypatch):
    case = FourierCase((3, 4, 3, 3), batch=3)
    args = case.make(torch.float32)
    if form == "basis":
        args[0] = case.basis(args[0])
    grad_out = torch.ones(case.batch, *case.weight_shape)
    args, (grad_out,) = map(shifted, (args, [grad_out]))
    launched = []
    vectors = {"spectrum", "basis", "grad_out", "out", "grad_basis", "grad_spectrum", "spectra"}

    def execute(plan, tensors, like):
        launched.append(plan)
        for name in vectors & tensors.keys():
            assert tensors[name].data_ptr() % 16 == 0, name

    monkeypatch.setattr(host, "execute", execute)
    monkeypatch.setattr(host, "PASS_BYTES", 1)  # a sample at a time: parts of `out`
    first, attention, *rest = args
    factors = _factors(case.modulation(rest), attention, case.weight_shape, case.groups)
    if form == "spectrum":
        given = (first, case.group_map(), attention, *factors, case.weight_shape, case.groups)
        host.fourier_disjoint_weight(*given)
        host.fourier_disjoint_weight_backward(grad_out, *given)
    else:
        given = (first, attention.flatten(1), *factors, case.groups)
        host.weight_from_basis(*given)
        host.weight_from_basis_backward(grad_out, *given)
    assert len(launched) == (4 if form == "spectrum" else 2)


def test_a_grid_beyond_what_a_gpu_has_is_refused(monkeypatch):
    step = plan_spectrum_forward(CALL).steps[0]._replace(blocks=2**31)
    with pytest.raises(ValueError, match="mix_columns needs 2147483648 blocks"):
        launch.prepare(step, step.tensors, torch.device("cuda", 0))


def test_launches_name_the_tensors_and_carry_the_sizes(monkeypatch):
    """With a stand-in for the driver: what would be handed to it."""
    plan = plan_spectrum_forward(CALL)
    names = {name for step in plan.steps for name in step.tensors}
    tensors = {name: torch.empty(1) for name in sorted(names)}
    prepared = []

    def launched(launches, addresses, device):
        for step, one in zip(plan.steps, launches, strict=True):
            expected = [tensors[name].data_ptr() for name in step.tensors]
            assert [addresses[i] for i in one.pointers] == expected
            assert one.sizes == step.sizes
            assert {size.dtype for size in one.sizes} == {np.dtype(np.int32)}
            prepared.append((one.kernel, one.config))

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(launch, "_load", lambda variant, capability: variant.kernel)
    monkeypatch.setattr(launch, "_config", lambda blocks, threads: (blocks, threads))
    monkeypatch.setattr(host, "check_tensors", lambda names, tensors, like: like.device)
    monkeypatch.setattr(host, "launch", launched)
    host._prepared.cache_clear()
    try:
        host.execute(plan, tensors, tensors["attention"])
    finally:
        host._prepared.cache_clear()
    assert prepared == [(step.variant.kernel, (step.blocks, step.threads)) for step in plan.steps]


@pytest.mark.gpu
@pytest.mark.parametrize("form", ["spectrum", "basis"])
@pytest.mark.parametrize("case", [*FOURIER_CASES, *LARGE_CASES], ids=str)
def test_kernels_on_the_device_agree_with_the_reference(case, form):
    def call(backend, args):
        args = [arg.detach().clone().requires_grad_() for arg in args]
        first, attention, *factors = args
        options = {"groups": case.groups, "backend": backend}
        if form == "spectrum":
            shape, group_map = case.weight_shape, case.group_map("cuda")
            modulation = case.modulation(factors)
            out = fourier_disjoint_weight(first, group_map, attention, shape, modulation, **options)
        else:
            out = weight_from_basis(
                first, attention.flatten(1), case.modulation(factors), **options
            )
        grad_out = torch.linspace(-1, 1, out.numel(), device="cuda", dtype=out.dtype)
        return [out, *torch.autograd.grad(out, args, grad_out.view(out.shape))]

    if form == "spectrum" and not all(find_radices(length) for length in case.matrix):
        pytest.skip(f"no kernel transforms a matrix of {case.matrix}")
    args = case.make(torch.float32, "cuda")
    if form == "basis":
        args[0] = case.basis(args[0].double()).float()
    results = (call("cuda", args), call("reference", args))
    truth = call("reference", [arg.double() for arg in args])
    terms = math.prod(case.weight_shape) * case.batch
    for values in zip(*results, truth, strict=True):
        assert_as_accurate(*values, terms=terms)
