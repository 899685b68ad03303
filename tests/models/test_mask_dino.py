"""MaskDINO's queries: positions, selection, anchors, denoising, and what the decoder lets them see.

Each part against its definition written out with loops.
"""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("transformers", reason="segmenters need the package transformers")

from repro.models.segmentation.backbones import transformers
from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_dino import SETTINGS as MODEL_SETTINGS
from repro.models.segmentation.mask_dino import MaskDINO, Settings
from repro.models.segmentation.mask_dino.decoder import Decoder
from repro.models.segmentation.mask_dino.deformable import cell_centres, sine_embedding
from repro.models.segmentation.mask_dino.denoising import attention_mask, noised
from repro.models.segmentation.mask_dino.heads import Heads
from repro.models.segmentation.mask_dino.pixel_decoder import Encoded, PixelDecoder
from repro.models.segmentation.mask_dino.selection import (
    QuerySelection,
    anchors_from_masks,
    proposals,
    top_tokens,
)

SMALL = MODEL_SETTINGS["small"]
SHAPES = [(4, 6), (2, 3), (1, 2)]
SETTINGS = Settings(
    width=32,
    heads=4,
    points=2,
    encoder_layers=1,
    encoder_hidden=32,
    decoder_layers=2,
    decoder_hidden=32,
    queries=5,
)


def encoded(batch: int = 2) -> Encoded:
    count = sum(height * width for height, width in SHAPES)
    return Encoded(torch.randn(batch, count, 32), SHAPES, torch.randn(batch, 32, 8, 12))


def heads(num_classes: int = 3) -> Heads:
    """Heads whose box predictions are not at their start, where every box stays where it is."""
    made = Heads(32, num_classes)
    torch.nn.init.normal_(made.box[-1].weight, std=0.1)
    return made


def targets(*counts: int, num_classes: int = 3) -> list[Regions]:
    """Images with so many regions: random classes and boxes, masks of 16 x 24 pixels."""
    found = []
    for count in counts:
        boxes = torch.cat([0.3 + 0.4 * torch.rand(count, 2), 0.1 + 0.4 * torch.rand(count, 2)], 1)
        masks = (torch.rand(count, 16, 24) < 0.5).float()
        found.append(Regions(torch.randint(num_classes, (count,)), masks, boxes))
    return found


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# Positions ---------------------------------------------------------------------------------------


def test_cell_centres_of_all_levels():
    expected = [
        [(x + 0.5) / width, (y + 0.5) / height]
        for height, width in SHAPES
        for y in range(height)
        for x in range(width)
    ]
    torch.testing.assert_close(cell_centres(SHAPES, torch.empty(1)), torch.tensor(expected))


