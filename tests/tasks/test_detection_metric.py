"""The metric is pycocotools' own, and the bootstrap weighs images as copying them would."""

from __future__ import annotations

import contextlib
import functools
import io
import json

import numpy as np
import pytest
import torch
from pycocotools import mask as runs
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from repro.tasks.detection_bootstrap import bootstrap_ap, bootstrap_difference
from repro.tasks.detection_metric import FIGURES, AveragePrecision

HEIGHT, WIDTH, CLASSES = 120, 150, 3


@functools.cache
def random_images(seed=0, count=20):
    """Predictions near objects, and elsewhere; crowds; images without either.

    Corners are whole or quarter pixels, so that float32 holds them exactly, as it holds the scores.
    """
    random = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(count):
        objects = int(random.integers(0, 7)) if image % 5 else 0
        size = np.exp(random.uniform(np.log(8), np.log(118), (objects, 2))).astype(int)
        corner = random.integers(0, [WIDTH, HEIGHT] - size)
        boxes = np.concatenate([corner, corner + size], 1)
        labels = random.integers(1, CLASSES + 1, objects)
        copies = random.integers(0, 3, objects)
        near = np.repeat(boxes, copies, axis=0) + random.integers(-24, 25, (copies.sum(), 4)) / 4
        stray = random.integers(0, 40, (int(random.integers(0, 4)), 4)) + [0, 0, 40, 40]
        found = np.concatenate([near, stray]).clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        guessed = np.concatenate([np.repeat(labels, copies), random.integers(1, 4, len(stray))])
        masks = ellipses(boxes)
        targets.append(
            {
                "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(labels),
                "masks": torch.tensor(masks),
                "area": torch.tensor(masks.sum((1, 2)), dtype=torch.float32),
                "iscrowd": torch.tensor(random.random(objects) < 0.2).long(),
            }
        )
        predictions.append(
            {
                "boxes": torch.tensor(found, dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(guessed),
                "masks": torch.tensor(ellipses(found)),
                "scores": torch.tensor(random.random(len(found)), dtype=torch.float32),
            }
        )
    return predictions, targets


def ellipses(boxes):
    x, y = np.arange(WIDTH) + 0.5, np.arange(HEIGHT)[:, None] + 0.5
    masks = [
        ((x - (x1 + x2) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2 < 0.25
        for x1, y1, x2, y2 in boxes
    ]
    return np.array(masks, dtype=bool).reshape(-1, HEIGHT, WIDTH)


def of_pycocotools(predictions, targets, kind, limits=None):
    """The figures by way of json files' content, as a user of pycocotools would get them."""
    content = {"info": {}, "images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": k, "name": str(k)} for k in range(1, CLASSES + 1)]
    results = []
    for image, (found, there) in enumerate(zip(predictions, targets, strict=True)):
        content["images"].append({"id": image, "height": HEIGHT, "width": WIDTH})
        for k in range(len(there["labels"])):
            entry = as_json(there, k, image) | {"id": len(content["annotations"]) + 1}
            entry |= {"iscrowd": int(there["iscrowd"][k]), "area": float(there["area"][k])}
            content["annotations"].append(entry)
        for k in range(len(found["labels"])):
            entry = as_json(found, k, image) | {"score": float(found["scores"][k])}
            if kind == "segm":
                del entry["bbox"]  # loadRes would take the area of the box
            results.append(entry)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(content))
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), kind)
        if limits is not None:
            evaluation.params.areaRng = limits
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = zip(FIGURES, 100 * evaluation.stats[:6], strict=True)
    return {name: value for name, value in figures if value >= 0}  # -1: no such object


def as_json(item, k, image):
    x1, y1, x2, y2 = item["boxes"][k].tolist()
    encoded = runs.encode(np.asfortranarray(item["masks"][k].numpy(), dtype=np.uint8))
    return {
        "image_id": image,
        "category_id": int(item["labels"][k]),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "segmentation": {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode()},
    }


