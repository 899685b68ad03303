"""The task in the training loop: losses, evaluation, identity, resuming."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_segmenters import build_small
from torch.nn import functional as F

from repro.data import mosaics
from repro.data.segmentation import IGNORE, SegmentationData, SegmentationImage, limited
from repro.data.segmentation_crops import RandomCrops
from repro.tasks.segmentation import (
    MULTI_SCALES,
    SegmentationTask,
    WithLosses,
    cross_entropy,
)
from repro.tasks.segmentation_inference import Inference, image_areas
from repro.tasks.segmentation_metric import bootstrap_difference, majority_floor, mean_iou
from repro.train import TrainConfig, fit


@pytest.fixture(scope="module")
def data():
    return mosaics.make(0, 24, 6)


def task_of(data, method="plain", **options):
    options = {"crop": RandomCrops((64, 64), (0.8, 1.2)), **options}
    return SegmentationTask(method, data, size="small", build=build_small, **options)


def config(**changes):
    settings = {"epochs": 2, "batch_size": 6, "lr": 3e-3, "optimizer": "adamw"}
    return TrainConfig(**{**settings, "accelerator": "cpu", **changes})


def test_a_segmenter_learns_more_than_the_floor(data):
    few = limited(data, 6, None).train
    # Tested on what it was trained on: can it learn at all?
    seen = SegmentationData("seen", data.class_names, data.colours, few, few, "", "")
    task = task_of(seen, crop=RandomCrops((128, 128), (1.0, 1.0), flip=False))
    result = fit(task, config(epochs=30, lr=1e-2, evaluate_every_epochs=30), show_progress=False)
    assert result.metrics["miou"] > majority_floor(limited(seen, 3, None))["miou"] + 10
    assert set(result.metrics) == {"miou", "pixel_accuracy"}
    losses = [row["train_loss"] for row in result.history]
    assert losses[-1] < 0.7 * losses[0]


def test_two_runs_are_equal_and_a_finished_one_is_remembered(data, tmp_path):
    few = limited(data, 12, 3)
    one = fit(task_of(few), config(epochs=1), resume_dir=tmp_path, show_progress=False)
    other = fit(task_of(few), config(epochs=1), show_progress=False)
    assert one.metrics == other.metrics
    assert one.history[0]["train_loss"] == other.history[0]["train_loss"]
    again = fit(task_of(few), config(epochs=1), resume_dir=tmp_path, show_progress=False)
    assert again.remembered
    assert again.metrics == one.metrics
    areas = image_areas(again.model, task_of(few).test_batches(2), 8, Inference())
    assert 100 * float(mean_iou(areas.total())) == pytest.approx(one.metrics["miou"], abs=1e-9)
    assert len(areas.true) == 3


def test_batches_depend_on_seed_and_epoch(data):
    task = task_of(data)
    first = next(iter(task.train_batches(4, 0, 0)))
    assert first[0].shape == (4, 3, 64, 64)
    assert first[1].shape == (4, 64, 64)
    assert task.images_in(first) == 4
    assert torch.equal(first[0], next(iter(task.train_batches(4, 0, 0)))[0])
    for seed, epoch in ((0, 1), (1, 0)):
        assert not torch.equal(first[0], next(iter(task.train_batches(4, seed, epoch)))[0])
    assert len(task.train_batches(5, 0, 0)) == 4  # the incomplete batch is left out


def test_own_losses_are_computed_within_the_forward_pass(data):
    task = task_of(data, "with_losses")
    model = task.build_model()
    assert isinstance(model, WithLosses)
    batch = next(iter(task.train_batches(4, 0, 0)))
    losses = task.losses(model, batch)
    assert set(losses) == {"mask", "class"}
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    # Mixed precision reaches a forward pass, and no other method of a wrapped network.
    task = task_of(limited(data, 6, 1), "with_losses")
    result = fit(task, config(epochs=1, precision="bf16-mixed"), show_progress=False)
    assert result.model.network.autocast
    assert not isinstance(task_of(data).build_model(), WithLosses)


def test_figures_at_several_scales(data):
    task = task_of(data)
    torch.manual_seed(0)
    model = task.build_model().eval()
    single = task.areas(model, task.test_batches(3))
    expected = task.evaluate(model, task.test_batches(4))
    assert 100 * float(mean_iou(single.total())) == pytest.approx(expected["miou"], abs=1e-9)
    several = task.areas(model, task.test_batches(3), Inference(MULTI_SCALES, flip=True))
    np.testing.assert_array_equal(several.true, single.true)
    assert not np.array_equal(several.taken, single.taken)


def test_the_identity_names_what_decides(data):
    base = task_of(data).identity()
    assert base["builder"] == "small_segmenters.build_small"
    assert task_of(data).identity() == base
    others = [
        task_of(data, "with_losses"),
        task_of(limited(data, 12, None)),
        task_of(data, crop=RandomCrops((64, 32))),
        task_of(data, inference=Inference(flip=True)),
        task_of(data, options={"width": 8}),
    ]
    identities = [base, *(task.identity() for task in others)]
    assert all(one != other for i, one in enumerate(identities) for other in identities[:i])
    assert task_of(data, options={"width": 8}).build_model().body[0].out_channels == 8


def test_other_code_of_the_builder_is_another_identity(data, monkeypatch):
    before = task_of(data).identity()
    monkeypatch.setattr(build_small, "__module__", "repro.models.resnet")
    assert task_of(data).identity()["builder_code"] != before["builder_code"]


def test_cross_entropy_is_the_mean_over_labelled_pixels():
    scores = torch.randn(2, 5, 7, 9, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(5, (2, 7, 9))
    labels[0, :4] = IGNORE
    expected = F.cross_entropy(scores, labels, ignore_index=IGNORE)
    found = cross_entropy(scores, labels)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss, scores)[0] for loss in (expected, found)]
    torch.testing.assert_close(*gradients)


def test_a_batch_without_labels_trains_nothing():
    scores = torch.randn(2, 5, 7, 9, requires_grad=True)
    loss = cross_entropy(scores, torch.full((2, 7, 9), IGNORE))
    assert loss.item() == 0
    loss.backward()
    assert not scores.grad.any()


def test_training_survives_images_without_labels(data):
    first = data.train[0]
    nothing = SegmentationImage("nothing", first.image, np.full_like(first.labels, IGNORE))
    part = (nothing, nothing, *data.train[:2])
    blank = SegmentationData("blank", data.class_names, data.colours, part, part, "", "")
    result = fit(task_of(blank), config(epochs=1, batch_size=1), show_progress=False)
    assert np.isfinite(result.metrics["miou"])


def test_scores_of_another_size_than_the_labels():
    with pytest.raises(ValueError, match=r"for labels \(2, 8, 8\), got \(2, 5, 4, 4\)"):
        cross_entropy(torch.zeros(2, 5, 4, 4), torch.zeros(2, 8, 8, dtype=torch.int64))


def test_two_networks_are_compared_on_the_same_images(data):
    found = []
    for width in (16, 8):
        task = task_of(data, options={"width": width})
        torch.manual_seed(0)
        model = task.build_model().eval()
        found.append(image_areas(model, task.test_batches(3), 8, Inference()))
    estimate = bootstrap_difference(*found, resamples=200)
    one, other = (float(mean_iou(areas.total())) for areas in found)
    assert estimate.mean == pytest.approx(100 * (one - other))
    assert estimate.low < estimate.high
    same = bootstrap_difference(found[0], found[0], resamples=200)
    assert (same.mean, same.low, same.high) == (0, 0, 0)
