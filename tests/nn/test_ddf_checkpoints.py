"""Checkpoints of DDF's authors are read by their names, on a made-up one of their shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.models import build
from repro.nn import DDF, from_ddf_authors_state_dict


class Norm(nn.Module):
    """Holds what the authors' FilterNorm of channel filters holds."""

    def __init__(self, channels):
        super().__init__()
        self.std = nn.Parameter(torch.randn(9 * channels))


class Pack(nn.Module):
    """Holds what the authors' DDFPack holds, under its names; computes nothing."""

    def __init__(self, channels, depthwise=False):
        super().__init__()
        first = [nn.Conv2d(channels, channels, 3, groups=channels)] if depthwise else []
        self.spatial_branch = nn.Sequential(*first, nn.Conv2d(channels, 9, 1), nn.Identity())
        hidden = int(0.2 * channels)
        self.channel_branch = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, 9 * channels, 1),
            Norm(channels),
        )


def authors_state(name, depthwise=False):
    """A state dict of the authors' network: timm's ResNet with a pack for every conv2."""
    torch.manual_seed(0)
    net = build(name.replace("ddf_", "").replace("add_", ""), size="small")
    for module in net.modules():
        if hasattr(module, "conv2"):
            module.conv2 = Pack(module.conv2.in_channels, depthwise)
    return net.state_dict()


@pytest.mark.parametrize("name", ["ddf_resnet50", "ddf_add_resnet50", "ddf_resnet101"])
def test_every_entry_finds_its_place(name):
    theirs = authors_state(name)
    net = build(name, size="small")
    net.load_state_dict(from_ddf_authors_state_dict(theirs, net))
    ours = dict(net.named_modules())
    checked = 0
    for path, layer in ours.items():
        if not isinstance(layer, DDF):
            continue
        pairs = {
            "spatial_branch.0.weight": layer.spatial_branch.pointwise.weight,
            "spatial_branch.0.bias": layer.spatial_branch.pointwise.bias,
            "channel_branch.1.weight": layer.channel_branch.squeeze.weight,
            "channel_branch.1.bias": layer.channel_branch.squeeze.bias,
            "channel_branch.3.weight": layer.channel_branch.excite.weight,
            "channel_branch.3.bias": layer.channel_branch.excite.bias,
            "channel_branch.4.std": layer.channel_branch.norm.scale,
        }
        for entry, tensor in pairs.items():
            assert torch.equal(theirs[f"{path}.{entry}"].flatten(), tensor.flatten()), entry
            checked += 1
    assert checked == 7 * sum(isinstance(layer, DDF) for layer in ours.values()) > 0
    assert torch.equal(theirs["layer1.0.conv1.weight"], net.layer1[0].conv1.weight)


def test_the_shapes_at_full_size_are_those_of_the_authors_code():
    with torch.device("meta"):
        net = build("ddf_resnet50")
        theirs = build("resnet50")
        for module in theirs.modules():
            if hasattr(module, "conv2"):
                module.conv2 = Pack(module.conv2.in_channels)
        found = from_ddf_authors_state_dict(theirs.state_dict(), net)
    assert sum(p.numel() for p in theirs.parameters()) == 16_843_748
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in net.state_dict().items()
    }


def test_a_file_with_a_wrapped_network_is_read():
    theirs = authors_state("ddf_resnet50")
    net = build("ddf_resnet50", size="small")
    wrapped = {"state_dict": {f"module.{k}": v for k, v in theirs.items()}, "epoch": 119}
    found = from_ddf_authors_state_dict(wrapped, net)
    plain = from_ddf_authors_state_dict(theirs, net)
    assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_what_does_not_fit_is_named():
    theirs = authors_state("ddf_resnet50")
    net = build("ddf_resnet50", size="small")
    entry = "layer1.0.conv2.channel_branch.4.std"
    with pytest.raises(KeyError, match=r"missing: layer1\.0\.conv2\.channel_branch\.norm\.scale"):
        from_ddf_authors_state_dict({k: v for k, v in theirs.items() if k != entry}, net)
    with pytest.raises(ValueError, match=r"norm\.scale must be \(16, 9\), got \(7,\)"):
        from_ddf_authors_state_dict({**theirs, entry: torch.zeros(7)}, net)
    with pytest.raises(KeyError, match=r"belonging to nothing: .*spatial_branch\.1\.weight"):
        from_ddf_authors_state_dict(authors_state("ddf_resnet50", depthwise=True), net)
