"""A small detector can learn eight images by heart: loss, gradients and decoding fit together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from repro.data.detection import load_detection
from repro.data.detection_images import ChosenImages, DetectionData
from repro.data.errors import DataError
from repro.models.detection import build_detector
from repro.tasks.detection import DetectionTask
from repro.train import TrainConfig, fit


def eight_images(name: str) -> DetectionData:
    """Eight images to train and to test on, their objects few, and none tiny at small size."""
    try:
        data = load_detection(name)
    except DataError as error:
        pytest.skip(f"needs {name}: {error}")
    chosen = []
    for index in range(len(data.train)):
        objects = data.train.objects(index)
        if 1 <= len(objects) <= 4 and not objects.crowd.any() and objects.areas.min() >= 16**2:
            chosen.append(index)
        if len(chosen) == 8:
            break
    images = ChosenImages(data.train, tuple(chosen))
    return replace(data, train=images, test=images, fingerprint=f"{data.fingerprint} {chosen}")


@pytest.fixture
def one_thread():
    """Operators of a small detector are too short for threads, which wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dataset", ["scenes", "coco_mini"])
def test_eight_images_are_learnt_by_heart(dataset):
    task = DetectionTask(
        "ddf_up",
        eight_images(dataset),
        size="small",
        build=build_detector,
        options={"sides": (128, 256)},
        masks=False,
    )
    config = TrainConfig(
        epochs=90,
        batch_size=2,
        lr=1e-3,
        optimizer="adamw",
        warmup_epochs=2,
        max_grad_norm=10.0,
        evaluate_every_epochs=90,
    )
    metrics = fit(task, config, show_progress=False).metrics
    assert metrics["ap50"] > 90, metrics
