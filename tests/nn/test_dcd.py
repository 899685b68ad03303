"""DCD against its equation: a scaled static kernel plus a low-rank dynamic one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from repro.nn import DCD2d, DCDClassifier
from repro.nn.dcd import hard_sigmoid2


def without_norms(layer):
    """Norms that pass their input on, exactly."""
    for name in ("q_norm", "phi_norm"):
        getattr(layer, name).eps = 0.0
    return layer.double().eval()


@pytest.mark.parametrize("stride", [1, 2])
def test_layer_is_one_convolution_with_the_decomposed_kernel(stride):
    torch.manual_seed(0)
    layer = without_norms(DCD2d(9, 5, 3, stride, 1, squeeze=3))
    x = torch.randn(2, 9, 6, 5, dtype=torch.float64)
    assert layer.rank == 3
    pooled = layer.trunk(x.mean((2, 3)))
    for n in range(2):
        scale = hard_sigmoid2(layer.scale.weight @ pooled[n])
        phi = (layer.phi.weight @ pooled[n]).reshape(3, 3) + torch.eye(3).double()
        p, q = layer.p.weight[:, :, 0, 0], layer.q.weight[:, :, 0, 0]
        kernel = scale[:, None, None, None] * layer.conv.weight
        kernel[:, :, 1, 1] += p @ phi @ q
        expected = F.conv2d(x[n : n + 1], kernel, layer.bias, stride, 1)
        torch.testing.assert_close(layer(x)[n : n + 1], expected)


def test_classifier_is_the_same_with_matrices():
    torch.manual_seed(0)
    layer = without_norms(DCDClassifier(6, 4, rank=3, hidden=5))
    x = torch.randn(2, 6, dtype=torch.float64)
    pooled = layer.trunk(x)
    for n in range(2):
        phi = (layer.phi.weight @ pooled[n]).reshape(3, 3) + torch.eye(3).double()
        scale = hard_sigmoid2(layer.scale.weight @ pooled[n])
        linear = layer.linear.weight @ x[n] + layer.linear.bias
        expected = scale * linear + layer.p.weight @ phi @ layer.q.weight @ x[n]
        torch.testing.assert_close(layer(x)[n], expected)


def test_hard_sigmoid_runs_from_zero_to_two():
    assert hard_sigmoid2(torch.tensor([-9.0, -3.0, 0.0, 3.0, 9.0])).tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2}, "groups must be 1, DCD defines no other, got 2"),
        ({"padding": 0}, r"padding must be dilation \* \(kernel_size - 1\) / 2 = 1, got 0"),
        ({"squeeze": 5}, "in_channels must be at least 5, got 4"),
        ({"squeeze": 0}, "squeeze must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DCD2d(4, 6, 3, **({"padding": 1, "squeeze": 2} | options))
