"""DDF: the reference against independent truths, the kernels against the reference."""

from __future__ import annotations

import pytest
import torch
from accuracy import assert_as_accurate
from cases import DDF_CASES, TINY_CASES, DDFCase

from repro.ops import ddf
from repro.ops.reference.ddf import ddf_backward_reference, ddf_unfold
from repro.ops.reference.loops import ddf_loops
from repro.ops.verify import compare, verify_ddf

DTYPES = [torch.float32, torch.float64]
SECOND_DERIVATIVE = 'call ddf with backend="reference"'


def gradients(function, args, grad_out):
    """Of all three tensors; zeros where nothing was computed."""
    args = [arg.detach().requires_grad_() for arg in args]
    return torch.autograd.grad(function(*args), args, grad_out)


@pytest.mark.parametrize("case", TINY_CASES, ids=str)
def test_reference_is_equation_2(case):
    args = case.make(torch.float64)
    expected = ddf_loops(*args, **case.options)
    torch.testing.assert_close(ddf(*args, backend="reference", **case.options), expected)


@pytest.mark.parametrize("case", [case for case in DDF_CASES if 0 not in case.shape], ids=str)
def test_reference_is_attention_over_the_unfolded_image(case):
    args = case.make(torch.float64)
    expected = ddf_unfold(*args, **case.options)
    torch.testing.assert_close(ddf(*args, backend="reference", **case.options), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_with_a_spatial_filter_of_ones_it_is_a_depthwise_convolution(stride, backend):
    case = DDFCase((1, 4, 9, 8), stride=stride)
    x, channel_filter, spatial_filter = case.make(torch.float64, backend)
    weight = channel_filter[0][:, None]
    expected = torch.nn.functional.conv2d(x, weight, stride=stride, padding=1, groups=4)
    actual = ddf(x, channel_filter, torch.ones_like(spatial_filter), stride=stride)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", DDF_CASES, ids=str)
def test_forward_is_as_accurate_as_pytorch(case, dtype, backend):
    args = case.make(dtype, backend)
    truth = ddf(*(arg.double() for arg in args), backend="reference", **case.options)
    actual = ddf(*args, backend=backend, **case.options)
    reference = ddf(*args, backend="reference", **case.options)
    assert_as_accurate(actual, reference, truth, terms=case.kernel_size**2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", DDF_CASES, ids=str)
def test_backward_is_as_accurate_as_pytorch(case, dtype, backend):
    args = case.make(dtype, backend)
    grad_out = torch.randn(ddf(*args, **case.options).shape, dtype=dtype, device=backend)
    actual, reference = (
        gradients(lambda *a, name=name: ddf(*a, backend=name, **case.options), args, grad_out)
        for name in (backend, "reference")
    )
    doubles = [arg.double() for arg in args]
    truth = gradients(
        lambda *a: ddf(*a, backend="reference", **case.options), doubles, grad_out.double()
    )
    pixels_out = grad_out.shape[2] * grad_out.shape[3]
    terms = (case.kernel_size**2, pixels_out, case.shape[1])
    for values in zip(actual, reference, truth, terms, strict=True):
        assert_as_accurate(*values[:3], terms=max(1, values[3]))


@pytest.mark.parametrize("case", DDF_CASES, ids=str)
def test_backward_reference_is_autograd_of_the_reference(case):
    args = case.make(torch.float64)
    out = ddf(*args, backend="reference", **case.options)
    grad_out = torch.randn_like(out)
    expected = gradients(lambda *a: ddf(*a, backend="reference", **case.options), args, grad_out)
    actual = ddf_backward_reference(grad_out, *args, *case.options.values())
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("case", TINY_CASES, ids=str)
def test_gradcheck(case, backend):
    args = [arg.requires_grad_() for arg in case.make(torch.float64, backend)]
    assert torch.autograd.gradcheck(lambda *a: ddf(*a, backend=backend, **case.options), args)


@pytest.mark.parametrize("case", TINY_CASES[:3] + TINY_CASES[5:7], ids=str)
def test_gradgradcheck_of_the_reference(case):
    args = [arg.requires_grad_() for arg in case.make(torch.float64)]
    assert torch.autograd.gradgradcheck(
        lambda *a: ddf(*a, backend="reference", **case.options), args
    )


def test_a_second_derivative_through_the_kernels_fails_loudly(backend):
    x, *filters = (
        arg.requires_grad_() for arg in DDFCase((1, 2, 4, 4)).make(torch.float64, backend)
    )
    (grad,) = torch.autograd.grad(ddf(x, *filters).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match=SECOND_DERIVATIVE):
        grad.sum().backward()


@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
def test_two_runs_agree_to_the_bit(kernel_combine, backend):
    case = DDFCase((2, 33, 40, 40), kernel_combine=kernel_combine)
    args = case.make(torch.float32, backend)
    grad_out = torch.randn_like(args[0])
    runs = [gradients(lambda *a: ddf(*a, **case.options), args, grad_out) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


def test_the_number_of_threads_changes_no_bit():
    case = DDFCase((2, 33, 40, 40))
    args = case.make(torch.float32)
    grad_out = torch.randn_like(args[0])
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            runs.append([ddf(*args), *gradients(ddf, args, grad_out)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*runs, strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
def test_a_value_that_is_not_finite_reaches_only_what_it_touches(
    bad, which, kernel_combine, backend
):
    case = DDFCase((2, 3, 8, 7), kernel_combine=kernel_combine)
    args = case.make(torch.float64, backend)
    args[which][1, 1, 0, 0] = bad  # x: a corner; the filters: a tap outside the image for some
    grad_out = torch.randn(case.shape, dtype=torch.float64, device=backend)
    results = [
        [
            ddf(*args, backend=name, **case.options),
            *gradients(lambda *a, name=name: ddf(*a, backend=name, **case.options), args, grad_out),
        ]
        for name in (backend, "reference")
    ]
    for actual, expected in zip(*results, strict=True):
        assert expected[0].isfinite().all()
        assert expected.isfinite().any()
        torch.testing.assert_close(actual, expected, equal_nan=True)


def test_nan_touches_the_outputs_around_it_and_no_other(backend):
    x, *filters = DDFCase((1, 2, 6, 6)).make(torch.float32, backend)
    x[0, 1, 0, 3] = float("nan")
    touched = torch.zeros(1, 2, 6, 6, dtype=torch.bool, device=backend)
    touched[0, 1, 0:2, 2:5] = True
    assert torch.equal(ddf(x, *filters, backend=backend).isnan(), touched)
    assert torch.equal(ddf(x, *filters, backend="reference").isnan(), touched)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_accumulated_in_float32(dtype, backend):
    case = DDFCase((2, 3, 9, 8))
    args = case.make(dtype, backend)
    truth = ddf(*(arg.double() for arg in args), backend="reference")
    actual = ddf(*args, backend=backend)
    assert actual.dtype == dtype
    rounded_once = (truth.abs() * torch.finfo(dtype).eps / 2).clamp(min=1e-6) * 1.01
    assert ((actual.double() - truth).abs() <= rounded_once).all()
    grads = gradients(lambda *a: ddf(*a, backend=backend), args, torch.ones_like(args[0]))
    assert [grad.dtype for grad in grads] == [dtype] * 3


def test_bfloat16_addition_of_zeros_changes_nothing(backend):
    x = torch.tensor([1.0, float("nan"), float("inf"), -0.0], device=backend).bfloat16()
    ones = torch.ones(1, 1, 1, 1, dtype=torch.bfloat16, device=backend)
    out = ddf(x.view(1, 1, 2, 2), ones, ones.expand(1, 1, 2, 2), backend=backend)
    assert torch.equal(out.flatten().nan_to_num(nan=9), x.nan_to_num(nan=9))


@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
def test_the_checks_that_readers_see_pass(kernel_combine):
    case = DDFCase((2, 3, 12, 11), stride=2, kernel_combine=kernel_combine)
    checks = verify_ddf(case.make(torch.float64), "case", backend="cpu", **case.options)
    assert len({check.id for check in checks}) == 4
    assert all(check.passed for check in checks), checks


def test_a_check_sees_an_error_and_a_nan():
    ones = torch.ones(4, dtype=torch.float64)
    assert compare("same", "", ones, ones, terms=1).passed
    assert not compare("other", "", ones + 1e-12, ones, terms=9).passed
    assert not compare("nan", "", ones * float("nan"), ones, terms=9).passed
