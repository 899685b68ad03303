"""Counting: closed forms, PyTorch's own counter, and the papers' printed figures."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from repro.__main__ import main
from repro.complexity import count
from repro.costs import system_cost
from repro.models import build
from repro.names import UnknownNameError
from repro.nn import DDF, DDFUp, DyFilter


def test_convolution_by_hand():
    cost = count(nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=4), (2, 8, 7, 5))
    outputs = 2 * 12 * 4 * 3
    assert cost.operations == {"bias": outputs, "convolution": outputs * 2 * 9}
    assert cost.params == 12 * 2 * 9 + 12
    assert cost.macs == outputs * 18
    assert cost.total("mac_and_elements") == outputs * 19


def test_transposed_convolution_counts_every_weight_once_per_input():
    cost = count(nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), (1, 4, 5, 5))
    assert cost.macs == (4 * 25) * (6 * 9)


def test_linear_norm_activation_and_pool_by_hand():
    net = nn.Sequential(
        nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    cost = count(net, (2, 4, 4, 4))
    elements = {"norm": 128, "activation": 128, "pool": 128}
    assert cost.operations == {**elements, "bias": 6, "linear": 2 * 16 * 3}
    assert cost.uncounted == ()


@pytest.mark.parametrize(("stride", "K"), [(1, 3), (2, 5)])
def test_ddf_by_hand(stride, K):
    C, H, W, H_out, W_out = 20, 8, 6, -(-8 // stride), -(-6 // stride)
    cost = count(DDF(C, K, stride), (1, C, H, W))
    taps, mid = K * K, 4
    assert cost.operations["dynamic_filter"] == C * H_out * W_out * taps
    assert cost.operations["convolution"] == C * H_out * W_out * taps  # the 1x1 of the branch
    assert cost.operations["linear"] == C * mid + mid * C * taps
    # Section 4.1: 5 n c k^2 + 2 sigma c^2 (1 + k^2)
    n = H_out * W_out
    formula = 5 * n * C * taps + 2 * 0.2 * C**2 * (1 + taps)
    assert cost.total("ddf_section_4_1") == formula


@pytest.mark.parametrize("make", [lambda: DDF(20, 5, 2, heads=2), lambda: DDFUp(20)])
def test_the_norm_costs_the_same_wherever_it_is_done(make):
    layer = make()
    by_the_operation = count(layer, (2, 20, 9, 6))
    for module in layer.modules():  # who has a hook is called
        module.register_forward_hook(lambda *_: None)
    apart = count(layer, (2, 20, 9, 6))
    assert by_the_operation.operations == apart.operations
    assert by_the_operation.uncounted == apart.uncounted == ()
    assert by_the_operation.activation_bytes < apart.activation_bytes


def test_full_dynamic_filter_by_formula():
    n, c, k = 30, 3, 3
    cost = count(DyFilter(c, k), (1, c, 5, 6))
    assert cost.macs == n * c**3 * k**2 + n * c**2 * k**2


@pytest.mark.parametrize(
    ("name", "macs_g"), [("resnet18", 1.814), ("resnet50", 4.089), ("resnet101", 7.801)]
)
def test_bases_as_pytorch_and_the_fact_sheet_count_them(name, macs_g):
    with torch.device("meta"):
        net = build(name).eval()
        x = torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        net(x)
    cost = count(net, x.shape)
    assert cost.macs == counter.get_total_flops() // 2
    assert round(cost.macs / 1e9, 3) == macs_g


@pytest.mark.parametrize(
    ("name", "mac", "with_elements", "printed"),
    [
        ("ddf_resnet50", 2.267, 2.300, 2.298),
        ("ddf_resnet50_sigma_0p3", 2.268, 2.301, 2.299),
        ("ddf_resnet50_sigma_0p4", 2.269, 2.302, 2.300),
        ("ddf_resnet101", 4.031, 4.080, 4.1),
    ],
)
def test_ddf_networks_against_the_printed_flops(name, mac, with_elements, printed):
    found = system_cost(name)["flops_g_by_convention"]
    assert round(found["mac"], 3) == mac
    assert round(found["mac_and_elements"], 3) == with_elements
    digits = 3 if printed < 4 else 1
    assert round(found["arithmetic"], digits) == printed


def test_three_ddf_up_modules_of_an_fpn_cost_the_printed_0p58_g():
    sizes = [(25, 40), (50, 80), (100, 160)]
    with torch.device("meta"):
        macs = sum(count(DDFUp(256), (1, 256, *size)).macs for size in sizes)
    assert round(macs / 1e9, 3) == 0.582


def test_several_inputs_and_dtypes():
    layer = DDFUp(8, guidance_channels=3, squeeze_ratio=0.5)
    assert count(layer, (1, 8, 4, 4), (1, 3, 8, 8)).macs > 0
    assert count(layer.double(), (1, 8, 4, 4), (1, 3, 8, 8)).macs > 0


def test_activation_memory_is_what_autograd_keeps():
    # The convolution keeps its input, ReLU its output; weights are no activations.
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU())
    assert count(net, (1, 2, 8, 8)).activation_bytes == 4 * 64 * (2 + 4)
    assert count(net.double(), (1, 2, 8, 8)).activation_bytes == 8 * 64 * (2 + 4)
    assert count(net.requires_grad_(False), (1, 2, 8, 8)).activation_bytes == 0


def test_ddf_keeps_features_and_filters_but_no_unfolded_copies():
    x_bytes = 4 * 64 * 32 * 32
    assert count(DDF(64), (1, 64, 32, 32)).activation_bytes < 2 * x_bytes


def test_counting_leaves_the_model_alone():
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4).eval())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    count(net, (1, 2, 8, 8))
    assert (net.training, net[0].training, net[1].training) == (True, True, False)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert {p.device.type for p in net.parameters()} == {"cpu"}


def test_an_operator_without_a_rule_is_named():
    class Strange(nn.Module):
        def forward(self, x):
            return F.relu(torch.special.erfcx(x))

    cost = count(Strange(), (1, 2, 3, 3))
    assert cost.uncounted == ("aten.special_erfcx",)
    assert cost.operations == {"activation": 18}


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one input"):
        count(nn.ReLU())
    with pytest.raises(UnknownNameError, match="did you mean mac"):
        count(nn.ReLU(), (1, 1, 2, 2)).total("macs")


def test_the_verb_writes_exact_costs(tmp_path):
    out = tmp_path / "costs.json"
    assert main(["costs", "--out", str(out), "--methods", "resnet18", "ddf_resnet50"]) == 0
    costs = json.loads(out.read_text())
    assert sorted(costs) == ["ddf_resnet50", "resnet18"]
    assert costs["ddf_resnet50"]["params"] == 16_843_748
    assert costs["ddf_resnet50"]["params_m"] == 16.843748
    assert costs["resnet18"]["macs"] == 1_814_073_344


def test_the_verb_refuses_an_unknown_method(tmp_path, capsys):
    out = tmp_path / "costs.json"
    assert main(["costs", "--out", str(out), "--methods", "resnet5"]) == 1
    assert "did you mean resnet50" in capsys.readouterr().err
    assert not out.exists()
