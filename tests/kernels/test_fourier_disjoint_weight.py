"""Fourier weights: the reference against independent truths, the kernels against the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accuracy import assert_as_accurate
from fourier_cases import FOURIER_CASES, LARGE_CASES, FourierCase
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
from repro.ops.reference.fourier_disjoint_weight import (
    disjoint_basis,
    fourier_disjoint_weight_materialised,
    matrix_to_weight,
    spectrum_to_weight,
    weight_to_spectrum,
)

DTYPES = [torch.float32, torch.float64]
CASES = [*FOURIER_CASES, *LARGE_CASES]


def call(case: FourierCase, backend: str):
    """The operator as a function of the tensors of `case.make`."""

    def function(spectrum, attention, *factors):
        return fourier_disjoint_weight(
            spectrum,
            case.group_map(spectrum.device.type),
            attention,
            case.weight_shape,
            case.modulation(list(factors)),
            groups=case.groups,
            backend=backend,
        )

    return function


def call_basis(case: FourierCase, backend: str):
    """`weight_from_basis` as a function of basis, attention and factors."""

    def function(basis, attention, *factors):
        return weight_from_basis(
            basis,
            attention.flatten(1),
            case.modulation(list(factors)),
            groups=case.groups,
            backend=backend,
        )

    return function


def gradients(function, args, grad_out):
    args = [arg.detach().requires_grad_() for arg in args]
    return torch.autograd.grad(function(*args), args, grad_out)


def by_loops(case: FourierCase, spectrum, attention, *factors):
    """Written out: cosines of every frequency, then every factor, an element at a time."""
    C_out, C_in, K_h, K_w = case.weight_shape
    rows, columns = case.matrix
    group_map = case.group_map()
    modulation = case.modulation(list(factors))
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    out = torch.zeros(case.batch, *case.weight_shape, dtype=spectrum.dtype)
    for n in range(case.batch):
        matrix = np.zeros((rows, columns))
        for u, v in np.ndindex(*group_map.shape):
            scale = attention[n, :, group_map[u, v]]
            re, im = (scale[:, None] * spectrum[:, u, v]).sum(0).tolist()
            twice = 1 if v == 0 or 2 * v == columns else 2
            angle = 2 * math.pi * (u * y / rows + v * x / columns)
            matrix += twice * (re * np.cos(angle) - im * np.sin(angle)) / (rows * columns)
        for o, i, r, s in np.ndindex(*case.weight_shape):
            value = matrix[o * K_h + r, i * K_w + s]
            channel = o // (C_out // case.groups) * C_in + i
            if modulation.channel is not None:
                value *= modulation.channel[n, channel].item()
            if modulation.filter is not None:
                value *= modulation.filter[n, o].item()
            if modulation.spatial is not None:
                value *= modulation.spatial[n, r * K_w + s].item()
            if modulation.local_input is not None:
                sequence, filters = modulation.local_input[n], modulation.local_filter
                taps = filters[(o * K_h + r) * K_w + s]
                z = sum(
                    taps[j] * sequence[channel + j - case.width // 2]
                    for j in range(case.width)
                    if 0 <= channel + j - case.width // 2 < len(sequence)
                )
                value *= 2 / (1 + math.exp(-z))
            out[n, o, i, r, s] = value
    return out


@pytest.mark.parametrize("case", FOURIER_CASES, ids=str)
def test_reference_is_a_sum_of_cosines_times_the_factors(case):
    args = case.make(torch.float64)
    torch.testing.assert_close(call(case, "reference")(*args), by_loops(case, *args))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_authors_steps_give_the_same_weights(case):
    spectrum, attention, *factors = case.make(torch.float64)
    actual = fourier_disjoint_weight_materialised(
        spectrum,
        case.group_map(),
        attention,
        case.weight_shape,
        case.modulation(factors),
        case.groups,
    )
    expected = call(case, "reference")(spectrum, attention, *factors)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_linear_in_the_groups_so_the_basis_gives_the_same_weights(case):
    spectrum, attention, *factors = case.make(torch.float64)
    expected = call(case, "reference")(spectrum, attention, *factors)
    actual = call_basis(case, "reference")(case.basis(spectrum), attention, *factors)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("make_call", [call, call_basis])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernels_are_as_accurate_as_pytorch(case, make_call, dtype):
    args = case.make(dtype)
    if make_call is call_basis:
        args[0] = case.basis(args[0].double()).to(dtype)
    doubles = [arg.double() for arg in args]
    truth = make_call(case, "reference")(*doubles)
    actual = make_call(case, "cpu")(*args)
    terms = math.log2(math.prod(case.matrix)) + case.copies * case.kernel_num
    assert_as_accurate(actual, make_call(case, "reference")(*args), truth, terms=terms)

    grad_out = torch.randn(truth.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    results = (
        gradients(make_call(case, "cpu"), args, grad_out),
        gradients(make_call(case, "reference"), args, grad_out),
        gradients(make_call(case, "reference"), doubles, grad_out.double()),
    )
    terms = math.prod(case.weight_shape) * case.batch
    for values in zip(*results, strict=True):
        assert_as_accurate(*values, terms=terms)


@pytest.mark.parametrize("case", LARGE_CASES, ids=str)
def test_float32_errs_by_at_most_2e_7(case):
    # Of the tensor's norm. Single elements err by up to 2.4e-7 of the largest, in PyTorch's own
    # inverse FFT of lengths with a large prime factor (111) as well.
    args = case.make(torch.float32)
    truth = call(case, "reference")(*(arg.double() for arg in args))
    error = (call(case, "cpu")(*args).double() - truth).norm() / truth.norm()
    assert error <= 2e-7, error


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("case", FOURIER_CASES, ids=str)
def test_backward_is_the_adjoint_of_forward(case, backend):
    # Linear in the spectrum: <A y, x> = <y, A' x>.
    spectrum, *others = case.make(torch.float64)
    function = call(case, backend)
    out = function(spectrum, *others)
    x = torch.randn(out.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (adjoint,) = gradients(lambda y: function(y, *others), [spectrum], x)
    left, right = (out * x).sum().item(), (spectrum * adjoint).sum().item()
    size = out.norm().item() * x.norm().item()
    assert abs(left - right) <= 1e-12 * size


@pytest.mark.parametrize("make_call", [call, call_basis])
@pytest.mark.parametrize("case", FOURIER_CASES, ids=str)
def test_gradcheck(case, make_call):
    args = case.make(torch.float64)
    if make_call is call_basis:
        args[0] = case.basis(args[0])
    args = [arg.requires_grad_() for arg in args]
    assert torch.autograd.gradcheck(make_call(case, "cpu"), args, fast_mode=True)
    assert torch.autograd.gradcheck(make_call(case, "reference"), args, fast_mode=True)


def test_gradgradcheck_of_the_reference_and_a_loud_refusal_of_the_kernels():
    case = FourierCase((2, 3, 3, 1), kernel_num=3)
    args = [arg.requires_grad_() for arg in case.make(torch.float64)]
    assert torch.autograd.gradgradcheck(call(case, "reference"), args, fast_mode=True)
    for name, make_call in {
        "fourier_disjoint_weight": call,
        "weight_from_basis": call_basis,
    }.items():
        own = [case.basis(args[0]).detach().requires_grad_(), *args[1:]]
        own = args if make_call is call else own
        (grad,) = torch.autograd.grad(
            make_call(case, "cpu")(*own).square().sum(), own[0], create_graph=True
        )
        with pytest.raises(NotImplementedError, match=f'call {name} with backend="reference"'):
            grad.sum().backward()


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (3, 5, 1, 1), (2, 4, 5, 3)])
def test_weights_survive_the_way_there_and_back(shape):
    weight = torch.randn(shape, dtype=torch.float64)
    spectrum = weight_to_spectrum(weight)
    assert spectrum.shape == (shape[0] * shape[2], shape[1] * shape[3] // 2 + 1, 2)
    torch.testing.assert_close(spectrum_to_weight(spectrum, shape), weight)


def test_the_matrix_has_a_filter_row_per_row_and_an_input_channel_per_block():
    matrix = torch.arange(6 * 6).reshape(6, 6)
    weight = matrix_to_weight(matrix, (2, 3, 3, 2))
    assert weight[1, 2].tolist() == matrix[3:6, 4:6].tolist()


def test_disjoint_weights_add_up_to_the_whole_and_are_orthogonal():
    shape = (64, 64, 3, 3)
    weight = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    case = FourierCase(shape, kernel_num=64)
    basis = disjoint_basis(weight_to_spectrum(weight)[None], case.group_map(), shape, 64)
    torch.testing.assert_close(basis.sum(0), weight)
    flat = basis.flatten(1) / basis.flatten(1).norm(dim=1, keepdim=True)
    cosine = (flat @ flat.T).fill_diagonal_(0).abs()
    # Not zero: a group border can part a pair of conjugates of the first or last column.
    assert cosine.max() < 0.012


def test_two_runs_and_any_number_of_threads_agree_to_the_bit():
    case = LARGE_CASES[0]
    args = case.make(torch.float32)
    own = [case.basis(args[0]), *args[1:]]
    grad_out = torch.randn(case.batch, *case.weight_shape)
    threads = torch.get_num_threads()
    try:
        for make_call, tensors in ((call, args), (call_basis, own)):
            runs = []
            for count in (1, 3, 3):
                torch.set_num_threads(count)
                function = make_call(case, "cpu")
                runs.append([function(*tensors), *gradients(function, tensors, grad_out)])
            for other in runs[1:]:
                assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))
    finally:
        torch.set_num_threads(threads)


def test_the_size_of_chunks_changes_nothing_but_rounding(monkeypatch):
    from repro.ops.cpu import fourier_disjoint_weight_host as host

    case = FourierCase((6, 4, 3, 3), batch=5)
    args = case.make(torch.float64)
    grad_out = torch.randn(case.batch, *case.weight_shape, dtype=torch.float64)
    expected = gradients(call(case, "reference"), args, grad_out)
    for size in (1, 10**9):
        monkeypatch.setattr(host, "CHUNK_BYTES", size)
        torch.testing.assert_close(call(case, "cpu")(*args), call(case, "reference")(*args))
        torch.testing.assert_close(gradients(call(case, "cpu"), args, grad_out), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("make_call", [call, call_basis])
def test_half_precision_is_computed_in_float32(dtype, make_call):
    case = FourierCase((4, 3, 3, 3))
    args = case.make(dtype)
    if make_call is call_basis:
        args[0] = case.basis(args[0].float()).to(dtype)
    actual = make_call(case, "cpu")(*args)
    truth = make_call(case, "reference")(*(arg.double() for arg in args))
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.double(), truth, rtol=torch.finfo(dtype).eps, atol=1e-3)
    grads = gradients(make_call(case, "cpu"), args, torch.ones_like(actual))
    assert {grad.dtype for grad in grads} == {dtype}


def test_extreme_logits_saturate_and_nan_stays_nan():
    case = FourierCase((2, 3, 1, 1), batch=3, kernel_num=2, width=1, factors=("local",))
    spectrum, attention, local_input, local_filter = case.make(torch.float32)
    local_filter.fill_(1)
    local_input[0], local_input[1], local_input[2] = 1e4, -1e4, float("nan")
    out = call(case, "cpu")(spectrum, attention, local_input, local_filter)
    plain = call(FourierCase((2, 3, 1, 1), batch=3, kernel_num=2, factors=()), "reference")(
        spectrum, attention
    )
    torch.testing.assert_close(out[0], 2 * plain[0])
    assert out[1].abs().max() < 1e-30
    assert out[2].isnan().all()
    spectrum[0, 0, 0, 0] = float("nan")
    assert call(case, "cpu")(spectrum, attention, local_input, local_filter).isnan().all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    taps=st.tuples(st.sampled_from([1, 2, 3, 5, 7]), st.sampled_from([1, 3, 5])),
    outputs=st.integers(1, 9),
    inputs=st.integers(1, 19),
    groups=st.sampled_from([1, 1, 2, 3]),
    batch=st.integers(1, 4),
    copies=st.integers(1, 2),
    kernel_num=st.integers(1, 20),
    width=st.sampled_from([1, 3, 5, 7, 9]),
)
def test_any_shape(taps, outputs, inputs, groups, batch, copies, kernel_num, width):
    shape = (outputs * groups, inputs, *taps)
    cells = outputs * groups * taps[0] * (inputs * taps[1] // 2 + 1)
    kernel_num = min(kernel_num, cells)
    case = FourierCase(shape, batch, kernel_num, copies, groups, width)
    args = case.make(torch.float64)
    expected = call(case, "reference")(*args)
    torch.testing.assert_close(call(case, "cpu")(*args), expected)
    own = [case.basis(args[0]), *args[1:]]
    torch.testing.assert_close(call_basis(case, "cpu")(*own), expected)
    grad_out = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    for make_call, tensors in ((call, args), (call_basis, own)):
        torch.testing.assert_close(
            gradients(make_call(case, "cpu"), tensors, grad_out),
            gradients(make_call(case, "reference"), tensors, grad_out),
        )
