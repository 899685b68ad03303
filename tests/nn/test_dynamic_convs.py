"""What every dynamic convolution promises: a Conv2d's shapes and arguments, samples kept apart."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from repro.nn import (
    AAConv2d,
    AdaptiveConv2d,
    CondConv2d,
    DCD2d,
    DYConv2d,
    DyNet2d,
    KWConv2d,
    ODConv2d,
    WeightNet2d,
    anneal_temperature,
)
from repro.nn.per_sample import PooledBatchNorm, convolve_per_sample

# Layer -> what it needs besides the arguments of a convolution.
LAYERS = {
    CondConv2d: {"experts": 3},
    DYConv2d: {"kernels": 3, "squeeze_ratio": 2.0},
    ODConv2d: {"kernels": 3},
    WeightNet2d: {},
    DyNet2d: {"kernels": 3},
    KWConv2d: {"budget": 2},
    AdaptiveConv2d: {},
    DCD2d: {"squeeze": 2},
    AAConv2d: {"max_size": 9, "heads": 2},
}
GROUPED = [CondConv2d, DYConv2d, ODConv2d, DyNet2d, KWConv2d, WeightNet2d]
ANNEALED = [DYConv2d, ODConv2d, KWConv2d]
layers = pytest.mark.parametrize("layer", LAYERS)


def make(layer, *arguments, **options):
    torch.manual_seed(0)
    return layer(*arguments, **(LAYERS[layer] | options)).double()


def test_every_sample_has_its_own_kernel():
    x, weight = torch.randn(3, 4, 6, 5), torch.randn(3, 6, 2, 3, 3)
    bias = torch.randn(3, 6)
    options = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
    out = convolve_per_sample(x, weight, bias, **options)
    for n in range(3):
        expected = F.conv2d(x[n : n + 1], weight[n], bias[n], **options)
        torch.testing.assert_close(out[n : n + 1], expected)


@layers
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"), [(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (3, 1, 2)]
)
def test_output_has_the_shape_of_the_convolution_it_replaces(layer, kernel_size, stride, dilation):
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(4, 6, kernel_size, stride, padding, dilation, bias=False)
    new = layer.from_conv(conv, **LAYERS[layer])
    x = torch.randn(2, 4, 7, 9)
    assert new(x).shape == conv(x).shape
    assert new.bias is None
    assert layer.from_conv(nn.Conv2d(4, 6, 3, padding=1), **LAYERS[layer]).bias is not None


@pytest.mark.parametrize("layer", GROUPED)
def test_depthwise_layers_keep_channels_apart(layer):
    net = make(layer, 4, 4, 3, padding=1, groups=4, bias=False).eval()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    kernels = torch.eye(4).double()[:, :, None, None]
    # A change that leaves the pooled values alone moves one channel only.
    moved = x + kernels[1] * (torch.arange(5) - 2).double()
    moved_channels = (net(moved) - net(x)).abs().amax((0, 2, 3)) > 1e-9
    assert moved_channels.tolist() == [False, True, False, False]


@layers
def test_a_batch_is_its_samples(layer):
    net = make(layer, 4, 6, 3, padding=1).eval()
    x = torch.randn(3, 4, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(net(x), torch.cat([net(x[n : n + 1]) for n in range(3)]))
    assert net.train()(x[:1]).isfinite().all()


@layers
def test_gradients(layer):
    net = make(layer, 4, 4, 3, padding=1)
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*net.named_parameters(), strict=True)

    def run(x, *parameters):
        return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (x,))

    net.eval()  # batch norm's own gradient is PyTorch's matter
    # fast_mode: a random direction of all parameters at once.
    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


@layers
def test_the_kernel_depends_on_the_input(layer):
    net = make(layer, 4, 6, 3, padding=1, bias=False).eval()
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    assert not torch.allclose(net(3 * x), 3 * net(x), rtol=1e-3)


@pytest.mark.parametrize("layer", ANNEALED)
def test_temperature_anneals_from_its_start_to_its_end(layer):
    net = nn.Sequential(make(layer, 4, 6, 3), nn.ReLU())
    for progress in (0.0, 0.25, 1.0):
        anneal_temperature(net, progress)
        start, end = layer.temperatures
        assert net[0].temperature == pytest.approx(start + progress * (end - start))
    with pytest.raises(ValueError, match=r"progress must be between 0 and 1, got 1\.5"):
        anneal_temperature(net, 1.5)


@pytest.mark.parametrize("layer", [DYConv2d, ODConv2d])
def test_a_high_temperature_makes_the_mixture_even(layer):
    net = make(layer, 4, 6, 1, bias=False, temperature=1e9).eval()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    even = F.conv2d(x, net.weight.mean(0))
    gates = 1 if layer is DYConv2d else 1 / 4  # ODConv's sigmoids of channels and filters are 1/2
    torch.testing.assert_close(net(x), gates * even)


@pytest.mark.parametrize("layer", [DYConv2d, ODConv2d])
@pytest.mark.parametrize("temperature", [0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(layer, temperature):
    with pytest.raises(ValueError, match=f"temperature must be positive, got {temperature}"):
        layer(4, 6, 3, temperature=temperature)
    net = layer(4, 6, 3)
    with pytest.raises(ValueError, match="temperature must be positive"):
        net.temperature = temperature


@layers
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 6, 3), {}, "in_channels must be at least 1, got 0"),
        ((4, 6, 0), {}, "kernel_size must be at least 1, got 0"),
        ((4, 6, 3), {"stride": 0}, "stride must be at least 1, got 0"),
        ((4, 6, 3), {"padding": -1}, "padding must be at least 0, got -1"),
        ((4, 6, 3), {"groups": 4}, "groups must divide in_channels=4 and out_channels=6, got 4"),
    ],
)
def test_bad_sizes_are_refused(layer, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        layer(*arguments, **(LAYERS[layer] | options))


@layers
def test_bad_inputs_are_refused(layer):
    net = layer(4, 6, 3, padding=1, **LAYERS[layer])
    with pytest.raises(ValueError, match=r"expected \(N, 4, H, W\), got \(1, 3, 5, 5\)"):
        net(torch.zeros(1, 3, 5, 5))
    wide = layer(4, 6, 7, dilation=2, padding=6, **LAYERS[layer])
    message = "the window is 13 wide, the padded input only 12 x 17"
    with pytest.raises(ValueError, match=message):
        wide(torch.zeros(1, 4, 0, 5))


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        (nn.Conv2d(4, 6, (1, 3)), r"replaces a square convolution, got kernel_size=\(1, 3\)"),
        (nn.Conv2d(4, 6, 3, padding="same"), "replaces a square convolution.* padding=same"),
        (nn.Conv2d(4, 6, 3, padding_mode="reflect"), "pads with zeros, the convolution with"),
    ],
)
def test_convolutions_that_cannot_be_replaced_are_refused(conv, message):
    with pytest.raises(ValueError, match=message):
        CondConv2d.from_conv(conv)


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: CondConv2d(4, 6, 3, experts=0), "experts must be at least 1, got 0"),
        (lambda: DYConv2d(4, 6, 3, kernels=0), "kernels must be at least 1, got 0"),
        (lambda: DYConv2d(4, 6, 3, squeeze_ratio=0), "squeeze_ratio must be positive, got 0"),
        (lambda: ODConv2d(4, 6, 3, kernels=0), "kernels must be at least 1, got 0"),
        (lambda: DyNet2d(4, 6, 3, kernels=0), "kernels must be at least 1, got 0"),
    ],
)
def test_missing_experts_are_refused(make_layer, message):
    with pytest.raises(ValueError, match=message):
        make_layer()


def test_pooled_norm_is_batch_norm_but_for_a_batch_of_one():
    norm, plain = PooledBatchNorm(3), nn.BatchNorm1d(3)
    x = torch.randn(4, 3)
    torch.testing.assert_close(norm(x), plain(x))
    before = norm.running_mean.clone()
    torch.testing.assert_close(norm(x[:1]), plain.eval()(x[:1]))
    assert torch.equal(norm.running_mean, before)


def test_kernels_start_as_a_resnets_convolution():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 48, 3)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    for kernel in CondConv2d(64, 48, 3, experts=2).weight.detach():
        assert kernel.std() == pytest.approx(conv.weight.std().item(), rel=0.03)
        assert kernel.mean().abs() < 0.03 * kernel.std()
