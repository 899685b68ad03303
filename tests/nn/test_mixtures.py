"""CondConv, DY-Conv, DyNet, ODConv and WeightNet against their definitions, and timm."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from timm.layers import CondConv2d as TimmCondConv2d

from repro.nn import CondConv2d, DYConv2d, DyNet2d, ODConv2d, WeightNet2d


def features(*size: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(*size, dtype=torch.float64)


@pytest.mark.parametrize("groups", [1, 2])
def test_condconv_is_timms(groups):
    layer = CondConv2d(4, 6, 3, 2, 1, groups=groups, experts=3).double()
    oracle = TimmCondConv2d(4, 6, 3, 2, padding=1, groups=groups, bias=True, num_experts=3).double()
    layer.bias.data.normal_()
    oracle.weight.data.copy_(layer.weight.flatten(1))
    oracle.bias.data.copy_(layer.bias)
    x = features(2, 4, 5, 7)
    routing = torch.sigmoid(x.mean((2, 3)) @ layer.route.weight.T + layer.route.bias)
    torch.testing.assert_close(layer(x), oracle(x, routing))


def test_dyconv_sums_kernels_and_biases_by_softmax():
    layer = DYConv2d(4, 5, 3, 1, 1, kernels=3, temperature=2.0).double()
    layer.bias.data.normal_()
    x = features(2, 4, 4, 3)
    first, _, second = layer.attention
    for n in range(2):
        hidden = F.relu(first.weight @ x[n].mean((1, 2)) + first.bias)
        scores = ((second.weight @ hidden + second.bias) / 2.0).exp()
        kernel = sum(scores[k] / scores.sum() * layer.weight[k] for k in range(3))
        bias = sum(scores[k] / scores.sum() * layer.bias[k] for k in range(3))
        expected = F.conv2d(x[n : n + 1], kernel, bias, padding=1)
        torch.testing.assert_close(layer(x)[n : n + 1], expected)


def test_dynet_fuses_outputs_as_it_fuses_kernels():
    # Eq. 2 of the paper: the sum of the fixed kernels' outputs, each with its coefficient.
    layer = DyNet2d(4, 5, 3, 2, 1, kernels=3, bias=False).double()
    x = features(2, 4, 5, 6)
    coefficients = layer.predict(x.mean((2, 3))).sigmoid().reshape(2, 3, 5)
    outputs = [F.conv2d(x, layer.weight[i], None, 2, 1) for i in range(3)]
    expected = sum(coefficients[:, i, :, None, None] * outputs[i] for i in range(3))
    torch.testing.assert_close(layer(x), expected)


def test_odconv_multiplies_four_attentions_into_every_kernel():
    layer = ODConv2d(4, 5, 3, 1, 1, kernels=3, temperature=1.5).double().eval()
    layer.bias.data.normal_()
    x = features(1, 4, 4, 3)
    pooled = layer.trunk(x.mean((2, 3)))[0]
    gates = {
        name: ((head.weight @ pooled + head.bias) / 1.5).sigmoid()
        for name, head in layer.named_children()
        if name in ("channel", "filter", "spatial")
    }
    scores = ((layer.kernel.weight @ pooled + layer.kernel.bias) / 1.5).exp()
    kernel = torch.zeros(5, 4, 3, 3, dtype=torch.float64)
    for i, o, c, u, v in itertools.product(range(3), range(5), range(4), range(3), range(3)):
        attention = scores[i] / scores.sum() * gates["filter"][o] * gates["channel"][c]
        kernel[o, c, u, v] += attention * gates["spatial"][3 * u + v] * layer.weight[i, o, c, u, v]
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel, layer.bias, padding=1))


def test_odconv_leaves_out_attentions_that_have_one_element():
    plain, pointwise = ODConv2d(4, 6, 3), ODConv2d(4, 6, 1)
    alone, depthwise = ODConv2d(4, 6, 3, kernels=1), ODConv2d(4, 4, 3, groups=4)
    parts = ("channel", "filter", "spatial", "kernel")
    assert all(getattr(plain, part) is not None for part in parts)
    assert pointwise.spatial is None
    assert alone.kernel is None
    assert depthwise.filter is None


@pytest.mark.parametrize(("gates", "gate_groups"), [(2, 2), (2, 1), (4, 2)])
def test_weightnet_makes_each_value_from_the_gates_of_its_group(gates, gate_groups):
    layer = WeightNet2d(4, 6, 3, 1, 1, gates=gates, gate_groups=gate_groups, bias=False).double()
    x = features(2, 4, 4, 5)
    gate = layer.gate(layer.squeeze(x.mean((2, 3)))).sigmoid()  # (2, gates * 6)
    per_group, groups = gates // gate_groups, gate_groups * 6
    values = 6 * 4 * 9 // groups
    for n in range(2):
        kernel = torch.zeros(6 * 4 * 9, dtype=torch.float64)
        for g, o, i in itertools.product(range(groups), range(values), range(per_group)):
            kernel[g * values + o] += layer.weight[g, o, i] * gate[n, g * per_group + i]
        expected = F.conv2d(x[n : n + 1], kernel.reshape(6, 4, 3, 3), padding=1)
        torch.testing.assert_close(layer(x)[n : n + 1], expected)


def test_depthwise_weightnet_has_one_gate_a_channel():
    layer = WeightNet2d(4, 4, 3, padding=1, groups=4, bias=False).double()
    x = features(1, 4, 5, 5)
    gate = layer.gate(layer.squeeze(x.mean((2, 3)))).sigmoid()[0]
    kernel = gate[:, None, None, None] * layer.weight.reshape(4, 1, 3, 3)
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel, padding=1, groups=4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gates": 3}, "gate_groups must divide gates=3 and the 36 values of a filter, got 2"),
        ({"gates": 10, "gate_groups": 5}, "the 36 values of a filter, got 5"),
        ({"gates": 0}, "gates must be at least 1, got 0"),
        ({"groups": 2}, "groups must be 1 or the channel count, got 2 for 4 inputs"),
    ],
)
def test_weightnet_refuses_groups_that_do_not_divide(options, message):
    with pytest.raises(ValueError, match=message):
        WeightNet2d(4, 6, 3, **options)
