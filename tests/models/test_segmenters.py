"""Every segmenter of FDConv's Tables 2, 4 and 5: training, inference, exact sizes, bad input."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from repro import papers

pytest.importorskip("transformers", reason="segmenters need the package transformers")

from repro.models.segmentation import (
    SEGMENTERS,
    build_segmenter,
    segmenter_names,
)
from repro.models.segmentation.labels import boxes_of_masks, padded, regions
from repro.models.segmentation.mask_classification import semantic_logits
from repro.models.segmentation.upernet import mean_cross_entropy

LOSSES = {
    "upernet": ["cross_entropy", "auxiliary"],
    "mask2former": ["class", "mask", "dice"],
    "mask_dino": [
        f"{prefix}{name}"
        for prefix in ("", "denoising_")
        for name in ("class", "mask", "dice", "box", "giou")
    ],
}


def scene(height: int = 128, width: int = 128) -> tuple[torch.Tensor, torch.Tensor]:
    """Two images of three flat regions each, of classes 0 to 2, with a border that is ignored."""
    labels = torch.zeros(2, height, width, dtype=torch.int64)
    labels[:, height // 2 :] = 1
    labels[0, :, : width // 3] = 2
    labels[:, :2] = 255
    colours = torch.tensor([[-1.0, 0.0, 1.0], [1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    images = colours[labels.clamp_max(2)].permute(0, 3, 1, 2)
    return images + 0.1 * torch.randn(images.shape), labels


@pytest.mark.parametrize("name", segmenter_names())
def test_a_row_trains_one_step_and_predicts(name):
    torch.manual_seed(0)
    model = build_segmenter(name, num_classes=3).train()
    images, labels = scene()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = model.losses(images, labels)
    assert list(losses) == LOSSES[SEGMENTERS[name].architecture]
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None}
    assert {n.rpartition("swin.layernorm")[1] for n in without} <= {"swin.layernorm"}
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    before = {n: p.detach().clone() for n, p in model.backbone.named_parameters()}
    optimizer.step()
    assert any(not torch.equal(before[n], p) for n, p in model.backbone.named_parameters())
    with torch.no_grad():
        logits = model.eval()(images[:, :, :96])
    assert logits.shape == (2, 3, 96, 128)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["upernet_r50", "mask2former_r50", "maskdino_swin_l_22k"])
def test_a_few_steps_learn_a_scene(name):
    torch.manual_seed(0)
    model = build_segmenter(name, num_classes=3).train()
    images, labels = scene(64, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(25):
        optimizer.zero_grad()
        sum(model.losses(images, labels).values()).backward()
        optimizer.step()
    with torch.no_grad():
        predicted = model.train()(images).argmax(1)
    right = (predicted == labels)[labels != 255].float().mean()
    assert right > 0.9  # the largest class has half of the pixels


def test_the_rows_are_those_of_the_tables():
    sheet = papers.load("fdconv")
    for table in ("table2", "table4", "table5"):
        printed = [row.id for row in sheet.table(table).rows]
        ours = [n for n, row in SEGMENTERS.items() if row.table == f"fdconv.{table}"]
        assert ours == printed
    for row in SEGMENTERS.values():
        assert (row.base is None) == (row.layer is None)
        if row.base is not None:
            base = SEGMENTERS[row.base]
            assert (base.architecture, base.backbone) == (row.architecture, row.backbone)


def test_a_seed_fixes_the_start():
    def start():
        torch.manual_seed(3)
        return build_segmenter("maskdino_swin_l_22k_fdconv", num_classes=3).state_dict()

    for a, b in zip(start().values(), start().values(), strict=True):
        assert torch.equal(a, b)


def test_semantic_logits_are_the_log_of_class_times_mask_probability():
    torch.manual_seed(0)
    probabilities, masks = torch.rand(2, 4, 3), torch.randn(2, 4, 5, 6)
    logits = semantic_logits(probabilities, masks)
    assert logits.shape == (2, 3, 5, 6)
    scores = [
        sum(probabilities[1, q, c] / (1 + math.exp(-masks[1, q, 2, 3])) for q in range(4))
        for c in range(3)
    ]
    expected = torch.stack(scores) / sum(scores)
    torch.testing.assert_close(logits.softmax(1)[1, :, 2, 3], expected)


@pytest.mark.parametrize("name", ["mask2former_swin_b", "maskdino_swin_l_22k"])
def test_sides_that_the_stride_does_not_divide_are_padded_and_cropped(name):
    model = build_segmenter(name, num_classes=3).eval()
    images = torch.randn(1, 3, 70, 101)
    whole = torch.zeros(1, 3, 96, 128)
    whole[:, :, :70, :101] = images
    with torch.no_grad():
        torch.testing.assert_close(model(images), model(whole)[:, :, :70, :101])
        assert model(images[:, :, :1, :1]).shape == (1, 3, 1, 1)


def test_upernet_takes_any_size():
    model = build_segmenter("upernet_r50", num_classes=3).eval()
    for size in ((1, 1), (33, 70), (97, 64)):
        with torch.no_grad():
            assert model(torch.randn(1, 3, *size)).shape == (1, 3, *size)


def test_padding_reaches_the_next_multiple_and_two_of_them():
    assert padded(torch.ones(2, 65, 96), 32, 0).shape == (2, 96, 96)
    assert padded(torch.ones(2, 64, 128), 32, 0).shape == (2, 64, 128)
    assert padded(torch.ones(1, 1), 32, 7).sum() == 1 + 7 * (64 * 64 - 1)


def test_regions_are_one_for_each_class_in_an_image():
    labels = torch.tensor([[[0, 0, 255, 2], [0, 5, 5, 2]], [[255] * 4] * 2])
    first, second = regions(labels)
    assert first.labels.tolist() == [0, 2, 5]
    for label, mask in zip(first.labels, first.masks, strict=True):
        assert torch.equal(mask, (labels[0] == label).float())
    assert first.boxes.tolist() == [
        [0.25, 0.5, 0.5, 1],
        [0.875, 0.5, 0.25, 1],
        [0.5, 0.75, 0.5, 0.5],
    ]
    assert len(second.labels) == len(second.masks) == len(second.boxes) == 0


def test_boxes_of_masks_against_a_loop_over_pixels():
    torch.manual_seed(0)
    masks = torch.rand(20, 5, 7) < 0.1
    masks[0] = False
    for mask, box in zip(masks, boxes_of_masks(masks), strict=True):
        pixels = mask.nonzero().tolist()
        if not pixels:
            assert box.tolist() == [0, 0, 0, 0]
            continue
        top, bottom = min(y for y, _ in pixels) / 5, (max(y for y, _ in pixels) + 1) / 5
        left, right = min(x for _, x in pixels) / 7, (max(x for _, x in pixels) + 1) / 7
        expected = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        assert box.tolist() == pytest.approx(expected)


def test_upernets_cross_entropy_counts_labelled_pixels_only():
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    labels[0, 0] = 255
    log_probabilities = logits.log_softmax(1)
    chosen = [
        -log_probabilities[n, labels[n, y, x], y, x]
        for n in range(2)
        for y in range(4)
        for x in range(4)
        if labels[n, y, x] != 255
    ]
    expected = torch.stack(chosen).mean()
    torch.testing.assert_close(mean_cross_entropy(logits, labels), expected)
    assert mean_cross_entropy(logits, torch.full_like(labels, 255)) == 0
    assert F.cross_entropy(logits, torch.full_like(labels, 255), ignore_index=255).isnan()


def test_mask2former_weighs_the_losses_of_all_layers():
    model = build_segmenter("mask2former_r50", num_classes=3).train()
    images, labels = scene(64, 64)
    torch.manual_seed(1)
    ours = sum(model.losses(images, labels).values())
    torch.manual_seed(1)
    targets = regions(labels)
    library = model.network(
        pixel_values=images,
        mask_labels=[target.masks for target in targets],
        class_labels=[target.labels for target in targets],
    )
    torch.testing.assert_close(ours, library.loss.squeeze())
