"""Adaptive convolutional kernels against nested loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from repro.nn import AdaptiveConv2d


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_each_pixels_kernel_is_made_from_its_own_patch(stride, dilation):
    torch.manual_seed(0)
    layer = AdaptiveConv2d(2, 2, 3, stride, dilation, dilation, bias=False).double()
    H, W = 4, 5
    x = torch.randn(1, 2, H, W, dtype=torch.float64)
    static = layer.make.weight.detach().reshape(2, 9, 3, 3)
    padded = F.pad(x, [dilation] * 4)[0]
    rows, columns = range(-(-H // stride)), range(-(-W // stride))
    expected = torch.zeros(1, 2, len(rows), len(columns), dtype=torch.float64)
    for c, h, w in itertools.product(range(2), rows, columns):
        patch = torch.stack(
            [
                padded[c, h * stride + u * dilation, w * stride + v * dilation]
                for u, v in itertools.product(range(3), range(3))
            ]
        )
        for tap in range(9):
            value = math.tanh(static[c, tap].flatten() @ patch)
            expected[0, c, h, w] += value * patch[tap]
    torch.testing.assert_close(layer(x), expected)


def test_a_pointwise_convolution_follows_where_channels_change():
    torch.manual_seed(0)
    narrow, wide = AdaptiveConv2d(3, 3, 3, bias=False), AdaptiveConv2d(3, 5, 3)
    assert narrow.pointwise is None
    wide.make.load_state_dict(narrow.make.state_dict())
    wide.bias.data.normal_()
    x = torch.randn(2, 3, 5, 6)
    expected = F.conv2d(narrow(x), wide.pointwise.weight, wide.bias)
    torch.testing.assert_close(wide(x), expected)


def test_a_channel_has_k_to_the_fourth_weights():
    assert sum(p.numel() for p in AdaptiveConv2d(4, 4, 3, bias=False).parameters()) == 4 * 81


def test_groups_are_refused():
    with pytest.raises(ValueError, match="groups must be 1, channels are kept apart already"):
        AdaptiveConv2d(4, 6, 3, groups=2)
