"""ddf(..., out=): results in memory that is there already, and what is refused."""

from __future__ import annotations

import pytest
import torch
from cases import TINY_CASES, DDFCase

from repro.ops import ddf

CASE = DDFCase((2, 5, 9, 8))


@pytest.mark.parametrize("case", TINY_CASES, ids=str)
@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_out_holds_the_result_and_is_returned(case, name):
    args = case.make(torch.float64)
    expected = ddf(*args, backend=name, **case.options)
    out = torch.full_like(expected, float("nan"))
    assert ddf(*args, backend=name, out=out, **case.options) is out
    assert torch.equal(out, expected)


@pytest.mark.gpu
def test_out_on_a_gpu():
    args = CASE.make(torch.float32, "cuda")
    out = torch.full_like(args[0], float("nan"))
    assert ddf(*args, out=out) is out
    assert torch.equal(out, ddf(*args))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_out_may_lie_in_memory_in_another_order(dtype):
    args = CASE.make(dtype)
    out = torch.zeros_like(args[0]).to(memory_format=torch.channels_last)
    ddf(*args, out=out)
    assert torch.equal(out, ddf(*args))


def test_out_may_share_a_buffer_with_x_where_they_do_not_overlap():
    x, *filters = CASE.make(torch.float32)
    buffer = torch.zeros(2 * x.numel())
    held = buffer[: x.numel()].view_as(x).copy_(x)
    out = buffer[x.numel() :].view_as(x)
    assert torch.equal(ddf(held, *filters, out=out), ddf(x, *filters))
    assert torch.equal(held, x)


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_out_must_not_overlap_what_is_read(name):
    x, channel_filter, spatial_filter = CASE.make(torch.float32)
    with pytest.raises(ValueError, match="out must not overlap x"):
        ddf(x, channel_filter, spatial_filter, out=x, backend=name)
    buffer = torch.zeros(x.numel() + 1)
    with pytest.raises(ValueError, match="out must not overlap x"):
        ddf(
            buffer[1:].view_as(x),
            channel_filter,
            spatial_filter,
            out=buffer[:-1].view_as(x),
            backend=name,
        )
    out = spatial_filter.flatten()[: x.numel()].view_as(x)
    with pytest.raises(ValueError, match="out must not overlap spatial_filter"):
        ddf(x, channel_filter, spatial_filter, out=out, backend=name)
    with pytest.raises(ValueError, match="memory for each value, got strides"):
        ddf(x, channel_filter, spatial_filter, out=torch.zeros(2, 5, 9, 1).expand(2, 5, 9, 8))


def test_out_must_be_of_the_result():
    args = CASE.make(torch.float32)
    with pytest.raises(ValueError, match=r"out must be \(2, 5, 9, 8\), got \(2, 5, 9, 7\)"):
        ddf(*args, out=torch.empty(2, 5, 9, 7))
    with pytest.raises(TypeError, match=r"out must be torch.float32 like x, got torch.float64"):
        ddf(*args, out=torch.empty(2, 5, 9, 8, dtype=torch.float64))
    with pytest.raises(ValueError, match="out must be on cpu like x, got meta"):
        ddf(*args, out=torch.empty(2, 5, 9, 8, device="meta"))


def test_out_is_refused_where_autograd_would_record():
    x, *filters = CASE.make(torch.float32)
    out = torch.empty_like(x)
    x.requires_grad_()
    with pytest.raises(ValueError, match="requires grad; call within"):
        ddf(x, *filters, out=out)
    with pytest.raises(ValueError, match="requires grad"):
        ddf(x.detach(), *filters, out=out.clone().requires_grad_())
    with torch.no_grad():
        assert torch.equal(ddf(x, *filters, out=out), ddf(x, *filters))


def test_opcheck_of_the_op():
    args = CASE.make(torch.float64)
    out = torch.zeros_like(args[0])
    torch.library.opcheck(torch.ops.repro.ddf_out.default, (*args, 1, 1, "mul"), {"out": out})
