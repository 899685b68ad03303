"""Pretrained weights of segmenters: what is loaded, converted, refused."""

from __future__ import annotations

import pytest
import torch
from timm.models.resnet import Bottleneck, ResNet

pytest.importorskip("transformers", reason="segmenters need the package transformers")

from safetensors.torch import save_file

from repro.models.segmentation import build_segmenter
from repro.models.segmentation.backbones import (
    STAGES,
    backbone_config,
    from_torchvision_resnet,
    transformers,
)
from repro.models.segmentation.weights import load_weights


def outputs(model, seed: int = 0) -> torch.Tensor:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return model.eval()(x)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_of_a_whole_segmenter_come_back(tmp_path, suffix):
    model = build_segmenter("maskdino_swin_l_22k", num_classes=3)
    path = tmp_path / f"weights{suffix}"
    save = torch.save if suffix == ".pt" else save_file
    save(model.state_dict(), path)
    again = build_segmenter("maskdino_swin_l_22k", num_classes=3, weights=path)
    assert torch.equal(outputs(again), outputs(model))


@pytest.mark.parametrize(
    ("base", "row"),
    [
        ("upernet_r50", "upernet_r50_fdconv"),
        ("upernet_r50", "upernet_r50_odconv_4x"),
        ("mask2former_swin_b", "mask2former_swin_b_fdconv"),
    ],
)
def test_weights_of_the_plain_network_are_converted(tmp_path, base, row):
    model = build_segmenter(base, num_classes=3)
    torch.save({"state_dict": model.state_dict(), "epoch": 3}, tmp_path / "plain.pt")
    changed = build_segmenter(row, num_classes=3, weights=tmp_path / "plain.pt")
    torch.testing.assert_close(outputs(changed), outputs(model), rtol=1e-3, atol=1e-3)
    torch.save(changed.state_dict(), tmp_path / "own.pt")
    again = build_segmenter(row, num_classes=3, weights=tmp_path / "own.pt")
    assert torch.equal(outputs(again), outputs(changed))


def test_weights_of_the_librarys_network_or_of_a_backbone_are_told_apart(tmp_path):
    model = build_segmenter("mask2former_swin_b", num_classes=3)
    other = build_segmenter("mask2former_swin_b_fdconv", num_classes=3)
    torch.save(model.network.state_dict(), tmp_path / "network.pt")
    torch.save(model.backbone.state_dict(), tmp_path / "backbone.pt")
    torch.save(model.state_dict(), tmp_path / "segmenter.pt")
    for name in ("network", "backbone", "segmenter"):
        assert load_weights(other, other.backbone, tmp_path / f"{name}.pt") == name
    torch.testing.assert_close(outputs(other), outputs(model), rtol=1e-3, atol=1e-3)


def test_folders_that_transformers_wrote(tmp_path):
    library = transformers()
    classifier = library.SwinForImageClassification(backbone_config("swin_b", "small"))
    classifier.save_pretrained(tmp_path / "swin")
    model = build_segmenter("maskdino_swin_l_22k", num_classes=3)
    with pytest.raises(ValueError, match=r"swin does not fit the backbone: .* must be"):
        load_weights(model, model.backbone, tmp_path / "swin")  # of a smaller Swin
    model = build_segmenter("mask2former_swin_b", num_classes=3)
    assert load_weights(model, model.backbone, tmp_path / "swin") == "backbone"
    theirs = classifier.swin.state_dict()
    ours = model.backbone.swin.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    model.network.save_pretrained(tmp_path / "whole")
    row = build_segmenter("mask2former_swin_b_fdconv", num_classes=3, weights=tmp_path / "whole")
    torch.testing.assert_close(outputs(row), outputs(model), rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="it holds a swin, expected one of resnet, upernet"):
        build_segmenter("upernet_r50", num_classes=3, weights=tmp_path / "swin")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty is no checkpoint: it has no config\.json"):
        build_segmenter("upernet_r50", num_classes=3, weights=tmp_path / "empty")


def test_a_resnet_of_timm_becomes_one_of_transformers():
    torch.manual_seed(0)
    theirs = ResNet(Bottleneck, (1, 2, 1, 1), channels=(8, 16, 24, 32)).eval()
    library = transformers()
    config = library.ResNetConfig(
        embedding_size=64,
        hidden_sizes=[32, 64, 96, 128],
        depths=[1, 2, 1, 1],
        out_features=list(STAGES),
    )
    ours = library.AutoBackbone.from_config(config).eval()
    ours.load_state_dict(from_torchvision_resnet(theirs.state_dict()))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        last = ours(x).feature_maps[-1]
        torch.testing.assert_close(last, theirs.forward_features(x))


def test_full_size_resnets_of_timm_have_all_names():
    with torch.device("meta"):
        theirs = ResNet(Bottleneck, (3, 4, 23, 3))
        ours = transformers().AutoBackbone.from_config(backbone_config("resnet101", "full"))
    renamed = from_torchvision_resnet(theirs.state_dict())
    assert {n: t.shape for n, t in renamed.items()} == {
        n: t.shape for n, t in ours.state_dict().items()
    }


def test_files_that_do_not_fit_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*nowhere\.pt"):
        build_segmenter("upernet_r50", num_classes=3, weights=tmp_path / "nowhere.pt")
    (tmp_path / "text.pt").write_text("these are no weights")
    with pytest.raises(ValueError, match=r"text\.pt is no checkpoint"):
        build_segmenter("upernet_r50", num_classes=3, weights=tmp_path / "text.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"list\.pt holds no mapping from names to tensors"):
        build_segmenter("upernet_r50", num_classes=3, weights=tmp_path / "list.pt")

    state = build_segmenter("upernet_r50", num_classes=4).state_dict()
    torch.save(state, tmp_path / "four.pt")
    wrong = r"four\.pt does not fit the segmenter: network\.decode_head\.classifier\.weight must be"
    with pytest.raises(ValueError, match=wrong):
        build_segmenter("upernet_r50", num_classes=3, weights=tmp_path / "four.pt")
    del state["network.decode_head.classifier.weight"]
    state["network.extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pt")
    names = r"missing: network\.decode_head\.classifier\.weight; .* nothing: network\.extra"
    for row in ("upernet_r50", "upernet_r50_fdconv", "upernet_r50_odconv_4x"):
        with pytest.raises(KeyError, match=names):
            build_segmenter(row, num_classes=4, weights=tmp_path / "other.pt")
