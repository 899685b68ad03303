"""Involution and CARAFE: their own definitions, and DDF with a constant channel filter."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from repro.complexity import count
from repro.nn import CARAFE, DDF, Involution
from repro.ops import ddf


def features(*size: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(*size, dtype=torch.float64)


@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 2), (1, 2, 4)])
def test_involution_is_its_definition(stride, dilation, groups):
    x = features(2, 4, 6, 8)
    layer = Involution(4, 3, stride, dilation, groups, squeeze=2).double().eval()
    kernel = layer.filters(x)
    H_out, W_out = kernel.shape[2:]
    kernel = kernel.reshape(2, groups, 3, 3, H_out, W_out)
    padded = F.pad(x, [dilation] * 4)
    expected = torch.zeros(2, 4, H_out, W_out, dtype=torch.float64)
    sizes = (range(4), range(H_out), range(W_out), range(3), range(3))
    for c, h, w, u, v in itertools.product(*sizes):
        seen = padded[:, c, h * stride + u * dilation, w * stride + v * dilation]
        expected[:, c, h, w] += kernel[:, c * groups // 4, u, v, h, w] * seen
    torch.testing.assert_close(layer(x), expected)


def test_involution_is_ddf_with_a_constant_channel_filter():
    x = features(2, 4, 6, 5)
    involution = Involution(4, 3, groups=2, squeeze=2).double().eval()
    layer = DDF(4, 3, heads=2, use_channel=False, norm="none").double()
    channel_filter, _ = layer.filters(x)
    assert torch.equal(channel_filter, torch.ones_like(channel_filter))
    # DDF, made to predict what involution predicts.
    layer.spatial_branch.forward = involution.filters
    torch.testing.assert_close(layer(x), involution(x))


def test_involution_takes_any_size_with_a_stride():
    assert Involution(4, 3, stride=2)(features(1, 4, 5, 7).float()).shape == (1, 4, 3, 4)


@pytest.mark.parametrize(("scale_factor", "kernel_size"), [(1, 3), (2, 3), (3, 5)])
def test_carafe_is_its_definition(scale_factor, kernel_size):
    x = features(2, 3, 4, 3)
    layer = CARAFE(3, scale_factor, kernel_size, mid_channels=4).double()
    nn.init.normal_(layer.encode.weight)  # filters far from their start, an average
    # The authors' way: shuffle the encoded taps to the output's size, then normalise.
    encoded = F.pixel_shuffle(layer.encode(layer.compress(x)), scale_factor)
    weights = encoded.softmax(1)  # (N, K*K, H * scale_factor, W * scale_factor)
    radius = kernel_size // 2
    padded = F.pad(x, [radius] * 4)
    expected = torch.zeros(2, 3, 4 * scale_factor, 3 * scale_factor, dtype=torch.float64)
    taps = itertools.product(
        range(4 * scale_factor), range(3 * scale_factor), range(kernel_size), range(kernel_size)
    )
    for h, w, u, v in taps:
        seen = padded[:, :, h // scale_factor + u, w // scale_factor + v]
        expected[:, :, h, w] += weights[:, u * kernel_size + v, None, h, w] * seen
    torch.testing.assert_close(layer(x), expected)


def test_carafe_is_one_ddf_a_sub_pixel_with_a_constant_channel_filter():
    x = features(1, 3, 4, 5)
    layer = CARAFE(3, 2, 3, mid_channels=4).double()
    nn.init.normal_(layer.encode.weight)  # filters far from their start, an average
    filters = layer.filters(x)
    torch.testing.assert_close(filters.sum(2), torch.ones_like(filters.sum(2)))
    ones = torch.ones(1, 3, 3, 3, dtype=torch.float64)
    for i, (row, column) in enumerate(itertools.product(range(2), range(2))):
        expected = ddf(x, ones, filters[:, i].contiguous(), backend="reference")
        torch.testing.assert_close(layer(x)[:, :, row::2, column::2], expected)


def test_carafe_costs_what_the_fact_sheet_computes():
    # Table 6: 2.14 G printed, 2.091 G computed, for the three maps of an FPN at 1280 x 800.
    layer = CARAFE(256)
    maps = [(1, 256, 25, 40), (1, 256, 50, 80), (1, 256, 100, 160)]
    total = sum(count(layer, size).macs for size in maps) / 1e9
    assert total == pytest.approx(2.091, rel=0.01)


@pytest.mark.parametrize("layer", [Involution(4, 3, groups=2, squeeze=2), CARAFE(4, 2, 3, 3, 2)])
def test_gradients_and_a_batch_of_one(layer):
    layer = layer.double().eval()
    x = features(1, 4, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), fast_mode=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Involution(4, 2), "kernel_size must be odd and at least 1, got 2"),
        (lambda: Involution(4, groups=3), "groups must divide in_channels=4, got 3"),
        (lambda: Involution(3), "in_channels must be at least 4, got 3"),
        (lambda: CARAFE(4, 0), "scale_factor must be at least 1, got 0"),
        (lambda: CARAFE(4, 2, 4), "kernel_size must be odd and at least 1, got 4"),
        (lambda: CARAFE(4, 2, 5, 2), "encoder_size must be odd and at least 1, got 2"),
        (lambda: CARAFE(4, mid_channels=0), "mid_channels must be at least 1, got 0"),
        (
            lambda: CARAFE(4)(torch.zeros(1, 3, 4, 4)),
            r"expected \(N, 4, H, W\), got \(1, 3, 4, 4\)",
        ),
        (lambda: Involution(4)(torch.zeros(1, 3, 4, 4)), r"expected \(N, 4, H, W\), got \(1, 3"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
