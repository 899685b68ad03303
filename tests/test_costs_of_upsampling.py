"""What joint depth upsampling costs, in costs.json."""

from __future__ import annotations

import json

import pytest

from repro.__main__ import main
from repro.costs import FACTORS, names, system_cost


def test_every_trained_upsampler_is_counted_at_every_factor(tmp_path):
    wanted = [f"{name}_x{factor}" for name in ("djf", "pac_net") for factor in FACTORS]
    assert set(wanted) <= set(names())
    assert "ddf_up_net_narrow_x8" in names()
    out = tmp_path / "costs.json"
    assert main(["costs", "--out", str(out), "--methods", *wanted]) == 0
    costs = json.loads(out.read_text())
    assert sorted(costs) == sorted(wanted)
    assert costs["pac_net_x16"]["input_sizes"] == [[1, 1, 30, 40], [1, 3, 480, 640]]
    # One more module for each factor of two.
    assert costs["pac_net_x4"]["params"] < costs["pac_net_x8"]["params"]
    assert costs["djf_x4"]["params"] == costs["djf_x8"]["params"]
    assert costs["djf_x4"]["flops_g"] == costs["djf_x4"]["macs"] / 1e9


def test_upsampling_layers_are_counted_by_hand():
    channels, pixels = 256, 200 * 300
    pac, ddf = system_cost("pac_up_layer"), system_cost("ddf_up_layer")
    # A transposed 5 x 5 convolution, each input pixel through every tap.
    assert pac["macs"] == pixels * 25 * channels**2
    assert pac["params"] == 25 * channels**2 + channels
    # Four 3 x 3 dynamic filters, their 1 x 1 convolutions from the guidance, and for each a linear
    # layer to 51 hidden channels and one to the 9 taps of every channel.
    hidden = int(0.2 * channels)
    predicted = 4 * hidden * channels * (1 + 9)
    assert ddf["macs"] == 4 * pixels * 9 * (channels + channels) + predicted
    assert pac["macs"] / ddf["macs"] == pytest.approx(88.85, abs=0.01)
