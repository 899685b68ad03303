"""Networks with FDConv: the counts that the fact sheet computes and the paper prints."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from repro.complexity import count as count_operations
from repro.costs import system_cost
from repro.models import build
from repro.nn import FDConv, place_fdconv

KSM_GLOBAL = ("trunk", "norm", "activation")


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        return build(name, **options)


@pytest.mark.parametrize(
    ("body", "layers", "added"),
    [("resnet18", 16, 569_200), ("resnet50", 48, 3_647_120), ("resnet101", 99, 7_499_218)],
)
def test_added_parameters_at_full_size(body, layers, added):
    net, plain = on_meta(f"fdconv_{body}"), on_meta(body)
    found = [layer for layer in net.modules() if isinstance(layer, FDConv)]
    assert len(found) == layers
    assert all(layer.kernel_num == 64 and not layer.is_plain for layer in found)
    assert count(net) - count(plain) == added


def test_where_the_added_parameters_of_resnet50_are():
    sums = dict.fromkeys(
        (
            "ksm_global_trunk",
            "channel_head",
            "filter_head",
            "spatial_head",
            "kernel_head",
            "ksm_local",
            "fbm",
            "half_plane_overhead",
        ),
        0,
    )
    for layer in on_meta("fdconv_resnet50").modules():
        if not isinstance(layer, FDConv):
            continue
        ksm = layer.global_modulation
        sums["ksm_global_trunk"] += sum(count(getattr(ksm, name)) for name in KSM_GLOBAL)
        for head in ("channel_head", "filter_head", "kernel_head", "spatial_head"):
            module = getattr(ksm, head)
            sums[head] += 0 if module is None else count(module)
        sums["ksm_local"] += count(layer.local_modulation)
        sums["fbm"] += 0 if layer.band_modulation is None else count(layer.band_modulation)
        weight = torch.Size(layer.weight_shape).numel()
        sums["half_plane_overhead"] += layer.dft_weight.numel() - weight
    assert sum(sums.values()) == 3_647_120
    assert {key: round(value / 1e6, 3) for key, value in sums.items()} == {
        "ksm_global_trunk": 1.169,
        "channel_head": 1.187,
        "filter_head": 0.719,
        "spatial_head": 0.003,
        "kernel_head": 0.095,
        "ksm_local": 0.311,
        "fbm": 0.102,
        "half_plane_overhead": 0.06,
    }


@pytest.mark.parametrize(
    ("groups", "added"),
    [(4, 3.558), (16, 3.576), (32, 3.6), (64, 3.647), (128, 3.742), (256, 3.933)],
)
def test_added_parameters_by_the_number_of_groups(groups, added):
    net = on_meta("resnet50")
    before = count(net)
    with torch.device("meta"):
        place_fdconv(net, kernel_num=groups)
    assert round((count(net) - before) / 1e6, 3) == added


@pytest.mark.parametrize(
    ("make", "added"),
    [
        (torchvision.models.resnet50, 3.647),
        (torchvision.models.swin_t, 6.027),
        (torchvision.models.convnext_tiny, 9.04),
        (lambda: timm.create_model("swin_tiny_patch4_window7_224"), 6.027),
        (lambda: timm.create_model("convnext_tiny"), 9.04),
    ],
    ids=["resnet50", "swin_t", "convnext_t", "timm swin_t", "timm convnext_t"],
)
@pytest.mark.filterwarnings("ignore")
def test_added_parameters_in_networks_of_torchvision_and_timm(make, added):
    with torch.device("meta"):
        net = make()
        before = count(net)
        place_fdconv(net)
    assert round((count(net) - before) / 1e6, 3) == added


def test_added_operations_of_detection_are_those_of_the_fact_sheet():
    size = (1, 3, 800, 1280)
    costs = [count_operations(on_meta(name), size) for name in ("fdconv_resnet50", "resnet50")]
    with_fdconv, plain = costs
    assert with_fdconv.uncounted == ()
    added = {
        kind: (with_fdconv.operations.get(kind, 0) - plain.operations.get(kind, 0)) / 1e9
        for kind in ("convolution", "linear", "weight_product", "fft")
    }
    assert round(added["convolution"], 3) == round(1.051 + 0.111, 3)  # FBM's, local KSM's
    assert round(added["linear"], 3) == 0.003  # global KSM
    assert round(added["weight_product"], 3) == 0.083
    assert round(added["fft"], 2) == round(5.66 + 1.02, 2)  # FBM's four, the weights' one
    # The paper prints +1.8 G: between the two sums.
    assert round((with_fdconv.macs - plain.macs) / 1e9, 3) == 1.248
    whole = with_fdconv.total("mac_and_fft") - plain.total("mac_and_fft")
    assert round(whole / 1e9, 1) == 7.9


def test_costs_of_classification():
    cost = system_cost("fdconv_resnet50")
    assert round(cost["params_m"], 3) == 29.204
    assert round(cost["flops_g"], 3) == 4.338
    assert round(cost["flops_g_by_convention"]["mac_and_fft"], 3) == 5.551


def test_stands_in_every_block_and_nowhere_else():
    net, plain = on_meta("fdconv_resnet50"), on_meta("resnet50")
    for name, module in plain.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        new = net.get_submodule(name)
        is_in_block = name.startswith("layer") and "downsample" not in name
        assert isinstance(new, FDConv) == is_in_block, name
        if is_in_block:
            assert (new.band_modulation is not None) == (module.kernel_size == (3, 3))
    assert net(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 1000)


def test_the_small_network_starts_as_the_plain_one_and_learns():
    nets = []
    for name in ("resnet50", "fdconv_resnet50"):
        torch.manual_seed(3)
        nets.append(build(name, num_classes=5, in_channels=1, size="small").eval())
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(nets[0](x), nets[1](x), rtol=1e-4, atol=1e-4)
    layers = [layer for layer in nets[1].modules() if isinstance(layer, FDConv)]
    # The first stage has 16 channels: by the authors' rule it stays plain.
    assert [layer.is_plain for layer in layers] == [True] * 3 + [False] * 12
