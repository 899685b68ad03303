"""The registry of networks: exact sizes at full size, behaviour at the small one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.models import build, names
from repro.names import UnknownNameError
from repro.nn import DDF

BOTTLENECKS = {"ddf_resnet50": 16, "ddf_resnet101": 33}


def on_meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        return build(name, **options)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("resnet18", 11_689_512),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("ddf_resnet50", 16_843_748),
        ("ddf_add_resnet50", 16_843_748),
        ("ddf_resnet50_sigma_0p3", 18_091_484),
        ("ddf_resnet50_sigma_0p4", 19_352_663),
        ("ddf_resnet101", 28_146_912),
        ("ddf_add_resnet101", 28_146_912),
        ("ddf_resnet18", 7_691_032),
        ("condconv_resnet50", 104_808_104),
        ("dwcondconv_resnet50", 14_541_992),
    ],
)
def test_parameters_at_full_size(name, params):
    assert count(on_meta(name)) == params


@pytest.mark.parametrize(("name", "blocks"), BOTTLENECKS.items())
def test_ddf_stands_in_every_block_and_nowhere_else(name, blocks):
    net, plain = on_meta(name), on_meta(name.removeprefix("ddf_"))
    layers = {path: m for path, m in net.named_modules() if isinstance(m, DDF)}
    assert len(layers) == blocks
    for path, layer in layers.items():
        conv = plain.get_submodule(path)
        assert path.endswith(".conv2")
        assert (layer.in_channels, layer.stride) == (conv.in_channels, conv.stride[0])
    assert net(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


@pytest.mark.parametrize("name", names())
def test_small_networks_train(name):
    torch.manual_seed(0)
    net = build(name, num_classes=7, in_channels=1, size="small")
    out = net(torch.randn(2, 1, 32, 32))
    assert out.shape == (2, 7)
    out.square().sum().backward()
    missing = [key for key, p in net.named_parameters() if p.grad is None]
    assert missing == []
    assert net.eval()(torch.randn(1, 1, 33, 31)).isfinite().all()


def test_small_networks_have_the_blocks_of_the_large_ones():
    # Those of depth 101 differ from the others in nothing but depth.
    for name in (name for name in names() if "101" not in name):
        large, small = on_meta(name), on_meta(name, size="small")
        assert type(small.layer1[0]) is type(large.layer1[0])
        for part in ("conv1", "conv2", "convs"):  # Res2Net has "convs" for "conv2"
            here, there = (getattr(net.layer1[0], part, None) for net in (small, large))
            assert type(here) is type(there)
        assert count(small) < count(large) / 20
        assert count(on_meta(name, size="narrow")) < count(large) / 4


def test_last_batch_norm_of_every_block_starts_at_zero():
    for name, last in [("ddf_resnet50", "bn3"), ("resnet18", "bn2")]:
        net = build(name, size="small")
        blocks = [m for m in net.modules() if hasattr(m, "zero_init_last")]
        assert len(blocks) >= 3
        for block in blocks:
            assert not getattr(block, last).weight.any()


def test_equal_seeds_give_equal_starts_and_methods_share_the_body():
    nets = []
    for name in ("resnet50", "ddf_resnet50", "ddf_resnet50"):
        torch.manual_seed(3)
        nets.append(build(name, num_classes=5, size="small").state_dict())
    base, first, second = nets
    assert all(torch.equal(first[key], second[key]) for key in first)
    shared = [key for key in base if key in first]
    assert len(shared) > 50
    assert all(torch.equal(base[key], first[key]) for key in shared)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("ddf_resnet5", {}), "ddf_resnet50"),
        (("resnet_101", {}), "resnet101"),
        (("resnet50", {"size": "smal"}), "small"),
    ],
)
def test_unknown_names_come_with_a_suggestion(arguments, meant):
    name, options = arguments
    with pytest.raises(UnknownNameError, match=f"did you mean .*{meant}"):
        build(name, **options)
