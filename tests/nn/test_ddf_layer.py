"""The DDF layer: its published sizes, its variants, and every awkward input."""

from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from repro.names import UnknownNameError
from repro.nn import DDF
from repro.nn.ddf import filter_by_heads
from repro.nn.filter_norm import NORMS
from repro.ops import ddf


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("channels", "params"), [(64, 9429), (128, 35490), (256, 137532), (512, 536175)]
)
def test_parameters_of_the_papers_layers(channels, params):
    assert count(DDF(channels)) == params


@pytest.mark.parametrize(
    ("C", "K", "heads", "sigma"), [(16, 3, 1, 0.2), (20, 5, 2, 0.3), (24, 3, 4, 0.25)]
)
def test_parameters_follow_the_formula(C, K, heads, sigma):
    m = int(sigma * C)
    formula = heads * K**2 * (C + 1) + C * m + m + m * C * K**2 + 2 * C * K**2
    assert count(DDF(C, K, heads=heads, squeeze_ratio=sigma)) == formula


@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
@pytest.mark.parametrize(("stride", "dilation", "K"), [(1, 1, 3), (2, 1, 5), (3, 2, 3)])
def test_output_is_the_sum_over_the_window(kernel_combine, stride, dilation, K):
    layer = DDF(8, K, stride, dilation, kernel_combine=kernel_combine, squeeze_ratio=0.5).double()
    x = torch.randn(2, 8, 9, 7, dtype=torch.float64)
    channel_filter, spatial_filter = layer.filters(x)
    out = layer(x)
    patches = F.unfold(x, K, dilation, dilation * (K // 2), stride).view(2, 8, K * K, -1)
    c, s = channel_filter.view(2, 8, K * K, 1), spatial_filter.view(2, 1, K * K, -1)
    taps = c * s if kernel_combine == "mul" else c + s
    torch.testing.assert_close(out, (taps * patches).sum(2).view(out.shape))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(7, 9), (8, 5), (1, 1), (2, 3)])
def test_size_of_the_output_is_that_of_a_convolution(stride, size):
    x = torch.randn(2, 8, *size)
    conv = nn.Conv2d(8, 8, 3, stride, padding=1)
    for options in ({}, {"use_spatial": False}, {"use_channel": False}):
        assert DDF(8, stride=stride, squeeze_ratio=0.5, **options)(x).shape == conv(x).shape


def test_every_head_filters_its_own_channels():
    layer = DDF(12, heads=3, stride=2)
    x = torch.randn(2, 12, 7, 5)
    channel_filter, spatial_filter = layer.filters(x)
    out = layer(x)
    for head in range(3):
        own = slice(4 * head, 4 * head + 4)
        expected = ddf(
            x[:, own].contiguous(),
            channel_filter[:, own].contiguous(),
            spatial_filter[:, 9 * head : 9 * head + 9].contiguous(),
            stride=2,
        )
        torch.testing.assert_close(out[:, own], expected)


@pytest.mark.parametrize("norm", [name for name in NORMS if name != "batch_norm"])
@pytest.mark.parametrize("heads", [1, 2])
def test_the_filters_shown_are_those_applied(norm, heads):
    layer = DDF(8, 3, 2, heads=heads, squeeze_ratio=0.5, norm=norm).double()
    x = torch.randn(2, 8, 9, 7, dtype=torch.float64)
    expected = filter_by_heads(x, *layer.filters(x), heads=heads, stride=2)
    torch.testing.assert_close(layer(x), expected)


def test_the_operation_normalises_unless_a_hook_waits_for_the_filters():
    layer = DDF(8, squeeze_ratio=0.5)
    branch = layer.spatial_branch
    x = torch.randn(2, 8, 6, 5)
    expected, seen = layer(x), []
    assert branch.norm_scale == branch.norm.base_scale
    for module in (branch, branch.norm):
        handle = module.register_forward_hook(lambda _, inputs, out: seen.append(out))
        assert branch.norm_scale is None
        torch.testing.assert_close(layer(x), expected)
        handle.remove()
    assert len(seen) == 2
    assert all(torch.equal(out, branch(x)) for out in seen)
    assert DDF(8, squeeze_ratio=0.5, norm="filter_norm_paper").spatial_branch.norm_scale is None


@pytest.mark.parametrize(("kernel_combine", "identity"), [("mul", 1.0), ("add", 0.0)])
def test_spatial_only_is_the_operation_with_an_identity_channel_filter(kernel_combine, identity):
    layer = DDF(8, kernel_combine=kernel_combine, use_channel=False)
    x = torch.randn(2, 8, 6, 5)
    expected = ddf(
        x,
        torch.full((2, 8, 3, 3), identity),
        layer.spatial_branch(x),
        kernel_combine=kernel_combine,
    )
    torch.testing.assert_close(layer(x), expected)
    assert layer.channel_branch is None
    assert count(layer) == 9 * 8 + 9