def test_sine_embedding_against_its_formula_and_the_librarys():
    position = torch.rand(3, 2)
    out = sine_embedding(position, 8)
    assert out.shape == (3, 16)
    for i in range(4):
        angle = 2 * math.pi * position[1, 1].item() / 10000 ** (2 * i / 8)
        assert out[1, 8 + 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
        assert out[1, 8 + 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)
    module = transformers("transformers.models.deformable_detr.modeling_deformable_detr")
    theirs = module.DeformableDetrSinePositionEmbedding(16, normalize=True)
    map_of = theirs(torch.Size([1, 32, 4, 6]), "cpu", torch.float32)[0]  # (32, 4, 6)
    ours = sine_embedding(cell_centres([(4, 6)], map_of).flip(-1), 16)
    torch.testing.assert_close(ours, map_of.flatten(1).T, rtol=1e-4, atol=1e-5)


# Query selection ---------------------------------------------------------------------------------


def test_proposals_are_cells_of_growing_size_away_from_the_border():
    shapes = [(2, 100), (1, 1)]
    boxes, is_valid = proposals(shapes, torch.empty(1))
    row = 0
    for level, (height, width) in enumerate(shapes):
        for y in range(height):
            for x in range(width):
                size = 0.05 * 2**level
                expected = [(x + 0.5) / width, (y + 0.5) / height, size, size]
                assert boxes[row].tolist() == pytest.approx(expected)
                assert is_valid[row] == all(0.01 < value < 0.99 for value in expected)
                row += 1
    assert row == len(boxes)
    assert not is_valid.all()


def test_the_tokens_of_highest_class_score_are_selected():
    maps, our_heads = encoded(), heads()
    selection = QuerySelection(32, 5)
    selected = selection(maps, our_heads)
    boxes, _ = proposals(SHAPES, maps.tokens)
    for n in range(2):
        tokens = selection.output(maps.tokens[n])
        scores = [our_heads.classes(our_heads.norm(token)).max().item() for token in tokens]
        best = sorted(range(len(scores)), key=lambda i: -scores[i])[:5]
        assert selected.indices[n].tolist() == best
        torch.testing.assert_close(selected.content[n], tokens[best])
        moved = our_heads.box(our_heads.norm(tokens[best])) + (boxes / (1 - boxes)).log()[best]
        torch.testing.assert_close(selected.predictions.boxes[n], moved.sigmoid())
        masks = our_heads.mask(our_heads.norm(tokens[best])) @ maps.pixels[n].flatten(1)
        torch.testing.assert_close(selected.predictions.masks[n].flatten(1), masks)


def test_the_decoder_does_not_teach_the_selection_and_the_encoder_does():
    selected = QuerySelection(32, 5)(encoded(), heads())
    assert not selected.content.requires_grad
    assert not selected.anchors.requires_grad
    assert selected.predictions.class_logits.requires_grad
    assert selected.predictions.boxes.requires_grad
    assert selected.predictions.masks.requires_grad


def test_invalid_tokens_come_last():
    scores = torch.tensor([[3.0, 9.0, 1.0, 2.0]])
    is_valid = torch.tensor([True, False, True, True])
    assert top_tokens(scores, is_valid, 2).tolist() == [[0, 3]]
    assert top_tokens(scores, is_valid, 4)[0, -1] == 1


def test_images_with_fewer_tokens_than_queries_are_refused():
    with pytest.raises(ValueError, match="40 queries cannot be selected from 32 tokens"):
        QuerySelection(32, 40)(encoded(), heads())


def test_an_anchor_is_the_box_around_the_mask():
    masks = torch.full((1, 3, 8, 12), -1.0)
    masks[0, 0, 2:5, 3:9] = 0.1
    masks[0, 1, 7, 11] = 5.0
    boxes = torch.rand(1, 3, 4)
    anchors = anchors_from_masks(masks, boxes)
    assert anchors[0, 0].tolist() == pytest.approx([6 / 12, 3.5 / 8, 6 / 12, 3 / 8])
    assert anchors[0, 1].tolist() == pytest.approx([11.5 / 12, 7.5 / 8, 1 / 12, 1 / 8])
    assert torch.equal(anchors[0, 2], boxes[0, 2])  # its mask is empty


def test_selected_anchors_are_those_of_their_masks():
    selected = QuerySelection(32, 5)(encoded(), heads())
    expected = anchors_from_masks(selected.predictions.masks, selected.predictions.boxes)
    torch.testing.assert_close(selected.anchors, expected.detach())


# Denoising ---------------------------------------------------------------------------------------


def test_without_noise_the_copies_are_the_regions():
    regions = targets(2, 3, 0)
    copies = noised(regions, queries=10, noise=0, num_classes=3)
    assert (copies.groups, copies.group_size, copies.count) == (3, 3, 9)
    for n, region in enumerate(regions):
        slots, which = copies.matches[n]
        assert len(slots) == 3 * len(region.labels)
        assert copies.is_used[n].nonzero().flatten().tolist() == slots.sort().values.tolist()
        assert torch.equal(copies.labels[n][slots], region.labels[which])
        assert torch.equal(copies.boxes[n][slots], region.boxes[which])
        for group in range(3):  # every group has each region once
            inside = (slots >= 3 * group) & (slots < 3 * group + 3)
            assert sorted(which[inside].tolist()) == list(range(len(region.labels)))


def test_noise_moves_boxes_by_its_share_and_redraws_half_as_many_labels():
    regions = targets(4)
    copies = noised(regions, queries=8000, noise=0.4, num_classes=3)
    slots, which = copies.matches[0]
    boxes, centres = regions[0].boxes[which], copies.boxes[0][slots]
    reach = 0.4 * torch.cat([boxes[:, 2:] / 2, boxes[:, 2:]], 1)
    moved = ((centres - boxes) / reach).flatten()
    assert moved.abs().max() <= 1 + 1e-5
    assert moved.mean().abs() < 0.02
    assert moved.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.01)  # uniform in [-1, 1]
    changed = (copies.labels[0][slots] != regions[0].labels[which]).float().mean()
    assert changed.item() == pytest.approx(0.2 * 2 / 3, abs=0.02)  # one in three stays by chance


def test_there_is_nothing_to_denoise_without_regions_or_with_too_many():
    assert noised(targets(0, 0), queries=10, noise=0.4, num_classes=3) is None
    assert noised(targets(3, 11), queries=10, noise=0.4, num_classes=3) is None
    assert noised(targets(10), queries=10, noise=0.4, num_classes=3).groups == 1


def test_attention_mask_by_its_definition():
    groups, size, queries = 3, 2, 4
    hidden = attention_mask(groups, size, queries)
    for i in range(groups * size + queries):
        for j in range(groups * size + queries):
            i_is_noised, j_is_noised = i < groups * size, j < groups * size
            same_group = i_is_noised and j_is_noised and i // size == j // size
            assert hidden[i, j] == (j_is_noised and not same_group)


