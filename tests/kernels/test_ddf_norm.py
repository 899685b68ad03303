"""ddf(..., norm_scale=): filters standardised by the operation, against FilterNorm before it."""

from __future__ import annotations

import math
import re

import pytest
import torch
from accuracy import assert_as_accurate
from cases import DDF_CASES, TINY_CASES, DDFCase

from repro.nn import FilterNorm
from repro.ops import ddf, ddf_up
from repro.ops.reference.filter_norm import standardise

SCALE = math.sqrt(2) / 3
CASES = [case for case in DDF_CASES if case.kernel_size > 1]
TINY = [case for case in TINY_CASES if case.kernel_size > 1]


def gradients(args, grad_out, **options):
    args = [arg.detach().requires_grad_() for arg in args]
    return torch.autograd.grad(ddf(*args, **options), args, grad_out)


@pytest.mark.parametrize("case", TINY, ids=str)
@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_it_is_filter_norm_and_then_ddf(case, name):
    x, channel_filter, spatial_filter = case.make(torch.float64)
    norm = FilterNorm(1, case.kernel_size, "spatial")
    expected = ddf(x, channel_filter, norm(spatial_filter), **case.options)
    actual = ddf(
        x, channel_filter, spatial_filter, norm_scale=norm.base_scale, backend=name, **case.options
    )
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_output_and_gradients_are_as_accurate_as_pytorchs(case, dtype, backend):
    args = case.make(dtype, backend)
    options = {"norm_scale": SCALE, **case.options}
    results = []
    for name, tensors in (
        (backend, args),
        ("reference", args),
        ("reference", [arg.double() for arg in args]),
    ):
        out = ddf(*tensors, backend=name, **options)
        grad_out = torch.linspace(-1, 1, out.numel(), dtype=torch.float64, device=backend)
        grad_out = grad_out.reshape(out.shape).to(out.dtype)
        results.append([out, *gradients(tensors, grad_out, backend=name, **options)])
    taps, pixels_out = case.kernel_size**2, results[0][0][0, :1].numel() if args[0].numel() else 1
    # The gradient of a spatial filter sums over the channels, then over the taps.
    terms = (taps, taps, pixels_out, max(1, case.shape[1]) * taps)
    for *values, count in zip(*results, terms, strict=True):
        assert_as_accurate(*values, terms=count)


@pytest.mark.parametrize("case", TINY, ids=str)
def test_gradcheck(case, backend):
    args = [arg.requires_grad_() for arg in case.make(torch.float64, backend)]
    assert torch.autograd.gradcheck(
        lambda *a: ddf(*a, backend=backend, norm_scale=SCALE, **case.options), args
    )


