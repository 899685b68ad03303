"""DDF-Up: where each branch lands, what predicts the filters, and what is refused."""

from __future__ import annotations

import copy

import pytest
import torch

from repro.nn import DDFUp
from repro.nn.ddf import filter_by_heads


def test_parameters_of_the_published_module():
    assert sum(p.numel() for p in DDFUp(256).parameters()) == 560368


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("size", [(5, 4), (1, 1)])
def test_branch_i_fills_its_sub_pixels(scale, size):
    layer = DDFUp(8, scale, squeeze_ratio=0.5)
    x = torch.randn(2, 8, *size)
    out = layer(x)
    assert out.shape == (2, 8, scale * size[0], scale * size[1])
    for i in range(scale**2):
        expected = filter_by_heads(x, layer.channel_branches[i](x), layer.spatial_branches[i](x))
        torch.testing.assert_close(out[:, :, i // scale :: scale, i % scale :: scale], expected)


def test_a_hook_on_one_branch_sees_normalised_filters():
    layer = DDFUp(8, 2, squeeze_ratio=0.5)
    x = torch.randn(2, 8, 5, 4)
    expected, seen = layer(x), []
    branch = layer.spatial_branches[2]
    branch.register_forward_hook(lambda _, inputs, out: seen.append(out))
    torch.testing.assert_close(layer(x), expected)
    (filters,) = seen
    std = filters.std(1)
    torch.testing.assert_close(std, torch.full_like(std, branch.norm.base_scale))


def test_guidance_replaces_the_depthwise_convolution():
    free, guided = DDFUp(8, squeeze_ratio=0.5), DDFUp(8, guidance_channels=3, squeeze_ratio=0.5)
    assert free.spatial_branches[0].depthwise is not None
    assert guided.spatial_branches[0].depthwise is None
    x, guidance = torch.randn(2, 8, 5, 4), torch.randn(2, 3, 5, 4)
    assert guided(x, guidance).shape == (2, 8, 10, 8)
    assert not torch.equal(guided(x, guidance), guided(x, guidance + torch.randn(2, 3, 5, 4)))


def test_high_resolution_guidance_is_seen_at_each_branchs_sub_pixels():
    layer = DDFUp(8, 2, guidance_channels=3, squeeze_ratio=0.5)
    x, guidance = torch.randn(2, 8, 5, 4), torch.randn(2, 3, 10, 8)
    out = layer(x, guidance)
    for i in range(4):
        own = guidance[:, :, i // 2 :: 2, i % 2 :: 2]
        torch.testing.assert_close(
            out[:, :, i // 2 :: 2, i % 2 :: 2], layer(x, own)[:, :, i // 2 :: 2, i % 2 :: 2]
        )
    low = torch.randn(2, 3, 5, 4)
    repeated = low.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(layer(x, repeated), layer(x, low))


def test_guidance_steers_spatial_filters_only():
    layer = DDFUp(8, guidance_channels=3, squeeze_ratio=0.5)
    guidance = torch.randn(1, 3, 5, 4, requires_grad=True)
    layer(torch.randn(1, 8, 5, 4), guidance).square().sum().backward()
    assert guidance.grad.abs().sum() > 0


@pytest.mark.parametrize("options", [{}, {"heads": 2, "kernel_size": 5, "kernel_combine": "add"}])
def test_gradients_reach_every_parameter(options):
    torch.manual_seed(0)
    layer = DDFUp(8, 3, squeeze_ratio=0.5, **options)
    for branch in layer.channel_branches:
        torch.nn.init.constant_(branch.squeeze.bias, 1.0)  # out of ReLU's zero
    x = torch.randn(1, 8, 4, 5, requires_grad=True)
    layer(x).square().sum().backward()
    for name, tensor in [("x", x), *layer.named_parameters()]:
        assert tensor.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("kernel_combine", "identity"), [("mul", 1.0), ("add", 0.0)])
def test_without_channel_filters_the_spatial_ones_act_alone(kernel_combine, identity):
    layer = DDFUp(8, 2, kernel_combine=kernel_combine, use_channel=False)
    x = torch.randn(2, 8, 5, 4)
    out = layer(x)
    for i in range(4):
        none = torch.full((2, 8, 3, 3), identity)
        expected = filter_by_heads(
            x, none, layer.spatial_branches[i](x), kernel_combine=kernel_combine
        )
        torch.testing.assert_close(out[:, :, i // 2 :: 2, i % 2 :: 2], expected)


def test_copies_and_state():
    layer, other = DDFUp(8, squeeze_ratio=0.5), DDFUp(8, squeeze_ratio=0.5)
    x = torch.randn(1, 8, 4, 5)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_compiles_as_one_graph():
    layer = DDFUp(8, 2, guidance_channels=3, squeeze_ratio=0.5)
    x, guidance = torch.randn(1, 8, 4, 5), torch.randn(1, 3, 8, 10)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, guidance), layer(x, guidance))


@pytest.mark.parametrize(
    ("built_with", "guidance", "message"),
    [
        (3, None, r"guidance must be \(1, 3, 4, 5\) or \(1, 3, 8, 10\), got None"),
        (3, (1, 4, 4, 5), r"got \(1, 4, 4, 5\)"),
        (3, (1, 3, 6, 7), r"got \(1, 3, 6, 7\)"),
        (None, (1, 3, 4, 5), "built without guidance_channels"),
    ],
)
def test_wrong_guidance_is_refused(built_with, guidance, message):
    layer = DDFUp(8, guidance_channels=built_with, squeeze_ratio=0.5)
    tensor = None if guidance is None else torch.zeros(guidance)
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(1, 8, 4, 5), tensor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale_factor": 0}, "scale_factor must be an integer of at least 1, got 0"),
        ({"scale_factor": 1.5}, "scale_factor must be an integer of at least 1, got 1.5"),
        ({"kernel_size": 2}, "kernel_size must be odd"),
        ({"dw_kernel_size": 2}, "dw_kernel_size must be odd"),
        ({"heads": 3}, "heads must divide"),
        ({"kernel_combine": "sum"}, "unknown kernel_combine"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DDFUp(8, squeeze_ratio=0.5, **arguments)


def test_other_inputs_are_refused():
    with pytest.raises(ValueError, match=r"expected x of \(N, 8, H, W\), got \(1, 4, 5, 5\)"):
        DDFUp(8, squeeze_ratio=0.5)(torch.zeros(1, 4, 5, 5))
