"""Exact sizes of full-size segmenters, and which layers of their backbones are replaced."""

from __future__ import annotations

import pytest
import torch

from repro.names import UnknownNameError
from repro.nn import FDConv, FDLinear, ODConv2d

pytest.importorskip("transformers", reason="segmenters need the package transformers")

from repro.models.segmentation import (
    DEFAULT_PLACE,
    SEGMENTERS,
    SWIN_PLACES,
    build_segmenter,
    segmenter_costs,
    segmenter_names,
)
from repro.models.segmentation.backbones import backbone_config, quietly, transformers
from repro.models.segmentation.costs import describe
from repro.models.segmentation.mask_dino import COCO_INSTANCES, MaskDINO, Settings
from repro.models.segmentation.placement import QUOTED_SWIN_T_MILLIONS, added_params, place

# Parameters of every full-size row; the increments of ResNets are those of the fact sheet.
PARAMS = {
    "upernet_r50": 66_496_876,
    "upernet_r50_odconv_4x": 66_496_876 + 65_113_856,
    "upernet_r50_fdconv": 66_496_876 + 3_647_120,
    "mask2former_r50": 44_007_700,
    "mask2former_r50_fdconv": 44_007_700 + 3_647_120,
    "mask2former_swin_b": 106_924_239,
    "mask2former_swin_b_fdconv": 106_924_239 + 13_607_128,
    "mask2former_swin_l_22k": 215_491_851,
    "mask2former_swin_l_22k_fdconv": 215_491_851 + 30_011_256,
    "maskdino_swin_l_22k": 215_355_950,
    "maskdino_swin_l_22k_fdconv": 215_355_950 + 30_011_256,
    "upernet_r101": 85_489_004,
    "upernet_r101_fdconv": 85_489_004 + 7_499_218,
}


# Layers that give way in each backbone: all convolutions of a ResNet's blocks, both feed-forward
# layers of the blocks of Swin's first three stages.
REPLACED = {"resnet50": 48, "resnet101": 99, "swin_b": 2 * (2 + 2 + 18), "swin_l": 2 * (2 + 2 + 18)}


@pytest.mark.parametrize("name", segmenter_names())
def test_full_size_parameters_and_replaced_layers(name):
    row = SEGMENTERS[name]
    num_classes = 19 if row.table == "fdconv.table4" else 150
    with torch.device("meta"):
        model = build_segmenter(name, num_classes=num_classes, size="full")
    assert sum(p.numel() for p in model.parameters()) == PARAMS[name]
    placed = [m for m in model.modules() if isinstance(m, FDConv | FDLinear | ODConv2d)]
    assert len(placed) == (REPLACED[row.backbone] if row.layer else 0)
    inside = {id(m) for m in model.backbone.modules()}
    assert all(id(m) in inside for m in placed)


def test_costs_at_the_sizes_of_the_tables():
    upernet = segmenter_costs("upernet_r50")
    assert upernet["params"] == PARAMS["upernet_r50"]
    assert upernet["input_size"] == [1, 3, 512, 512]
    assert upernet["macs"] / 1e9 == pytest.approx(236.607, abs=1e-3)
    assert upernet["params_delta"] is None
    swin = segmenter_costs("mask2former_swin_b")
    assert swin["backbone_params"] == 86_882_424
    assert swin["macs"] / 1e9 == pytest.approx(222.464, abs=1e-3)
    assert upernet["uncounted"] == swin["uncounted"] == []
    odconv = segmenter_costs("upernet_r50_odconv_4x")
    assert odconv["params_delta"] == 65_113_856
    assert odconv["macs_delta"] == odconv["macs"] - upernet["macs"] > 0
    rows = {key.rpartition(".")[2]: row["costs"] for key, row in describe("fdconv.table2").items()}
    assert list(rows) == ["upernet_r50", "upernet_r50_odconv_4x", "upernet_r50_fdconv"]
    assert "params_delta_m" not in rows["upernet_r50"]
    for row, printed in (("upernet_r50_odconv_4x", 65), ("upernet_r50_fdconv", 4)):
        found = rows[row]["params_delta_m"]
        assert (found["printed"], found["verdict"]) == (printed, "exact")
    assert rows["upernet_r50"]["flops_g"]["counted"] == upernet["macs"] / 1e9
    assert rows["upernet_r50"]["flops_g"]["verdict"] is None
    with pytest.raises(UnknownNameError, match="did you mean upernet_r50"):
        segmenter_costs("upernet_r5")


@pytest.mark.parametrize(
    ("backbone", "settings", "printed"),
    [
        ("swin_l", COCO_INSTANCES, 223),
        ("resnet50", Settings(levels=4, encoder_hidden=2048, queries=300), 52),
    ],
)
def test_maskdino_has_the_parameters_that_its_authors_print(backbone, settings, printed):
    with torch.device("meta"):
        model = MaskDINO(backbone, 80, "full", settings)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == printed


def test_the_default_place_in_a_swin_is_the_nearest_of_the_feed_forward_ones():
    added = {where: added_params("swin_t", where) / 1e6 for where in SWIN_PLACES}
    assert {where: round(millions, 2) for where, millions in added.items()} == {
        "feed_forward": 6.03,
        "feed_forward_fc1": 1.0,
        "feed_forward_fc2": 5.02,
        "feed_forward_first_stages": 2.81,
        "feed_forward_last_stage": 3.22,
        "attention": 1.94,
        "attention_and_fc1": 2.94,
    }
    candidates = [where for where in SWIN_PLACES if where.startswith("feed_forward")]
    nearest = min(candidates, key=lambda where: abs(added[where] - QUOTED_SWIN_T_MILLIONS))
    assert nearest == DEFAULT_PLACE


@pytest.mark.parametrize("where", SWIN_PLACES)
def test_placing_fdconv_leaves_a_swin_what_it_was(where):
    with quietly():
        net = transformers().AutoBackbone.from_config(backbone_config("swin_b", "small")).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = net(x).feature_maps
        place(net, "fdconv", where=where)
        after = net(x).feature_maps
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
