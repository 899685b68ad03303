"""Detectors of the tables: each trains and predicts; the pyramid; what is frozen; refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.ops import FeaturePyramidNetwork

from repro import papers
from repro.models import build
from repro.models.detection import DETECTORS, build_detector, detector_names
from repro.models.detection.backbone import MODULATION, PyramidBackbone, load_weights
from repro.models.detection.fpn import UpsamplingFPN
from repro.models.detection.transformers import build_transformer, place_fdlinear
from repro.models.detection.upsamplers import UPSAMPLERS
from repro.names import UnknownNameError
from repro.nn import FDConv, FDLinear, KWLinear, ODConv2d

SIDES = (48, 64)


def picture(height: int = 40, width: int = 56) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def objects(*boxes: tuple[int, int, int, int], height: int = 40, width: int = 56):
    masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = 1
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.arange(1, len(boxes) + 1),
        "masks": masks,
    }


def pyramid_backbone(**options) -> PyramidBackbone:
    net = build("resnet50", size="narrow", num_classes=2)
    return PyramidBackbone(net, [64, 128, 256, 512], 16, **options)


def test_every_row_of_the_three_tables_is_a_detector():
    rows = {
        row.id
        for paper, table in (("ddf", "table6"), ("fdconv", "table1"), ("fdconv", "table3"))
        for row in papers.load(paper).table(table).rows
    }
    assert set(detector_names()) == set(DETECTORS) == rows
    for detector in DETECTORS.values():
        if detector.base is not None:
            base = DETECTORS[detector.base]
            assert base.base is None
            assert base.masks == detector.masks


@pytest.mark.parametrize("name", DETECTORS)
def test_each_trains_and_predicts(name):
    torch.manual_seed(0)
    model = build_detector(name, num_classes=2, sides=SIDES)
    model.roi_heads.detections_per_img = 3
    losses = model([picture()], [objects((5, 6, 30, 32), (20, 3, 50, 20))])
    names = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert set(losses) == names | ({"loss_mask"} if DETECTORS[name].masks else set())
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path
    with torch.no_grad():
        (found,) = model.eval()([picture()])
    assert found["boxes"].shape == (len(found["labels"]), 4)
    assert len(found["labels"]) > 0
    assert set(found["labels"].tolist()) <= {1, 2}
    assert ("masks" in found) == DETECTORS[name].masks
    if DETECTORS[name].masks:
        assert found["masks"].shape == (len(found["labels"]), 1, 40, 56)


def test_dynamic_layers_stand_where_the_row_has_them():
    kinds = {
        "faster_rcnn_fdconv": (FDConv, 12),
        "mask_rcnn_odconv_4x": (ODConv2d, 12),
        "mask_rcnn_convnext_t_kw": (KWLinear, 8),
        "mask_rcnn_swin_t_fdconv": (FDLinear, 8),
        "mask_rcnn_convnext_t_fdconv": (FDLinear, 1),
    }
    for name, (kind, number) in kinds.items():
        body = build_detector(name, num_classes=2).backbone.body
        assert sum(isinstance(module, kind) for module in body.modules()) == number, name


def test_an_image_without_objects_is_trained_on():
    model = build_detector("mask_rcnn_r50", num_classes=2, sides=SIDES)
    losses = model([picture(), picture()], [objects(), objects((5, 6, 30, 32))])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_detector_starts_the_same_from_the_same_seed():
    states = []
    for _ in range(2):
        torch.manual_seed(4)
        states.append(build_detector("ddf_up", num_classes=2).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("sizes", [((8, 12), (4, 6), (2, 3)), ((9, 13), (5, 7), (3, 4))])
def test_with_nearest_the_pyramid_is_torchvisions(sizes):
    torch.manual_seed(0)
    ours = UpsamplingFPN([3, 4, 5], 6)
    theirs = FeaturePyramidNetwork([3, 4, 5], 6)
    theirs.load_state_dict(ours.state_dict())
    maps = {str(i): torch.randn(2, 3 + i, *size) for i, size in enumerate(sizes)}
    found, expected = ours(maps), theirs(dict(maps))
    for name, map_ in expected.items():
        assert torch.equal(found[name], map_)
    assert list(found) == ["0", "1", "2", "pool"]


@pytest.mark.parametrize("upsampler", UPSAMPLERS)
def test_sizes_that_are_no_exact_doubles_are_fitted(upsampler):
    fpn = UpsamplingFPN([3, 4, 5], 8, upsampler)
    # 5 -> 10 cut to 9, and (strides that round down) 4 -> 8 continued to 9; 9 and 19 alike.
    maps = {"0": torch.randn(1, 3, 18, 19), "1": torch.randn(1, 4, 9, 9)}
    maps["2"] = torch.randn(1, 5, 5, 4)
    found = fpn(maps)
    assert [tuple(map_.shape[2:]) for map_ in found.values()] == [(18, 19), (9, 9), (5, 4), (3, 2)]
    sum(map_.sum() for map_ in found.values()).backward()
    assert all(parameter.grad is not None for parameter in fpn.parameters())


def test_a_missing_row_repeats_the_last():
    fpn = UpsamplingFPN([1, 1], 1)
    for block in (*fpn.inner_blocks, *fpn.layer_blocks):
        nn.init.zeros_(block[0].weight)
    with torch.no_grad():
        fpn.inner_blocks[1][0].weight.fill_(1)
        fpn.layer_blocks[0][0].weight[..., 1, 1] = 1
    found = fpn({"0": torch.zeros(1, 1, 5, 3), "1": torch.tensor([[[[1.0, 2], [3, 4]]]])})
    expected = [[1, 1, 2], [1, 1, 2], [3, 3, 4], [3, 3, 4], [3, 3, 4]]
    assert found["0"][0, 0].tolist() == expected


def test_maps_that_do_not_double_are_refused():
    fpn = UpsamplingFPN([3, 4], 8)
    with pytest.raises(ValueError, match="a map of 9 x 8 cannot be added to one that doubles to 6"):
        fpn({"0": torch.zeros(1, 3, 9, 8), "1": torch.zeros(1, 4, 3, 4)})


@pytest.mark.parametrize("body", ["resnet50", "convnext_t", "swin_t"])
@pytest.mark.parametrize("size", [(64, 96), (45, 70)])
def test_maps_have_strides_of_4_to_32(body, size):
    if body == "resnet50":
        backbone = pyramid_backbone()
    else:
        net = build_transformer(body, size="narrow", num_classes=2)
        backbone = PyramidBackbone(net, [24, 48, 96, 192], 16)
    found = backbone.eval()(torch.randn(2, 3, *size))
    assert list(found) == ["0", "1", "2", "3", "pool"]
    for stride, map_ in zip((4, 8, 16, 32, 64), found.values(), strict=True):
        assert map_.shape[:2] == (2, 16)
        for length, all_of_it in zip(map_.shape[2:], size, strict=True):
            assert all_of_it // stride <= length <= -(-all_of_it // stride)


def test_from_scratch_nothing_is_frozen():
    model = build_detector("faster_rcnn_fdconv", num_classes=2)
    assert all(parameter.requires_grad for parameter in model.parameters())
    batch_norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert batch_norms
    assert all(module.training for module in batch_norms)


@pytest.mark.parametrize("name", ["resnet50", "fdconv_resnet50"])
def test_frozen_stages_keep_their_weights_but_not_their_modulation(name):
    # Narrow stages of 16 channels have no modulation: here the second stage is frozen as well.
    net = build(name, size="narrow", num_classes=2)
    backbone = PyramidBackbone(
        net, [64, 128, 256, 512], 16, frozen_stages=2, freeze_statistics=True
    )
    backbone.train()
    frozen = ("conv1", "bn1", "layer1", "layer2")
    exempt = 0
    for path, parameter in backbone.body.named_parameters():
        is_modulation = any(part in path for part in MODULATION)
        trained = is_modulation or not path.startswith(frozen)
        assert parameter.requires_grad == trained, path
        exempt += is_modulation and path.startswith(frozen)
    assert (exempt > 0) == (name == "fdconv_resnet50")
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert not any(module.training for module in norms)
    before = {key: value.clone() for key, value in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(before[key], value) for key, value in backbone.named_buffers())
    assert backbone.eval().train().training
    assert not any(module.training for module in norms)


@pytest.mark.parametrize("name", ["resnet50", "fdconv_resnet50", "odconv4x_resnet50"])
def test_a_network_starts_from_plain_weights(tmp_path, name):
    plain = build("resnet50", size="narrow", num_classes=7)
    torch.save(plain.state_dict(), tmp_path / "plain.pt")
    net = build(name, size="narrow", num_classes=2)
    load_weights(net, tmp_path / "plain.pt")
    x = torch.randn(2, 3, 64, 64)
    plain.fc, net.fc = nn.Identity(), nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), plain.eval()(x), rtol=1e-3, atol=1e-4)


def test_a_detector_with_weights_is_frozen_as_in_the_papers(tmp_path):
    torch.save(build("resnet50", size="narrow").state_dict(), tmp_path / "plain.pt")
    model = build_detector("mask_rcnn_fdconv", num_classes=2, weights=tmp_path / "plain.pt")
    body = model.train().backbone.body
    assert not body["conv1"].weight.requires_grad
    assert not any(parameter.requires_grad for parameter in body["layer1"].parameters())
    assert all(parameter.requires_grad for parameter in body["layer2"].parameters())
    assert not body["bn1"].training
    thawed = build_detector(
        "mask_rcnn_fdconv", num_classes=2, weights=tmp_path / "plain.pt", frozen_stages=0
    )
    assert all(parameter.requires_grad for parameter in thawed.parameters())


def test_torchvisions_weights_have_the_names_that_are_read(tmp_path):
    with torch.device("meta"):
        theirs, ours = resnet50(), build("resnet50")
    assert {k: v.shape for k, v in theirs.state_dict().items()} == {
        k: v.shape for k, v in ours.state_dict().items()
    }


def test_weights_of_transformers(tmp_path):
    plain = build_transformer("swin_t", size="narrow", num_classes=7)
    torch.save(plain.state_dict(), tmp_path / "swin.pt")
    net = build_transformer("swin_t", size="narrow", num_classes=2)
    place_fdlinear(net, stages=(0, 3))
    load_weights(net, tmp_path / "swin.pt")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = net.eval().features(x), plain.eval().features(x)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(build("resnet18", size="narrow").state_dict(), tmp_path / "other.pt")
    for name in ("resnet50", "kw1x_resnet50", "odconv4x_resnet50"):
        with pytest.raises((KeyError, ValueError), match=r"missing|must be"):
            load_weights(build(name, size="narrow"), tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_detector("ddfup", num_classes=2), "unknown detector 'ddfup'; did you mean"),
        (lambda: build_detector("ddf_up", num_classes=2, size="tiny"), "unknown detector size"),
        (lambda: UpsamplingFPN([3, 4], 8, "bicubic"), "unknown upsampler 'bicubic'"),
        (lambda: build_transformer("swin_b", size="full"), "unknown network body 'swin_b'"),
        (lambda: build_transformer("swin_t", size="small"), "unknown network size 'small'"),
    ],
)
def test_unknown_names_are_refused(call, message):
    with pytest.raises(UnknownNameError, match=message):
        call()


def test_a_detector_of_nothing_is_refused():
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        build_detector("ddf_up", num_classes=0)