def evaluated(predictions, targets, masks=False, **options):
    metric = AveragePrecision(masks=masks, **options)
    for start in range(0, len(targets), 4):
        metric.update(predictions[start : start + 4], targets[start : start + 4])
    return metric


def of_kind(figures, prefix):
    return {name: figures[prefix + name] for name in FIGURES if prefix + name in figures}


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_pycocotools(seed):
    predictions, targets = random_images(seed)
    figures = evaluated(predictions, targets, masks=True).compute()
    for kind, prefix in (("bbox", ""), ("segm", "mask_")):
        expected = of_pycocotools(predictions, targets, kind)
        assert 5 < expected["ap"] < 95
        assert len(expected) >= 5
        assert of_kind(figures, prefix) == pytest.approx(expected, rel=1e-12)


def test_boxes_alone_are_evaluated_alike():
    predictions, targets = random_images(5)
    both = evaluated(predictions, targets, masks=True).compute()
    boxes = evaluated(predictions, targets).compute()
    assert boxes == of_kind(both, "")


def test_the_limits_of_small_and_large_can_be_moved():
    predictions, targets = random_images(6)
    figures = evaluated(predictions, targets, masks=True, area_unit=16.0).compute()
    limits = [[0, 1e10], [0, 256], [256, 48**2], [48**2, 1e10]]
    for kind, prefix in (("bbox", ""), ("segm", "mask_")):
        expected = of_pycocotools(predictions, targets, kind, limits)
        assert of_kind(figures, prefix) == pytest.approx(expected, rel=1e-12)
    usual = evaluated(predictions, targets).compute()
    assert figures["ap"] == usual["ap"]
    assert figures["ap_small"] != usual["ap_small"]


def one(boxes, labels, masks=None, scores=None):
    item = {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels)}
    item["labels"] = item["labels"].long()
    if masks is not None:
        item["masks"] = masks
    if scores is not None:
        return item | {"scores": torch.tensor(scores)}
    area = (item["boxes"][:, 2:] - item["boxes"][:, :2]).prod(1)
    return item | {"area": area, "iscrowd": torch.zeros(len(labels), dtype=torch.int64)}


FULL = torch.ones(1, 40, 40, dtype=torch.bool)
NONE = torch.zeros(0, 40, 40, dtype=torch.bool)


def test_what_is_found_in_an_image_without_objects_is_wrong():
    box = [0.0, 0.0, 40.0, 40.0]
    targets = [one([box], [1], FULL), one([], [], NONE)]
    predictions = [one([box], [1], FULL, [0.5]), one([box], [1], FULL, [0.9])]
    metric = AveragePrecision(masks=True)
    metric.update(predictions, targets)
    figures = metric.compute()
    assert figures["ap"] == figures["mask_ap"] == pytest.approx(50)


def test_an_undefined_figure_has_no_entry():
    metric = AveragePrecision(masks=False)
    metric.update([one([], [], scores=[])], [one([[0.0, 0.0, 40.0, 40.0]], [1])])
    assert metric.compute() == {"ap": 0, "ap50": 0, "ap75": 0, "ap_medium": 0}


def test_masks_of_a_detector_are_probabilities():
    shape = (1, 1, 40, 40)
    for probability, ap in ((0.6, 100), (0.4, 0)):
        metric = AveragePrecision(masks=True)
        found = one([[0.0, 0.0, 40.0, 40.0]], [1], torch.full(shape, probability), [0.9])
        metric.update([found], [one([[0.0, 0.0, 40.0, 40.0]], [1], FULL)])
        assert metric.compute()["mask_ap"] == pytest.approx(ap)


def test_images_can_be_added_after_a_first_look():
    predictions, targets = random_images(7)
    metric = evaluated(predictions[:12], targets[:12])
    first = metric.compute()
    metric.update(predictions[12:], targets[12:])
    assert metric.compute() == evaluated(predictions, targets).compute() != first


