"""The CPU kernels on shapes that hypothesis thinks of, in the flat form and in the tile form.

In float64, whose kernels other tests compile too; test_ddf.py tries float32.
"""

from __future__ import annotations

import pytest
import torch
from accuracy import assert_as_accurate
from cases import DDFCase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repro.ops import ddf
from repro.ops.cpu import plan

pytestmark = pytest.mark.slow

FUZZ = settings(
    max_examples=60,
    deadline=None,  # the first example compiles the kernels
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def cases(draw: st.DrawFn, strides: st.SearchStrategy[int]) -> DDFCase:
    """Sizes around the vectors' (8 and 16 values) and the groups' (4 channels), and far from it."""
    side = st.one_of(st.integers(1, 12), st.sampled_from([15, 16, 17, 31, 33]))
    return DDFCase(
        shape=(draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(side), draw(side)),
        kernel_size=draw(st.sampled_from([1, 3, 5, 7, 9])),
        stride=draw(strides),
        dilation=draw(st.integers(1, 3)),
        kernel_combine=draw(st.sampled_from(["mul", "add"])),
        contiguous=draw(st.booleans()),
    )


block_bytes = st.sampled_from([1, 2000, plan.BLOCK_BYTES])


def results(args, grad_out, **options):
    """The output and its three gradients."""
    args = [arg.detach().requires_grad_() for arg in args]
    out = ddf(*args, **options)
    return [out.detach(), *torch.autograd.grad(out, args, grad_out)]


def check(case: DDFCase, bytes_of_block: int) -> None:
    args = case.make(torch.float64)
    grad_out = torch.randn_like(ddf(*args, backend="reference", **case.options))
    usual = plan.BLOCK_BYTES
    plan.BLOCK_BYTES = bytes_of_block
    plan.plan.cache_clear()
    try:
        actual = results(args, grad_out, backend="cpu", **case.options)
    finally:
        plan.BLOCK_BYTES = usual
        plan.plan.cache_clear()
    truth = results(args, grad_out, backend="reference", **case.options)
    taps = case.kernel_size**2
    terms = (taps, taps, grad_out.shape[2] * grad_out.shape[3], case.shape[1])
    for one, other, count in zip(actual, truth, terms, strict=True):
        assert_as_accurate(one, other, other, terms=count)


@FUZZ
@given(cases(st.just(1)), block_bytes)
def test_the_flat_form_is_as_accurate_as_pytorch(case, bytes_of_block):
    check(case, bytes_of_block)


@FUZZ
@given(cases(st.integers(2, 4)), block_bytes)
def test_the_tile_form_is_as_accurate_as_pytorch(case, bytes_of_block):
    check(case, bytes_of_block)


@FUZZ
@given(cases(st.integers(1, 2)))
def test_one_thread_and_two_agree_to_the_bit(case):
    args = case.make(torch.float64)
    grad_out = torch.randn_like(ddf(*args, **case.options))
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            runs.append(results(args, grad_out, backend="cpu", **case.options))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)


@FUZZ
@given(cases(st.integers(1, 2)), st.data())
def test_a_nan_reaches_what_it_touches_and_nothing_else(case, data):
    args = case.make(torch.float64)
    which = data.draw(st.sampled_from(args))
    place = tuple(data.draw(st.integers(0, size - 1)) for size in which.shape)
    which[place] = float("nan")
    actual = ddf(*args, backend="cpu", **case.options)
    expected = ddf(*args, backend="reference", **case.options)
    torch.testing.assert_close(actual, expected, equal_nan=True)
