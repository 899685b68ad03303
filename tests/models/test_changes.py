"""Changes to whole networks, and timm's view of ours."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from repro.models import build, names
from repro.nn import BAM, AAConv2d, DCD2d, DCDClassifier, KWConv2d


def on_meta(name: str, **options) -> nn.Module:
    with torch.device("meta"):
        return build(name, **options)


@pytest.mark.parametrize(("size", "channels"), [("full", [256, 512, 1024]), ("small", [64, 128])])
def test_bam_ends_every_stage_but_the_last(size, channels):
    net = on_meta("bam_resnet50", size=size)
    found = {path: m for path, m in net.named_modules() if isinstance(m, BAM)}
    assert [module.in_channels for module in found.values()] == channels
    for i, path in enumerate(found):
        stage = net.get_submodule(f"layer{i + 1}")
        assert path == f"layer{i + 1}.{len(stage) - 1}"


def test_warehouses_are_shared_by_stage_and_handed_over_at_its_start():
    net = on_meta("kw1x_resnet50")
    layers = {path: m for path, m in net.named_modules() if isinstance(m, KWConv2d)}
    assert len({id(layer.warehouse) for layer in layers.values()}) == 4
    assert len(layers) == 48 + 4 - 2  # the first convolution and shortcut have no stage before them
    assert isinstance(net.layer1[0].conv1, nn.Conv2d)
    assert isinstance(net.layer1[0].downsample[0], nn.Conv2d)
    for stage in (2, 3, 4):
        before, here = (net.get_submodule(f"layer{i}")[-1] for i in (stage - 1, stage))
        first = net.get_submodule(f"layer{stage}")[0]
        assert first.conv1.warehouse is before.conv2.warehouse
        assert first.downsample[0].warehouse is before.conv2.warehouse
        assert first.conv2.warehouse is here.conv2.warehouse is not before.conv2.warehouse


@pytest.mark.parametrize(("name", "budget"), [("kw1x_resnet50", 1), ("kw4x_resnet50", 4)])
def test_places_own_every_cell_of_a_warehouse_once(name, budget):
    net = build(name, size="small")
    owned: dict[int, list[int]] = {}
    for layer in net.modules():
        if isinstance(layer, KWConv2d):
            owned.setdefault(id(layer.warehouse), []).extend(layer.owned.tolist())
    sizes = {
        id(layer.warehouse): len(layer.warehouse.cells)
        for layer in net.modules()
        if isinstance(layer, KWConv2d)
    }
    for warehouse, cells in owned.items():
        assert cells == list(range(0, sizes[warehouse], budget))


def test_dcd_ends_with_its_classifier_and_leaves_shortcuts():
    net = on_meta("dcd_resnet50", num_classes=7)
    assert isinstance(net.fc, DCDClassifier)
    assert net.fc.linear.out_features == 7
    assert sum(isinstance(m, DCD2d) for m in net.modules()) == 48
    assert isinstance(net.layer2[0].downsample[0], nn.Conv2d)


def test_attention_is_in_the_last_three_stages_and_sees_averages_in_the_first_of_them():
    net = on_meta("aa_resnet50")
    layers = {path: m for path, m in net.named_modules() if isinstance(m, AAConv2d)}
    assert len(layers) == 4 + 6 + 3
    assert not [path for path in layers if path.startswith("layer1")]
    assert {path[:6]: (m.max_size, m.pool) for path, m in layers.items()} == {
        "layer2": (14, True),
        "layer3": (14, False),
        "layer4": (7, False),
    }


def test_dynet_moves_the_stride_to_the_first_convolution():
    net = on_meta("dynet_resnet50")
    assert net.layer2[0].conv1.stride == 2
    assert net.layer2[0].conv2.stride == 1
    assert net(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


def test_timm_finds_every_network():
    known = set(timm.list_models())
    assert set(names()) <= known
    with torch.device("meta"):
        net = timm.create_model("ddf_resnet18", num_classes=7, in_chans=1, size="small")
    ours = on_meta("ddf_resnet18", num_classes=7, in_channels=1, size="small")
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert {key: value.shape for key, value in net.state_dict().items()} == shapes


def test_timm_keeps_the_networks_it_has():
    for name in ("resnet50", "resnext50_32x4d", "res2net50_26w_4s", "res2net101_26w_4s"):
        with torch.device("meta"):
            theirs = timm.create_model(name)
        ours = on_meta(name)
        assert {k: v.shape for k, v in theirs.state_dict().items()} == {
            k: v.shape for k, v in ours.state_dict().items()
        }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pretrained": True}, "pretrained must be False: there are no weights for 'ddf_resnet50'"),
        ({"drop_rate": 0.1}, r"takes num_classes, in_chans and size, got \['drop_rate'\]"),
    ],
)
def test_what_our_networks_cannot_do_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        timm.create_model("ddf_resnet50", **options)
