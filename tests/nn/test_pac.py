"""Pixel-adaptive convolution against nested loops and against the convolution it contains."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from repro.nn import PAC
from repro.ops.pac import pac, pac_kernel


def test_output_is_the_definition():
    x, guidance = torch.randn(1, 2, 4, 3).double(), torch.randn(1, 3, 4, 3).double()
    weight, bias = torch.randn(2, 2, 3, 3).double(), torch.randn(2).double()
    expected = bias.view(1, 2, 1, 1).repeat(1, 1, 4, 3)
    taps = itertools.product(range(2), range(4), range(3), range(3), range(3), range(2))
    for o, h, w, u, v, c in taps:
        hi, wi = h + u - 1, w + v - 1
        if 0 <= hi < 4 and 0 <= wi < 3:
            distance = (guidance[0, :, h, w] - guidance[0, :, hi, wi]).square().sum()
            expected[0, o, h, w] += math.exp(-distance / 2) * weight[o, c, u, v] * x[0, c, hi, wi]
    torch.testing.assert_close(pac(x, guidance, weight, bias), expected)


@pytest.mark.parametrize("rows_per_chunk", [None, 1, 2, 100])
@pytest.mark.parametrize(("stride", "dilation", "K"), [(1, 1, 3), (2, 1, 5), (3, 2, 3)])
def test_constant_guidance_leaves_a_convolution(stride, dilation, K, rows_per_chunk):
    x, weight = torch.randn(2, 3, 7, 9).double(), torch.randn(4, 3, K, K).double()
    guidance = torch.full((2, 1, 7, 9), 5.0).double()
    out = pac(x, guidance, weight, stride=stride, dilation=dilation, rows_per_chunk=rows_per_chunk)
    expected = F.conv2d(x, weight, None, stride, dilation * (K // 2), dilation)
    torch.testing.assert_close(out, expected)


def test_chunks_change_nothing():
    x, weight = torch.randn(2, 3, 7, 5), torch.randn(4, 3, 3, 3)
    torch.testing.assert_close(pac(x, x, weight, rows_per_chunk=2), pac(x, x, weight))


def test_kernel_is_one_at_the_centre_and_at_most_one_elsewhere():
    kernel = pac_kernel(torch.randn(2, 3, 5, 6), 3, stride=2)
    assert kernel.shape == (2, 9, 3, 3)
    assert torch.equal(kernel[:, 4], torch.ones(2, 3, 3))
    assert kernel.max() <= 1
    assert kernel.min() > 0


def test_gradients():
    x, guidance = torch.randn(1, 2, 4, 3).double(), torch.randn(1, 2, 4, 3).double()
    weight = torch.randn(2, 2, 3, 3).double()
    inputs = [tensor.requires_grad_() for tensor in (x, guidance, weight)]
    assert torch.autograd.gradcheck(pac, inputs)


def test_layer_starts_as_a_convolution_and_guides_itself():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 4, 3, padding=1)
    torch.manual_seed(0)
    layer = PAC(3, 4)
    assert torch.equal(layer.weight, conv.weight)
    assert torch.equal(layer.bias, conv.bias)
    x = torch.randn(1, 3, 5, 6)
    torch.testing.assert_close(layer(x, torch.zeros(1, 1, 5, 6)), conv(x))
    assert torch.equal(layer(x), layer(x, x))
    assert PAC(3, 4, stride=2, bias=False)(x).shape == (1, 4, 3, 3)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 2, 4, 4), (1, 2, 4, 5), (3, 2, 3, 3)), r"guidance must be \(1, G, 4, 4\)"),
        (((1, 2, 4, 4), (1, 2, 4, 4), (3, 1, 3, 3)), r"weight must be \(C_out, 2, K, K\)"),
        (((1, 2, 4, 4), (1, 2, 4, 4), (3, 2, 2, 2)), "K odd"),
        (((2, 4, 4), (1, 2, 4, 4), (3, 2, 3, 3)), "x must have 4 dimensions"),
    ],
)
def test_shapes_that_disagree_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        pac(*(torch.zeros(shape) for shape in shapes))


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd and at least 1, got 2"):
        PAC(2, 2, 2)
    with pytest.raises(ValueError, match="kernel_size must be odd and at least 1, got 2"):
        pac_kernel(torch.zeros(1, 1, 3, 3), 2)