def test_groups_cannot_see_each_other_and_the_selected_see_none():
    maps, our_heads, decoder = encoded(), heads(), Decoder(SETTINGS)
    content, boxes = torch.randn(2, 11, 32), 0.2 + 0.6 * torch.rand(2, 11, 4)
    hidden = attention_mask(3, 2, 5)

    def predictions(content, boxes, hidden=hidden):
        last = decoder(content, boxes, maps, our_heads, hidden=hidden)[-1]
        return torch.cat([last.class_logits, last.boxes, last.masks.flatten(2)], -1)

    before = predictions(content, boxes)
    other_content, other_boxes = content.clone(), boxes.clone()
    other_content[:, 2:4] += torch.randn(2, 2, 32)
    other_boxes[:, 2:4] = torch.rand(2, 2, 4)
    after = predictions(other_content, other_boxes)
    changed = (before - after).abs().amax((0, 2)) > 1e-5
    assert changed.tolist() == [False] * 2 + [True] * 2 + [False] * 7
    # The selected queries predict what they would predict alone.
    alone = predictions(content[:, 6:], boxes[:, 6:], None)
    torch.testing.assert_close(before[:, 6:], alone, rtol=1e-4, atol=1e-5)
    # A noised query sees the selected ones; without the mask everyone sees everyone.
    other_content = content.clone()
    other_content[:, 6] += torch.randn(2, 32)
    assert ((before - predictions(other_content, boxes)).abs().amax((0, 2)) > 1e-5).all()
    assert ((before - predictions(content, boxes, None)).abs().amax((0, 2)) > 1e-5).all()


# Decoder and pixel decoder -----------------------------------------------------------------------


def test_the_decoder_predicts_before_and_after_every_layer():
    maps, our_heads, decoder = encoded(), heads(), Decoder(SETTINGS)
    content, boxes = torch.randn(2, 5, 32), torch.rand(2, 5, 4)
    found = decoder(content, boxes, maps, our_heads)
    assert len(found) == 3
    assert torch.equal(found[0].boxes, boxes)
    class_logits, masks = our_heads.class_and_mask(content, maps.pixels)
    assert torch.equal(found[0].class_logits, class_logits)
    assert torch.equal(found[0].masks, masks)
    (last,) = decoder(content, boxes, maps, our_heads, only_last=True)
    for part in ("class_logits", "boxes", "masks"):
        assert torch.equal(getattr(last, part), getattr(found[-1], part))


def test_a_box_is_learnt_through_the_next_layers_prediction():
    maps, our_heads, decoder = encoded(), heads(), Decoder(SETTINGS)
    boxes = torch.rand(2, 5, 4).requires_grad_()
    for prediction in decoder(torch.randn(2, 5, 32), boxes, maps, our_heads):
        (gradient,) = torch.autograd.grad(prediction.boxes.sum(), boxes, retain_graph=True)
        assert gradient.abs().min() > 0


@pytest.mark.parametrize(("first_stage", "levels"), [(1, 3), (1, 4), (0, 5)])
def test_pixel_decoder_levels_and_pixel_embeddings(first_stage, levels):
    settings = Settings(width=32, heads=4, first_stage=first_stage, levels=levels, encoder_layers=1)
    decoder = PixelDecoder([8, 12, 16, 24], settings)
    maps = [torch.randn(2, c, 32 // s, 48 // s) for c, s in ((8, 1), (12, 2), (16, 4), (24, 8))]
    out = decoder(maps)
    expected = [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)][first_stage : first_stage + levels]
    assert out.shapes == expected
    assert out.tokens.shape == (2, sum(h * w for h, w in expected), 32)
    finest = out.tokens[:, : expected[0][0] * expected[0][1]].transpose(1, 2)
    finest = finest.reshape(2, 32, *expected[0])
    enlarged = torch.nn.functional.interpolate(finest, (32, 48), mode="bilinear")
    fused = decoder.output(decoder.lateral(maps[0]) + enlarged)  # M(T(C_b) + F(C_e))
    torch.testing.assert_close(out.pixels, decoder.pixels(fused))


# The model ---------------------------------------------------------------------------------------


def test_what_is_compared_with_what_in_training(monkeypatch):
    calls = []

    def recorded(predictions, targets, matches, *, points, normaliser):
        calls.append((predictions, matches, normaliser))
        return dict.fromkeys(("class", "mask", "dice", "box", "giou"), predictions.masks.sum())

    monkeypatch.setattr(f"{MaskDINO.__module__}.layer_losses", recorded)
    net = MaskDINO("swin_b", 3, "small")
    regions = targets(2, 3)
    losses = net.region_losses(torch.randn(2, 3, 64, 64), regions)
    layers = SMALL.decoder_layers + 1
    selected, denoised = calls[: layers + 1], calls[layers + 1 :]
    assert len(denoised) == layers
    assert all(call[0].masks.shape[1] == SMALL.queries for call in selected)
    assert all(call[2] == 5 for call in selected)
    groups = SMALL.denoising_queries // 3
    for predictions, matches, normaliser in denoised:
        assert predictions.masks.shape[1] == 3 * groups
        assert [len(slots) for slots, _ in matches] == [2 * groups, 3 * groups]
        assert normaliser == 5 * groups
    # The noised queries come first; those of the selection have other predictions.
    for (first, _, _), (second, _, _) in zip(selected[1:], denoised, strict=True):
        assert first.masks.data_ptr() > second.masks.data_ptr()
    expected = torch.stack([call[0].masks.sum() for call in selected]).sum()
    torch.testing.assert_close(losses["mask"], expected)
    expected = torch.stack([call[0].masks.sum() for call in denoised]).sum()
    torch.testing.assert_close(losses["denoising_mask"], expected)
