"""MaskDINO's hybrid matching and losses, against formulas written out and brute force."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from repro.models.segmentation.labels import Regions
from repro.models.segmentation.mask_dino.heads import Predictions
from repro.models.segmentation.mask_dino.losses import (
    box_losses,
    class_loss,
    layer_losses,
    mask_losses,
)
from repro.models.segmentation.mask_dino.matching import WEIGHTS, matched, matching_cost
from repro.models.segmentation.mask_dino.points import sampled, uncertain_points


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def focal(logit: float, wanted: bool) -> float:
    right = sigmoid(logit) if wanted else 1 - sigmoid(logit)
    return (0.25 if wanted else 0.75) * (1 - right) ** 2 * -math.log(right)


def cross_entropy(logits: list[float], wanted: list[float]) -> float:
    terms = [
        -math.log(sigmoid(x) if y else 1 - sigmoid(x)) for x, y in zip(logits, wanted, strict=True)
    ]
    return sum(terms) / len(terms)


def dice(logits: list[float], wanted: list[float]) -> float:
    shares = [sigmoid(x) for x in logits]
    overlap = 2 * sum(s * y for s, y in zip(shares, wanted, strict=True))
    return 1 - (overlap + 1) / (sum(shares) + sum(wanted) + 1)


def giou(a: list[float], b: list[float]) -> float:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = (
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in (a, b)
    )
    inner = max(min(ax1, bx1) - max(ax0, bx0), 0) * max(min(ay1, by1) - max(ay0, by0), 0)
    union = a[2] * a[3] + b[2] * b[3] - inner
    hull = (max(ax1, bx1) - min(ax0, bx0)) * (max(ay1, by1) - min(ay0, by0))
    return inner / union - (hull - union) / hull


def l1(a: list[float], b: list[float]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True))


def boxes(count: int) -> torch.Tensor:
    return torch.cat([torch.rand(count, 2), 0.1 + 0.5 * torch.rand(count, 2)], 1)


def some(queries: int, regions: int, images: int = 1) -> tuple[Predictions, list[Regions]]:
    predictions = Predictions(
        torch.randn(images, queries, 4),
        torch.stack([boxes(queries) for _ in range(images)]),
        3 * torch.randn(images, queries, 6, 8),
    )
    targets = [
        Regions(
            torch.randint(4, (regions,)), (torch.rand(regions, 6, 8) < 0.5).float(), boxes(regions)
        )
        for _ in range(images)
    ]
    return predictions, targets


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pixel_centres(height: int = 6, width: int = 8) -> torch.Tensor:
    rows = [[(x + 0.5) / width, (y + 0.5) / height] for y in range(height) for x in range(width)]
    return torch.tensor([rows])


# Points ------------------------------------------------------------------------------------------


def test_at_pixel_centres_a_map_has_the_values_of_its_pixels():
    maps = torch.randn(3, 6, 8)
    torch.testing.assert_close(sampled(maps, pixel_centres()), maps.flatten(1))
    between = torch.tensor([[[2 / 8, 1 / 6]]])  # the corner that four pixels share
    torch.testing.assert_close(sampled(maps, between)[:, 0], maps[:, :2, 1:3].mean((1, 2)))
    corner = torch.tensor([[[0.0, 0.01]]])  # nearer to the border than the first pixel's centre
    torch.testing.assert_close(sampled(maps, corner)[:, 0], maps[:, 0, 0])
    assert sampled(maps[:0], pixel_centres()).shape == (0, 48)


def test_three_quarters_of_the_points_are_the_most_uncertain():
    ramp = torch.linspace(-4, 4, 64).expand(2, 5, 64)  # certain at both sides
    points = uncertain_points(ramp, 400)
    assert points.shape == (2, 400, 2)
    uncertainty = sampled(ramp, points).abs()
    # 300 of 1200 candidates: about the middle quarter of the ramp, where |logit| < 1.
    assert uncertainty[:, :300].max() < 1.2
    assert uncertainty[:, 300:].mean() == pytest.approx(2, abs=0.3)


# Matching ----------------------------------------------------------------------------------------


def test_matching_cost_is_the_weighted_sum_of_five_terms():
    predictions, (target,) = some(queries=3, regions=2)
    logits, places, masks = (x[0] for x in vars(predictions).values())
    points = pixel_centres()
    cost = matching_cost(logits, places, masks, target, points)
    for q, k in itertools.product(range(3), range(2)):
        label, box, wanted = target.labels[k], places[q].tolist(), target.boxes[k].tolist()
        values, mask = masks[q].flatten().tolist(), target.masks[k].flatten().tolist()
        score = logits[q, label].item()
        expected = (
            4 * (focal(score, True) - focal(score, False))
            + 5 * cross_entropy(values, mask)
            + 5 * dice(values, mask)
            + 5 * l1(box, wanted)
            - 2 * giou(box, wanted)
        )
        assert cost[q, k].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("queries", "regions"), [(5, 3), (3, 3), (2, 4), (4, 0)])
def test_matching_equals_brute_force(queries, regions, monkeypatch):
    predictions, targets = some(queries, regions, images=2)
    points = torch.rand(1, 40, 2)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: points)
    found = matched(predictions, targets, 40)
    for n, target in enumerate(targets):
        parts = (part[n] for part in vars(predictions).values())
        cost = matching_cost(*parts, target, points)
        if queries >= regions:
            choices = itertools.permutations(range(queries), regions)
            best = min(choices, key=lambda rows: sum(cost[r, k] for k, r in enumerate(rows)))
            expected = {(row, k) for k, row in enumerate(best)}
        else:
            choices = itertools.permutations(range(regions), queries)
            best = min(choices, key=lambda columns: sum(cost[q, c] for q, c in enumerate(columns)))
            expected = set(enumerate(best))
        rows, columns = found[n]
        assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


# Losses ------------------------------------------------------------------------------------------


def test_class_loss_is_the_focal_loss_of_all_queries_and_classes():
    logits = torch.randn(2, 3, 4)
    chosen = (torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]))
    labels = torch.tensor([3, 0, 0])
    wanted = {(0, 2, 3), (1, 0, 0), (1, 1, 0)}
    expected = sum(
        focal(logits[index].item(), index in wanted)
        for index in itertools.product(range(2), range(3), range(4))
    )
    assert class_loss(logits, chosen, labels).item() == pytest.approx(expected, rel=1e-5)


def test_mask_losses_are_cross_entropy_and_dice_at_the_points(monkeypatch):
    logits, masks = torch.randn(2, 6, 8), (torch.rand(2, 6, 8) < 0.5).float()
    module = "repro.models.segmentation.mask_dino.losses.uncertain_points"
    monkeypatch.setattr(module, lambda maps, count: pixel_centres().expand(len(maps), -1, -1))
    found = mask_losses(logits, masks, 48)
    pairs = [
        (a.flatten().tolist(), b.flatten().tolist()) for a, b in zip(logits, masks, strict=True)
    ]
    assert found["mask"].item() == pytest.approx(sum(cross_entropy(*p) for p in pairs), rel=1e-5)
    assert found["dice"].item() == pytest.approx(sum(dice(*p) for p in pairs), rel=1e-5)


def test_box_losses_are_l1_and_generalised_iou():
    ours, wanted = boxes(5), boxes(5)
    ours[0] = torch.tensor([0.1, 0.1, 0.1, 0.1])  # far from the wanted one: no overlap
    wanted[0] = torch.tensor([0.8, 0.9, 0.1, 0.1])
    found = box_losses(ours, wanted)
    pairs = list(zip(ours.tolist(), wanted.tolist(), strict=True))
    assert found["box"].item() == pytest.approx(sum(l1(*p) for p in pairs), rel=1e-5)
    assert found["giou"].item() == pytest.approx(sum(1 - giou(*p) for p in pairs), rel=1e-5)
    assert found["giou"] > 1


def test_layer_losses_pair_queries_with_their_regions():
    predictions, targets = some(queries=4, regions=2, images=2)
    matches = [
        (torch.tensor([3, 1]), torch.tensor([0, 1])),
        (torch.tensor([0]), torch.tensor([1])),
    ]
    found = layer_losses(predictions, targets, matches, points=64, normaliser=3)
    pairs = [(0, 3, 0), (0, 1, 1), (1, 0, 1)]
    box_pairs = [
        (predictions.boxes[n, q].tolist(), targets[n].boxes[k].tolist()) for n, q, k in pairs
    ]
    assert found["box"].item() == pytest.approx(5 * sum(l1(*p) for p in box_pairs) / 3, rel=1e-5)
    wanted = {(n, q, targets[n].labels[k].item()) for n, q, k in pairs}
    focal_sum = sum(
        focal(predictions.class_logits[index].item(), index in wanted)
        for index in itertools.product(range(2), range(4), range(4))
    )
    assert found["class"].item() == pytest.approx(4 * focal_sum / 3, rel=1e-5)
    assert list(found) == list(WEIGHTS)


def test_perfect_predictions_cost_little_and_match_themselves():
    _, targets = some(queries=0, regions=3)
    (target,) = targets
    target.labels.copy_(torch.tensor([2, 0, 1]))
    target.masks[:] = torch.tensor([1.0, 0.0, 1.0])[:, None, None]  # no border to be blurred
    order = [1, 2, 0]
    logits = torch.full((1, 3, 4), -20.0)
    for query, region in enumerate(order):
        logits[0, query, target.labels[region]] = 20.0
    masks = 40 * target.masks[order][None] - 20
    predictions = Predictions(logits, target.boxes[order][None], masks)
    matches = matched(predictions, targets, 64)
    assert matches[0][1].tolist() == order
    losses = layer_losses(predictions, targets, matches, points=64, normaliser=3)
    assert losses["class"] < 1e-6
    assert losses["box"] == 0
    for name in ("giou", "mask", "dice"):
        assert losses[name].abs() < 1e-4
