"""What segmenters refuse, and why; what they take although there is little to learn from."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch

import repro.models.segmentation
from repro.names import UnknownNameError

pytest.importorskip("transformers", reason="segmenters need the package transformers")

from repro.models.segmentation import build_segmenter
from repro.models.segmentation.backbones import backbone_config, quietly, transformers
from repro.models.segmentation.placement import place

ROWS = ["upernet_r50", "mask2former_r50", "maskdino_swin_l_22k"]


@pytest.fixture(scope="module")
def models():
    return {name: build_segmenter(name, num_classes=3) for name in ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_images_and_labels_that_do_not_fit_are_refused(models, name):
    model = models[name]
    images, labels = torch.randn(2, 3, 64, 64), torch.zeros(2, 64, 64, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"labels must be \(2, 64, 64\).*got \(2, 64, 32\)"):
        model.losses(images, labels[:, :, :32])
    with pytest.raises(ValueError, match=r"labels must be .* got \(1, 64, 64\)"):
        model.losses(images, labels[:1])
    with pytest.raises(TypeError, match=r"labels must be int64, got torch\.uint8"):
        model.losses(images, labels.byte())
    labels[0, 0, :3] = torch.tensor([3, 200, -1])
    with pytest.raises(ValueError, match=r"0 to 2, or 255 .* 3 pixels have others: -1, 3, 200"):
        model.losses(images, labels)
    for wrong in (images[:, :1], images[0], images[:0], images[:, :, :0]):
        with pytest.raises(ValueError, match="images must be"):
            model(wrong)
    with pytest.raises(TypeError, match=r"images must be floating point, got torch\.uint8"):
        model((255 * images).byte())


@pytest.mark.parametrize("name", ROWS)
def test_images_that_are_all_ignored_cost_nothing_but_found_nothing(models, name):
    model = models[name].train()
    labels = torch.full((2, 64, 64), 255)
    losses = model.losses(torch.randn(2, 3, 64, 64), labels)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert [n for n, loss in losses.items() if loss.item() != 0] in ([], ["class"])
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_names_sizes_and_classes_that_do_not_exist():
    with pytest.raises(UnknownNameError, match="unknown segmenter 'upernet_50'; did you mean"):
        build_segmenter("upernet_50", num_classes=3)
    with pytest.raises(UnknownNameError, match="unknown network size 'big'"):
        build_segmenter("upernet_r50", num_classes=3, size="big")
    with pytest.raises(UnknownNameError, match="unknown place 'mlp'"):
        build_segmenter("mask2former_swin_b_fdconv", num_classes=3, where="mlp")
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        build_segmenter("upernet_r50", num_classes=1)
    with quietly():
        net = transformers().AutoBackbone.from_config(backbone_config("swin_b", "small"))
    with pytest.raises(ValueError, match="odconv replaces convolutions of residual blocks"):
        place(net, "odconv")


def test_no_file_imports_transformers_before_it_is_needed():
    folder = Path(repro.models.segmentation.__file__).parent
    for path in folder.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "transformers" not in ast.unparse(node).split("import")[0], path


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match="segmenters need the package transformers"):
        build_segmenter("upernet_r50", num_classes=3)