@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
def test_channel_only_is_a_depthwise_convolution_per_sample(kernel_combine):
    layer = DDF(10, stride=2, kernel_combine=kernel_combine, use_spatial=False)
    x = torch.randn(2, 10, 6, 5)
    channel_filter = layer.channel_branch(x)
    expected = torch.cat(
        [
            F.conv2d(x[n : n + 1], channel_filter[n][:, None], stride=2, padding=1, groups=10)
            for n in range(2)
        ]
    )
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_reach_the_input_and_every_parameter(norm):
    torch.manual_seed(0)
    for combine, heads in itertools.product(("mul", "add"), (1, 2)):
        layer = DDF(8, heads=heads, squeeze_ratio=0.5, kernel_combine=combine, norm=norm)
        # A positive start keeps the two units of the small channel branch out of ReLU's zero.
        nn.init.constant_(layer.channel_branch.squeeze.bias, 1.0)
        x = torch.randn(3, 8, 5, 6, requires_grad=True)
        layer(x).square().sum().backward()
        for name, tensor in [("x", x), *layer.named_parameters()]:
            assert tensor.grad.isfinite().all(), name
            assert tensor.grad.abs().sum() > 0, name


def test_gradients_are_those_of_finite_differences():
    layer = DDF(4, stride=2, heads=2, squeeze_ratio=0.5).double()
    x = torch.randn(2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("norm", NORMS)
def test_batch_of_one_in_training(norm):
    layer = DDF(8, squeeze_ratio=0.5, norm=norm)
    x = torch.randn(1, 8, 5, 5)
    if norm == "batch_norm":
        with pytest.raises(ValueError, match="use a larger batch, another norm, or eval"):
            layer(x)
        layer.eval()
    assert layer(x).isfinite().all()


def test_batch_of_zero():
    for options in ({}, {"heads": 2}, {"use_channel": False}, {"use_spatial": False}):
        out = DDF(8, stride=2, squeeze_ratio=0.5, **options)(torch.randn(0, 8, 5, 5))
        assert out.shape == (0, 8, 3, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    layer = DDF(8, squeeze_ratio=0.5).to(dtype)
    assert layer(torch.randn(2, 8, 5, 5, dtype=dtype)).dtype == dtype


def test_non_contiguous_and_channels_last_inputs():
    layer = DDF(8, heads=2, squeeze_ratio=0.5).eval()
    x = torch.randn(2, 8, 6, 7)
    expected = layer(x)
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), expected)
    wide = torch.randn(2, 8, 6, 14)
    wide[..., ::2] = x
    torch.testing.assert_close(layer(wide[..., ::2]), expected)


def test_under_autocast():
    layer = DDF(8, squeeze_ratio=0.5)
    x = torch.randn(2, 8, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    torch.testing.assert_close(out.float(), layer(x), atol=0.2, rtol=0.1)


def test_state_goes_to_a_copy_a_pickle_and_a_file():
    layer = DDF(8, heads=2, squeeze_ratio=0.5)
    x = torch.randn(2, 8, 5, 5)
    expected = layer(x)
    other = DDF(8, heads=2, squeeze_ratio=0.5)
    other.load_state_dict(layer.state_dict())
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (other, copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert torch.equal(twin(x), expected)


@pytest.mark.parametrize("options", [{}, {"heads": 2, "stride": 2}, {"use_spatial": False}])
def test_compiles_as_one_graph(options):
    layer = DDF(8, squeeze_ratio=0.5, **options)
    x = torch.randn(2, 8, 6, 5, requires_grad=True)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    compiled(x).sum().backward()
    assert x.grad.isfinite().all()


def test_from_conv_takes_the_settings_of_the_convolution():
    conv = nn.Conv2d(8, 8, 5, stride=2, padding=4, dilation=2)
    layer = DDF.from_conv(conv, squeeze_ratio=0.5, heads=2)
    assert (layer.kernel_size, layer.stride, layer.dilation, layer.heads) == (5, 2, 2, 2)
    x = torch.randn(1, 8, 11, 9)
    assert layer(x).shape == conv(x).shape
    assert DDF.from_conv(nn.Conv2d(8, 8, 3, padding="same"), squeeze_ratio=0.5).kernel_size == 3


@pytest.mark.parametrize(
    ("conv", "message"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), "8 inputs and 16 outputs"),
        (nn.Conv2d(8, 8, 3), "with padding 1"),
        (nn.Conv2d(8, 8, (3, 5), padding=(1, 2)), "square"),
        (nn.Conv2d(8, 8, 4, padding=2), "odd"),
    ],
)
def test_from_conv_refuses_what_ddf_cannot_be(conv, message):
    with pytest.raises(ValueError, match=message):
        DDF.from_conv(conv, squeeze_ratio=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 8, "kernel_size": 4}, "kernel_size must be odd and at least 1, got 4"),
        ({"in_channels": 8, "heads": 3}, "heads must divide in_channels=8, got 3"),
        ({"in_channels": 8, "stride": 0}, "stride must be at least 1, got 0"),
        ({"in_channels": 8, "dilation": -1}, "dilation must be at least 1, got -1"),
        ({"in_channels": 4}, r"at least 1, got 0\.2 \* 4"),
        ({"in_channels": 8, "use_spatial": False, "use_channel": False}, "no filter left"),
        ({"in_channels": 8, "norm": "filternorm"}, "did you mean filter_norm"),
        ({"in_channels": 8, "kernel_combine": "mull"}, "did you mean mul"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DDF(**arguments)


def test_unknown_names_have_a_type_of_their_own():
    with pytest.raises(UnknownNameError):
        DDF(8, norm="layer")


@pytest.mark.parametrize("shape", [(2, 6, 5, 5), (8, 5, 5)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(N, 8, H, W\), got"):
        DDF(8, squeeze_ratio=0.5)(torch.zeros(shape))