def test_gradgradcheck_of_the_reference():
    args = [arg.requires_grad_() for arg in DDFCase((1, 2, 3, 4)).make(torch.float64)]
    assert torch.autograd.gradgradcheck(
        lambda *a: ddf(*a, backend="reference", norm_scale=SCALE), args
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("spread", [0.0, 1e-12, 1e-4, 1e12])
def test_filters_of_any_spread_have_the_references_gradients(spread, dtype, backend):
    x, channel_filter, spatial_filter = DDFCase((1, 2, 5, 18)).make(dtype, backend)
    spatial_filter[:, :, 2] *= spread  # around 0, where a small spread survives rounding
    args = (x, channel_filter, spatial_filter)
    expected = gradients(args, x, norm_scale=SCALE, backend="reference")
    actual = gradients(args, x, norm_scale=SCALE, backend=backend)
    for one, other in zip(actual, expected, strict=True):
        assert other.isfinite().all()
        torch.testing.assert_close(
            one, other, rtol=1e-4 if dtype == torch.float32 else 1e-7, atol=0
        )


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_spoils_its_own_pixel_only(bad, backend):
    args = DDFCase((2, 3, 6, 7)).make(torch.float64, backend)
    args[2][1, 4, 2, 3] = bad
    out = ddf(*args, norm_scale=SCALE, backend=backend)
    touched = torch.zeros_like(out, dtype=torch.bool)
    touched[1, :, 2, 3] = True
    assert torch.equal(out.isnan(), touched)
    results = [
        gradients(args, args[0], norm_scale=SCALE, backend=b) for b in (backend, "reference")
    ]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_normalised_in_float32(dtype, backend):
    case = DDFCase((2, 3, 9, 8))
    x, channel_filter, spatial_filter = case.make(dtype, backend)
    args = (x, channel_filter, 300 * spatial_filter)  # whose squares overflow float16
    truth = ddf(*(arg.double() for arg in args), backend="reference", norm_scale=SCALE)
    actual = ddf(*args, backend=backend, norm_scale=SCALE)
    reference = ddf(*args, backend="reference", norm_scale=SCALE)
    assert_as_accurate(actual, reference, truth, terms=9)
    grads = gradients(args, torch.ones_like(x), norm_scale=SCALE, backend=backend)
    assert [grad.dtype for grad in grads] == [dtype] * 3
    assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_the_result_goes_to_given_memory(name):
    args = DDFCase((2, 5, 9, 8)).make(torch.float64)
    out = torch.full_like(args[0], float("nan"))
    assert ddf(*args, out=out, norm_scale=SCALE, backend=name) is out
    assert torch.equal(out, ddf(*args, norm_scale=SCALE, backend=name))


def test_the_number_of_threads_changes_no_bit():
    args = DDFCase((2, 33, 40, 40)).make(torch.float32)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            grads = gradients(args, args[0], norm_scale=SCALE)
            runs.append([ddf(*args, norm_scale=SCALE), *grads])
    finally:
        torch.set_num_threads(threads)
    assert [torch.equal(one, other) for one, other in zip(*runs, strict=True)] == [True] * 4


def test_what_is_given_is_not_written_to():
    args = DDFCase((2, 3, 9, 7)).make(torch.float32)
    kept = [arg.clone() for arg in args]
    gradients(args, args[0], norm_scale=SCALE)
    assert all(torch.equal(one, other) for one, other in zip(args, kept, strict=True))


@pytest.mark.parametrize("s", [1, 2, 3])
def test_ddf_up_normalises_every_sub_pixels_filter(s, backend):
    shapes = [(2, 3, 5, 4), (2, 3, s * s, 3, 3), (2, s * s, 9, 5, 4)]
    args = [torch.randn(shape, dtype=torch.float64, device=backend) for shape in shapes]
    args = [arg.requires_grad_() for arg in args]
    given = (args[0], args[1], standardise(args[2], SCALE, 2))
    expected = ddf_up(*given, s, backend="reference")
    grad_out = torch.randn_like(expected)
    expected_grads = torch.autograd.grad(expected, args, grad_out)
    for name in (backend, "reference"):
        actual = ddf_up(*args, s, norm_scale=SCALE, backend=name)
        torch.testing.assert_close(actual, expected)
        grads = torch.autograd.grad(actual, args, grad_out)
        torch.testing.assert_close(grads, expected_grads)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_opcheck(backend):
    args = [arg.requires_grad_() for arg in DDFCase((2, 3, 7, 5)).make(torch.float64, backend)]
    options = (1, 1, "mul", SCALE)
    torch.library.opcheck(torch.ops.repro.ddf.default, (*args, *options))
    plain = [arg.detach() for arg in args]
    grad_out = torch.randn_like(plain[0])
    torch.library.opcheck(torch.ops.repro.ddf_backward.default, (grad_out, *plain, *options))
    out = {"out": torch.zeros_like(plain[0])}
    torch.library.opcheck(torch.ops.repro.ddf_out.default, (*plain, *options), out)
    up = [args[0], args[1].detach()[:, :, None], args[2].detach()[:, None]]
    torch.library.opcheck(torch.ops.repro.ddf_up.default, (*up, *options))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own warnings differ from version to version
def test_torch_compile_makes_one_graph(backend):
    def loss(*args):
        return ddf(*args, norm_scale=SCALE).sin().sum()

    args = [arg.requires_grad_() for arg in DDFCase((2, 3, 7, 5)).make(torch.float64, backend)]
    compiled, expected = torch.compile(loss, fullgraph=True)(*args), loss(*args)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(
        torch.autograd.grad(compiled, args), torch.autograd.grad(expected, args)
    )


def test_autocast_computes_in_the_dtype_of_convolutions():
    args = DDFCase((2, 4, 7, 7)).make(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ddf(*args, norm_scale=SCALE)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), ddf(*args, norm_scale=SCALE), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("norm_scale", "kernel_size", "error", "message"),
    [
        ("2", 3, TypeError, "norm_scale must be a float or None, got str '2'"),
        (True, 3, TypeError, "norm_scale must be a float or None, got bool True"),
        (0.0, 3, ValueError, "norm_scale must be positive and finite, got 0.0"),
        (-1, 3, ValueError, "norm_scale must be positive and finite, got -1"),
        (float("nan"), 3, ValueError, "norm_scale must be positive and finite, got nan"),
        (float("inf"), 3, ValueError, "norm_scale must be positive and finite, got inf"),
        (1.0, 1, ValueError, "norm_scale needs filters of 3 x 3 taps at least, got 1 x 1"),
    ],
)
def test_bad_scales_are_refused(norm_scale, kernel_size, error, message):
    x, channel_filter, spatial_filter = DDFCase((1, 2, 4, 4), kernel_size).make(torch.float32)
    with pytest.raises(error, match=re.escape(message)):
        ddf(x, channel_filter, spatial_filter, norm_scale=norm_scale)
    with pytest.raises(error, match=re.escape(message)):
        ddf_up(x, channel_filter[:, :, None], spatial_filter[:, None], 1, norm_scale=norm_scale)
