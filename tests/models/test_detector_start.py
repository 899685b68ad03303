"""How detectors start: group norm does not mix images, weights are found by the body's name."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from repro.models import build
from repro.models.detection.start import start_detector, to_group_norm, weights_file
from repro.names import UnknownNameError


def test_with_group_norm_an_image_is_seen_alone():
    torch.manual_seed(0)
    model = start_detector("faster_rcnn_fdconv", norm="group", num_classes=2).train()
    body = model.backbone.body
    assert not any(isinstance(module, _BatchNorm) for module in body.modules())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        together, alone = body(images), body(images[:1])
    for name, map_ in together.items():
        torch.testing.assert_close(map_[:1], alone[name])


def test_batch_norm_mixes_them():
    torch.manual_seed(0)
    body = start_detector("nearest", num_classes=2).train().backbone.body
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(body(images)["3"][:1], body(images[:1])["3"])


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (8, 1), (16, 2), (20, 2), (64, 8)])
def test_groups_have_eight_channels_or_more(channels, groups):
    norm = to_group_norm(nn.Sequential(nn.BatchNorm2d(channels)))[0]
    assert norm.num_groups == groups


def test_weights_are_those_of_the_body_or_of_the_plain_network(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"dcd_resnet50\.pt or .*resnet50\.pt"):
        weights_file("faster_rcnn_dcd", tmp_path)
    (tmp_path / "resnet50.pt").touch()
    assert weights_file("faster_rcnn_dcd", tmp_path) == tmp_path / "resnet50.pt"
    (tmp_path / "dcd_resnet50.pt").touch()
    assert weights_file("faster_rcnn_dcd", tmp_path) == tmp_path / "dcd_resnet50.pt"
    with pytest.raises(FileNotFoundError, match=r"swin_t\.pt$"):
        weights_file("mask_rcnn_swin_t", tmp_path)


def test_fdconv_starts_from_the_plain_network(tmp_path):
    torch.manual_seed(0)
    plain = build("resnet50", size="narrow")
    torch.save(plain.state_dict(), tmp_path / "resnet50.pt")
    model = start_detector("faster_rcnn_fdconv", weights=tmp_path, num_classes=2).eval()
    base = start_detector("nearest", weights=tmp_path, num_classes=2).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = (one.backbone.body(images)["3"] for one in (model, base))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_what_cannot_be_started_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="norm"):
        start_detector("nearest", norm="layer", num_classes=2)
    with pytest.raises(ValueError, match="cannot start from any"):
        start_detector("nearest", norm="group", weights=tmp_path, num_classes=2)
