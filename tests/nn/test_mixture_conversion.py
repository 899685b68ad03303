"""CondConv, DY-Conv and ODConv start as the network they replace, and go back to it."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchvision
from torch import nn

from repro.models import build
from repro.nn import (
    CondConv2d,
    DYConv2d,
    KWConv2d,
    ODConv2d,
    anneal_temperature,
    is_in_residual_block,
    replace_convs,
    to_mixture,
    to_mixture_state_dict,
    to_plain_conv,
    to_static_state_dict,
)
from repro.nn.mixture_conversion import mixtures

LAYERS = {CondConv2d: {"experts": 3}, DYConv2d: {"kernels": 3}, ODConv2d: {"kernels": 3}}
NETWORKS = {
    "timm resnet18": lambda: timm.create_model("resnet18", num_classes=5),
    "torchvision resnet18": lambda: torchvision.models.resnet18(num_classes=5),
    "timm resnet50, small": lambda: build("resnet50", num_classes=5, size="small"),
}
CONVOLUTIONS = {
    "3x3": {"kernel_size": 3, "padding": 1, "stride": 2},
    "1x1": {"kernel_size": 1},
    "depth-wise": {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 8},
}
layers = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)


def assert_equal(actual, expected):
    """To 1e-5 of the largest value."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def used(make) -> nn.Module:
    """A network whose batch norms have seen images, and whose last ones are not at zero."""
    torch.manual_seed(0)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        net.train()(images())
    return net.eval()


def images() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 3, 48, 40)


def with_layers(net: nn.Module, layer) -> nn.Module:
    new = copy.deepcopy(net)
    replace_convs(new, lambda c: layer.from_conv(c, **LAYERS[layer]), is_in_residual_block)
    return new


@layers
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_starts_as_its_convolution_and_goes_back(layer, options, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, **options, bias=bias)
    new = to_mixture(conv, layer, **LAYERS[layer])
    x = torch.randn(2, 8, 9, 7)
    assert_equal(new(x), conv(x))
    anneal_temperature(new, 0.0)
    assert_equal(new(x), conv(x))
    back = to_plain_conv(new)
    assert_equal(back(x), conv(x))
    for name, value in conv.state_dict().items():
        assert_equal(back.state_dict()[name], value)
    assert (back.stride, back.padding, back.dilation, back.groups) == (
        conv.stride, conv.padding, conv.dilation, conv.groups,
    )  # fmt: skip


@layers
def test_its_kernels_do_not_stay_equal(layer):
    torch.manual_seed(0)
    new = to_mixture(nn.Conv2d(32, 6, 3), layer, **LAYERS[layer])
    assert (new.weight[0] - new.weight[1]).abs().max() > 0.01 * new.weight.std()
    new(torch.randn(2, 32, 5, 5)).square().sum().backward()
    scores = next(m for n, m in new.named_modules() if n in ("route", "attention.2", "kernel"))
    gradient = scores.weight.grad
    assert gradient.abs().max() > 0
    assert not torch.allclose(gradient[0], gradient[1]), "all would be raised and lowered together"
    equal = to_mixture(nn.Conv2d(4, 6, 3), layer, spread=0.0, **LAYERS[layer])
    assert torch.equal(equal.weight[0], equal.weight[1])


@layers
@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_pretrained_network_stays_one(layer, make):
    net = used(make)
    new = with_layers(net, layer)
    state = net.state_dict()
    new.load_state_dict(to_mixture_state_dict(state, new))
    assert mixtures(new)
    assert_equal(new.eval()(images()), net(images()))
    back = to_static_state_dict(new)
    assert list(back) == list(state)
    for name, value in state.items():
        torch.testing.assert_close(back[name], value, rtol=1e-5, atol=1e-6)


def test_our_networks_take_timms_weights():
    torch.manual_seed(0)
    plain = timm.create_model("resnet50", num_classes=5).eval()
    net = build("condconv8x_resnet50", num_classes=5).eval()
    net.load_state_dict(to_mixture_state_dict(plain.state_dict(), net))
    assert_equal(net(images()), plain(images()))


def test_what_does_not_fit_is_named():
    net = used(NETWORKS["timm resnet50, small"])
    new = with_layers(net, ODConv2d)
    state = net.state_dict()
    name = next(iter(mixtures(new))) + ".weight"
    with pytest.raises(KeyError, match=f"missing: {name}"):
        to_mixture_state_dict({k: v for k, v in state.items() if k != name}, new)
    with pytest.raises(ValueError, match=rf"{name} must be \(16, .*\), got \(2, 2, 1, 1\)"):
        to_mixture_state_dict({**state, name: torch.zeros(2, 2, 1, 1)}, new)
    with pytest.raises(KeyError, match="belonging to nothing: head"):
        to_mixture_state_dict({**state, "head": torch.zeros(1)}, new)
    bias = name.replace("weight", "bias")
    with pytest.raises(KeyError, match=f"belonging to nothing: {bias}"):
        to_mixture_state_dict({**state, bias: torch.zeros(16)}, new)


def test_other_layers_are_refused():
    with pytest.raises(TypeError, match=r"must be CondConv2d, DYConv2d or ODConv2d, got .*KW"):
        to_mixture(nn.Conv2d(4, 6, 3), KWConv2d)
    with pytest.raises(TypeError, match="got Conv2d"):
        to_plain_conv(nn.Conv2d(4, 6, 3))
    with pytest.raises(ValueError, match=r"spread must not be negative, got -0\.1"):
        to_mixture(nn.Conv2d(4, 6, 3), spread=-0.1)
