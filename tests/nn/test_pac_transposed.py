"""Transposed PAC against nested loops, zero insertion, and the transposed convolution in it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from repro.nn import PACTransposed
from repro.ops.pac import pac, pac_transposed


def by_loops(x, guidance, weight, stride, normalise):
    """Every output pixel from every sample that its filter reaches."""
    (_, C_out, K, _), (_, _, H, W) = weight.shape, x.shape
    _, _, H_out, W_out = guidance.shape
    out = torch.zeros(1, C_out, H_out, W_out, dtype=x.dtype)
    for h, w in itertools.product(range(H_out), range(W_out)):
        total, value = 0.0, torch.zeros(C_out, dtype=x.dtype)
        for hi, wi in itertools.product(range(H), range(W)):
            u, v = h - stride * hi + K // 2, w - stride * wi + K // 2
            if 0 <= u < K and 0 <= v < K:
                there = guidance[0, :, stride * hi, stride * wi]
                likeness = math.exp(-(guidance[0, :, h, w] - there).square().sum() / 2)
                total += likeness
                value += likeness * (weight[:, :, u, v] * x[0, :, hi, wi, None]).sum(0)
        out[0, :, h, w] = value / total if normalise and total else value
    return out


CASES = [(2, 5, (6, 8)), (2, 5, (5, 7)), (2, 3, (6, 8)), (1, 3, (3, 4)), (3, 3, (9, 11))]


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(("stride", "K", "size"), CASES)
def test_output_is_the_definition(stride, K, size, normalise):
    x, weight = torch.randn(1, 2, 3, 4).double(), torch.randn(2, 3, K, K).double()
    guidance = torch.randn(1, 2, *size).double()
    out = pac_transposed(x, guidance, weight, stride=stride, normalise=normalise)
    torch.testing.assert_close(out, by_loops(x, guidance, weight, stride, normalise))


@pytest.mark.parametrize(("stride", "K", "size"), [*CASES, (3, 7, (7, 12)), (4, 5, (12, 14))])
def test_constant_guidance_leaves_a_transposed_convolution(stride, K, size):
    x, weight = torch.randn(2, 3, 3, 4).double(), torch.randn(3, 4, K, K).double()
    bias, guidance = torch.randn(4).double(), torch.full((2, 1, *size), 5.0).double()
    out = pac_transposed(x, guidance, weight, bias, stride=stride)
    least = [stride * (low - 1) + 1 for low in (3, 4)]
    padding = [high - low for high, low in zip(size, least, strict=True)]
    expected = F.conv_transpose2d(x, weight, bias, stride, K // 2, padding)
    torch.testing.assert_close(out, expected)


def test_inserting_zeros_gives_the_same():
    x, weight = torch.randn(2, 3, 4, 5).double(), torch.randn(3, 4, 5, 5).double()
    guidance = torch.randn(2, 2, 8, 10).double()
    spread = torch.zeros(2, 3, 8, 10).double()
    spread[:, :, ::2, ::2] = x
    turned = weight.transpose(0, 1).flip(2, 3)
    torch.testing.assert_close(pac_transposed(x, guidance, weight), pac(spread, guidance, turned))


def test_normalised_with_a_weight_of_ones_keeps_a_constant():
    guidance, weight = torch.randn(1, 3, 12, 9), torch.ones(1, 1, 5, 5)
    out = pac_transposed(torch.full((1, 1, 6, 5), 3.5), guidance, weight, normalise=True)
    torch.testing.assert_close(out, torch.full((1, 1, 12, 9), 3.5))


@pytest.mark.parametrize("normalise", [False, True])
def test_gradients(normalise):
    shapes = [(1, 2, 3, 2), (1, 2, 6, 4), (2, 2, 5, 5), (2,)]
    inputs = [torch.randn(shape).double().requires_grad_() for shape in shapes]
    assert torch.autograd.gradcheck(lambda *a: pac_transposed(*a, normalise=normalise), inputs)


def test_layer_starts_as_a_transposed_convolution():
    torch.manual_seed(0)
    conv = torch.nn.ConvTranspose2d(3, 4, 5, stride=2, padding=2, output_padding=1)
    torch.manual_seed(0)
    layer = PACTransposed(3, 4)
    x, guidance = torch.randn(1, 3, 5, 6), torch.zeros(1, 2, 10, 12)
    torch.testing.assert_close(layer(x, guidance), conv(x))
    assert PACTransposed(3, 4, bias=False, normalise=True)(x, guidance).shape == (1, 4, 10, 12)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 2, 4, 4), (1, 2, 8, 9), (2, 3, 5, 5)), r"guidance must be \(1, G, 8, 8\)"),
        (((1, 2, 4, 4), (1, 2, 6, 8), (2, 3, 5, 5)), r"got \(1, 2, 6, 8\)"),
        (((1, 2, 4, 4), (2, 2, 8, 8), (2, 3, 5, 5)), r"guidance must be \(1, G, 8, 8\)"),
        (((1, 2, 4, 4), (1, 2, 8, 8), (3, 2, 5, 5)), r"weight must be \(2, C_out, K, K\)"),
        (((1, 2, 4, 4), (1, 2, 8, 8), (2, 3, 4, 4)), "K odd"),
        (((1, 2, 4, 4), (1, 2, 8, 8), (2, 3, 1, 1)), "without a sample at stride 2"),
        (((2, 4, 4), (1, 2, 8, 8), (2, 3, 5, 5)), "x must have 4 dimensions"),
    ],
)
def test_shapes_that_disagree_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        pac_transposed(*(torch.zeros(shape) for shape in shapes))


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd and at least 1, got 4"):
        PACTransposed(2, 2, 4)
    with pytest.raises(ValueError, match="stride must be from 1 to kernel_size=3, got 4"):
        PACTransposed(2, 2, 3, stride=4)
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        pac_transposed(
            torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3), stride=0
        )