def test_bad_input_is_refused():
    box = [[0.0, 0.0, 40.0, 40.0]]
    metric = AveragePrecision(masks=True)
    with pytest.raises(ValueError, match="at least one image"):
        metric.compute()
    with pytest.raises(ValueError, match="predictions of 0 images for 1"):
        metric.update([], [one(box, [1], FULL)])
    with pytest.raises(ValueError, match=r"image 0: masks must be \(40, 40\).* got \(40, 30\)"):
        metric.update([one(box, [1], FULL[..., :30], [0.5])], [one(box, [1], FULL)])
    with pytest.raises(ValueError, match="image 0: scores must be finite"):
        metric.update([one(box, [1], FULL, [float("nan")])], [one(box, [1], FULL)])
    metric.update([one(box, [1], FULL, [0.5])], [one([], [], NONE)])
    with pytest.raises(ValueError, match="needs an object in 1 images"):
        metric.compute()
    with pytest.raises(ValueError, match=r"image 1: boxes must be finite"):
        metric.update([one([[0.0, 0, 1, float("inf")]], [1], FULL, [0.5])], [one(box, [1], FULL)])
    with pytest.raises(ValueError, match="kind must be one of"):
        metric.matches("keypoints")


def test_the_curve_averages_to_the_figure():
    predictions, targets = random_images(8)
    metric = evaluated(predictions, targets, masks=True)
    figures = metric.compute()
    assert metric.curve().shape == (101,)
    assert 100 * metric.curve().mean() == pytest.approx(figures["ap50"])
    assert 100 * metric.curve("segm", 0.75).mean() == pytest.approx(figures["mask_ap75"])
    with pytest.raises(ValueError, match="overlap must be one of"):
        metric.curve(overlap=0.52)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_matches_give_the_same_figure(kind):
    predictions, targets = random_images(9)
    metric = evaluated(predictions, targets, masks=True)
    expected = metric.compute()["ap" if kind == "bbox" else "mask_ap"]
    assert metric.matches(kind).ap() == pytest.approx(expected, rel=1e-12)


def test_a_weight_counts_as_so_many_copies_of_an_image():
    predictions, targets = random_images(10)
    matches = evaluated(predictions, targets).matches()
    for seed in range(3):
        weights = np.random.default_rng(seed).integers(0, 4, len(targets))
        copies = np.repeat(np.arange(len(targets)), weights)
        copied = evaluated([predictions[i] for i in copies], [targets[i] for i in copies])
        assert matches.ap(weights) == pytest.approx(copied.compute()["ap"], rel=1e-12)
    assert np.isnan(matches.ap(np.zeros(len(targets), dtype=np.int64)))


def test_the_bootstrap_is_seeded_and_scatters_around_the_figure():
    matches = evaluated(*random_images(11, 40)).matches()
    values = bootstrap_ap(matches, replicates=200, seed=3)
    assert values.shape == (200,)
    assert (values == bootstrap_ap(matches, replicates=200, seed=3)).all()
    assert (values != bootstrap_ap(matches, replicates=200, seed=4)).any()
    low, high = np.quantile(values, [0.025, 0.975])
    assert low < matches.ap() < high
    with pytest.raises(ValueError, match="replicates must be at least 1"):
        bootstrap_ap(matches, replicates=0)


def test_a_paired_interval_is_narrower_than_each_alone():
    predictions, targets = random_images(12, 40)
    better = evaluated(predictions, targets).matches()
    shifted = [p | {"boxes": p["boxes"] + 8} for p in predictions]
    worse = evaluated(shifted, targets).matches()
    difference = bootstrap_difference(better, worse, replicates=200)
    assert difference.mean == pytest.approx(better.ap() - worse.ap())
    assert 0 < difference.low < difference.mean < difference.high
    alone = np.quantile(bootstrap_ap(better, replicates=200), [0.025, 0.975])
    assert difference.high - difference.low < np.diff(alone)
    assert difference.n == 40


def test_detectors_are_compared_on_the_same_objects():
    a = evaluated(*random_images(13)).matches()
    b = evaluated(*random_images(14)).matches()
    with pytest.raises(ValueError, match="compared on the same objects"):
        bootstrap_difference(a, b)
