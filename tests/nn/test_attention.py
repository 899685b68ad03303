"""BAM and attention-augmented convolution against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from repro.nn import BAM, AAConv2d


def test_bam_adds_its_branches_and_gates_the_residual():
    torch.manual_seed(0)
    layer = BAM(8, reduction=2, dilation=2).double().eval()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    squeeze, norm, _, excite = layer.channel
    hidden = F.relu(norm(x.mean((2, 3)) @ squeeze.weight.T + squeeze.bias))
    channel = hidden @ excite.weight.T + excite.bias
    spatial = x
    for conv, bn in ((0, 1), (3, 4), (6, 7)):
        size = layer.spatial[conv].kernel_size[0]
        weight, bias = layer.spatial[conv].weight, layer.spatial[conv].bias
        spatial = F.conv2d(spatial, weight, bias, padding=2 * (size // 2), dilation=2)
        spatial = F.relu(layer.spatial[bn](spatial))
    spatial = F.conv2d(spatial, layer.spatial[9].weight, layer.spatial[9].bias)
    assert spatial.shape == (2, 1, 5, 6)
    gate = 1 / (1 + (-(channel[:, :, None, None] + spatial)).exp())
    torch.testing.assert_close(layer(x), x + x * gate)


def test_bam_gradients_and_a_batch_of_one():
    layer = BAM(4, reduction=2).double()
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert layer(x).isfinite().all()
    assert torch.autograd.gradcheck(layer.eval(), (x,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4,), "in_channels must be at least 16, got 4"),
        ((4, 0), "reduction must be at least 1, got 0"),
        ((4, 2, 0), "dilation must be at least 1, got 0"),
    ],
)
def test_bam_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BAM(*arguments)
    with pytest.raises(ValueError, match=r"expected \(N, 4, H, W\), got \(1, 3, 4, 4\)"):
        BAM(4, 2)(torch.zeros(1, 3, 4, 4))


def attended_by_loops(layer: AAConv2d, mixed: torch.Tensor) -> torch.Tensor:
    """Relative self-attention of one sample, pixel by pixel."""
    keys, heads = layer.key_channels, layer.heads
    per_head, per_value = keys // heads, layer.value_channels // heads
    _, H, W = mixed.shape
    pixels = [(h, w) for h in range(H) for w in range(W)]
    out = torch.zeros(layer.value_channels, H, W, dtype=mixed.dtype)
    for head in range(heads):
        part = slice(head * per_head, (head + 1) * per_head)
        values = slice(head * per_value, (head + 1) * per_value)
        query, key = mixed[:keys][part], mixed[keys : 2 * keys][part]
        value = mixed[2 * keys :][values]
        for h, w in pixels:
            logits = []
            for i, j in pixels:
                row = layer.relative_rows[i - h + layer.max_size - 1]
                column = layer.relative_columns[j - w + layer.max_size - 1]
                logits.append(query[:, h, w] @ (key[:, i, j] + row + column))
            weights = (torch.stack(logits) / math.sqrt(per_head)).softmax(0)
            for weight, (i, j) in zip(weights, pixels, strict=True):
                out[values, h, w] += weight * value[:, i, j]
    return out


@pytest.mark.parametrize(("pool", "stride"), [(False, 1), (False, 2), (True, 1)])
def test_augmented_channels_are_relative_self_attention(pool, stride):
    torch.manual_seed(0)
    layer = AAConv2d(3, 8, 3, stride, 1, max_size=5, heads=2, value_ratio=0.5, pool=pool).double()
    layer.bias.data.normal_()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    convolved = F.conv2d(x, layer.conv.weight, None, stride, 1)
    seen = F.avg_pool2d(x, 2, ceil_mode=True) if pool else x
    mixed = F.conv2d(seen, layer.query_key_value.weight, None, stride)
    attended = F.conv2d(attended_by_loops(layer, mixed[0])[None], layer.project.weight)
    if pool:
        attended = F.interpolate(attended, convolved.shape[2:], mode="bilinear")
    expected = torch.cat([convolved, attended], 1) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("channels", "values"), [(128, 16), (256, 24), (512, 48)])
def test_augmented_widths_at_the_papers_sizes(channels, values):
    layer = AAConv2d(channels, channels, 3, padding=1, max_size=14)
    assert layer.value_channels == values
    assert layer.key_channels == 160


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2}, "groups must be 1, attention defines no other, got 2"),
        ({"padding": 0}, r"padding must be .* = 1, got 0"),
        ({"max_size": 0}, "max_size must be at least 1, got 0"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"key_ratio": 0}, "key_ratio must be positive, got 0"),
        ({"value_ratio": -0.1}, "value_ratio must be positive, got -0.1"),
        ({"heads": 8}, "attention would take 8 of 6 channels"),
    ],
)
def test_augmented_convolution_refuses_bad_arguments(options, message):
    settings = {"padding": 1, "max_size": 4, "heads": 2} | options
    with pytest.raises(ValueError, match=message):
        AAConv2d(4, 6, 3, **settings)


def test_augmented_convolution_refuses_a_larger_map():
    layer = AAConv2d(4, 6, 3, padding=1, max_size=4, heads=2)
    with pytest.raises(ValueError, match="map is 4 x 5, max_size=4 allows no more"):
        layer(torch.zeros(1, 4, 4, 5))
