"""Replacing convolutions: which, by what, and that the report says so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.nn import DDF, is_spatial, replace_convs


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 1)),
    )


def make(conv: nn.Conv2d) -> nn.Module:
    return DDF.from_conv(conv, squeeze_ratio=0.5)


def test_replaces_what_where_picks_and_reports_it():
    net = small_net()
    before = net(torch.zeros(1, 3, 7, 7)).shape
    (entry,) = replace_convs(net, make, is_spatial)
    assert entry.name == "1.0"
    assert entry.old == "Conv2d(8, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))"
    assert entry.new.startswith("DDF(8, kernel_size=3, stride=2")
    assert (entry.params_before, entry.params_after) == (584, 549)
    assert isinstance(net[1][0], DDF)
    assert net(torch.zeros(1, 3, 7, 7)).shape == before


def test_where_may_choose_by_name():
    net = small_net()
    report = replace_convs(net, lambda conv: nn.Identity(), lambda name, conv: name == "1.2")
    assert [entry.name for entry in report] == ["1.2"]


def test_a_shared_convolution_stays_shared():
    conv = nn.Conv2d(8, 8, 3, padding=1)
    net = nn.ModuleList([conv, nn.Sequential(conv)])
    report = replace_convs(net, make, is_spatial)
    assert [entry.name for entry in report] == ["0", "1.0"]
    assert net[0] is net[1][0]


def test_dtype_device_and_mode_are_those_of_the_convolution():
    net = small_net().double().to("meta").eval()
    replace_convs(net, make, is_spatial)
    assert not net[1][0].training
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_picking_nothing_is_an_error_that_shows_what_there_is():
    with pytest.raises(ValueError, match=r"picked none of 3 convolutions \(0: Conv2d\(3, 8"):
        replace_convs(small_net(), make, lambda name, conv: False)


def test_a_bare_convolution_is_refused():
    with pytest.raises(ValueError, match="itself a convolution"):
        replace_convs(nn.Conv2d(8, 8, 3, padding=1), make, is_spatial)
