"""The detection task gives what the training loop and torchvision's detectors ask for."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from repro.data.detection import limited
from repro.data.detection_images import DetectionImage, DetectionImages, Objects
from repro.data.scenes import Recipe, load_scenes
from repro.tasks.detection import DetectionTask, as_tensors, mirrored
from repro.tasks.detection_floor import measure
from repro.train import TrainConfig, fit

ROOT = Path(__file__).resolve().parents[2]


class OneBox(nn.Module):
    """A stand-in: one box an image, drawn towards the mean of the objects' boxes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.box = nn.Parameter(torch.tensor([30.0, 30.0, 60.0, 60.0]))
        self.scores = nn.Linear(3, num_classes)

    def forward(self, images, targets=None):
        colours = torch.stack([image.mean((1, 2)) for image in images])
        logits = self.scores(colours)
        if self.training:
            boxes = torch.cat([target["boxes"] for target in targets])
            labels = torch.stack([target["labels"][0] for target in targets])
            return {
                "loss_box": (boxes - self.box).abs().mean() / 100,
                "loss_class": nn.functional.cross_entropy(logits, labels - 1),
            }
        return [
            {
                "boxes": self.box[None].clamp(0, 128),
                "labels": best[None] + 1,
                "scores": chance[None],
                "masks": torch.ones(1, 1, *image.shape[1:]),
            }
            for image, chance, best in zip(images, *logits.softmax(1).max(1), strict=True)
        ]


class WithCrowd(DetectionImages):
    """One image with an object in its left half and a crowd in its right half."""

    def __len__(self):
        return 1

    def objects(self, index):
        return Objects(
            boxes=np.array([[1, 2, 4, 8], [5, 0, 10, 8]], dtype=np.float32),
            labels=np.array([2, 1]),
            crowd=np.array([False, True]),
            areas=np.array([18, 40], dtype=np.float32),
        )

    def __getitem__(self, index):
        masks = np.zeros((2, 8, 10), dtype=bool)
        masks[0, 2:8, 1:4] = masks[1, :, 5:] = True
        image = np.arange(240, dtype=np.uint8).reshape(8, 10, 3)
        return DetectionImage(name="one", image=image, masks=masks, **vars(self.objects(index)))


def build(method, *, num_classes, size, **options):
    return OneBox(num_classes)


SCENES = load_scenes(0, Recipe(train_count=12, test_count=6))


def scenes_task(**changes):
    return DetectionTask("stand-in", SCENES, **{"size": "small", "build": build} | changes)


def same(one, other):
    """Whether two batches hold the same images and targets."""
    return (
        len(one[0]) == len(other[0])
        and all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))
        and all(
            a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
            for a, b in zip(one[1], other[1], strict=True)
        )
    )


def test_a_batch_is_what_torchvisions_detectors_take():
    images, targets = next(iter(scenes_task().test_batches(4)))
    assert len(images) == len(targets) == 4
    for image, target in zip(images, targets, strict=True):
        assert (image.shape, image.dtype) == ((3, 128, 128), torch.float32)
        assert 0 <= image.min() < image.max() <= 1
        count = len(target["labels"])
        assert (target["boxes"].shape, target["boxes"].dtype) == ((count, 4), torch.float32)
        assert target["labels"].dtype == torch.int64
        assert (target["masks"].shape, target["masks"].dtype) == ((count, 128, 128), torch.uint8)
    assert [int(target["image_id"]) for target in targets] == [0, 1, 2, 3]
    assert "masks" not in next(iter(scenes_task(masks=False).test_batches(4)))[1][0]


def test_a_batch_depends_on_its_numbers_alone():
    task = scenes_task()
    batches = list(task.train_batches(4, seed=1, epoch=2))
    assert len(batches) == len(task.train_batches(4, 1, 2)) == 3
    assert same(batches[2], next(task.train_batches(4, 1, 2).starting_at(2)))
    assert not same(batches[0], next(iter(task.train_batches(4, 1, 3))))
    assert not same(batches[0], next(iter(task.train_batches(4, 2, 2))))
    seen = sorted(int(target["image_id"]) for _, targets in batches for target in targets)
    assert seen == list(range(12))


def test_batches_draw_nothing_from_the_global_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    list(scenes_task().train_batches(4, 0, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_half_of_the_training_images_are_mirrored_with_their_targets():
    mirrors = 0
    for epoch in range(4):
        for images, targets in scenes_task().train_batches(4, 0, epoch):
            for image, target in zip(images, targets, strict=True):
                index = int(target["image_id"])
                plain = as_tensors(SCENES.train[index], index, masks=True)
                is_plain = torch.equal(image, plain[0])
                mirrors += not is_plain
                expected = plain if is_plain else mirrored(*plain)
                assert same(([image], [target]), ([expected[0]], [expected[1]]))
    assert 15 <= mirrors <= 33  # of 48


def test_mirroring_moves_boxes_with_their_masks():
    image, target = as_tensors(WithCrowd()[0], 0, masks=True)
    flipped, moved = mirrored(image, target)
    assert moved["boxes"].tolist() == [[6, 2, 9, 8], [0, 0, 5, 8]]
    assert torch.equal(flipped[:, :, 0], image[:, :, 9])
    for box, mask in zip(moved["boxes"].int(), moved["masks"], strict=True):
        x1, y1, x2, y2 = box
        assert mask[y1:y2, x1:x2].sum() == mask.sum() == mask[y1:y2, x1:x2].numel()
    twice = mirrored(flipped, moved)
    assert same(([twice[0]], [twice[1]]), ([image], [target]))


def test_training_leaves_crowds_out_and_testing_keeps_them():
    data = dataclasses.replace(SCENES, train=WithCrowd(), test=WithCrowd())
    task = DetectionTask("stand-in", data, size="small", build=build)
    _, (trained,) = next(iter(task.train_batches(1, 0, 0)))
    assert trained["labels"].tolist() == [2]
    assert len(trained["boxes"]) == len(trained["masks"]) == len(trained["area"]) == 1
    _, (tested,) = next(iter(task.test_batches(1)))
    assert tested["iscrowd"].tolist() == [0, 1]


def test_it_trains_and_a_second_run_is_the_same(tmp_path):
    config = TrainConfig(epochs=2, batch_size=4, lr=0.01, seed=3, accelerator="cpu")
    first = fit(scenes_task(), config, resume_dir=tmp_path, show_progress=False)
    assert {"ap", "ap50", "ap75", "mask_ap", "mask_ap50"} <= set(first.metrics)
    assert all(0 <= value <= 100 for value in first.metrics.values())
    assert fit(scenes_task(), config, resume_dir=tmp_path, show_progress=False).remembered
    again = fit(scenes_task(), config, show_progress=False)
    assert again.metrics == first.metrics
    assert again.history[0]["train_loss"] == first.history[0]["train_loss"]


def test_objects_handed_back_are_all_found():
    class Knowing(nn.Module):
        def forward(self, images):
            return [by_image[image.sum().item()] for image in images]

    task = scenes_task()
    by_image = {}
    for images, targets in task.test_batches(2):
        for image, target in zip(images, targets, strict=True):
            scores = torch.ones(len(target["labels"]))
            masks = target["masks"][:, None].float()
            by_image[image.sum().item()] = target | {"scores": scores, "masks": masks}
    figures = task.evaluate(Knowing(), task.test_batches(3))
    assert figures == pytest.approx(dict.fromkeys(figures, 100))
    assert {"ap", "ap_small", "ap_medium", "ap_large", "mask_ap", "mask_ap_large"} <= set(figures)
    assert len(task.measure(Knowing(), task.test_batches(3)).matches("segm").classes) <= 6


def test_the_identity_follows_what_decides():
    identity = scenes_task().identity()
    assert identity["data"] == SCENES.fingerprint
    changes = [{"size": "full"}, {"masks": False}, {"options": {"frozen_stages": 1}}]
    fewer = DetectionTask("stand-in", limited(SCENES, 5, None), size="small", build=build)
    others = [*(scenes_task(**change).identity() for change in changes), fewer.identity()]
    assert all(other != identity for other in others)


def test_the_detector_is_built_from_the_data():
    def remember(method, **arguments):
        asked.update(arguments, method=method)
        return OneBox(1)

    asked = {}
    scenes_task(build=remember, options={"frozen_stages": 1}).build_model()
    expected = {"method": "stand-in", "num_classes": 6, "size": "small", "frozen_stages": 1}
    assert asked == expected


def test_masks_that_are_not_there_are_refused():
    data = dataclasses.replace(SCENES, has_masks=False)
    with pytest.raises(ValueError, match="scenes has no masks"):
        DetectionTask("stand-in", data, size="small", build=build, masks=True)

    class WithoutMasks(nn.Module):
        def forward(self, images):
            nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
            return [nothing | {"scores": torch.zeros(0)} for _ in images]

    task = scenes_task()
    with pytest.raises(ValueError, match="the detector gives no masks"):
        task.evaluate(WithoutMasks(), task.test_batches(2))
    boxes_only = scenes_task(masks=False)
    assert boxes_only.evaluate(WithoutMasks(), boxes_only.test_batches(2))["ap"] == 0


class Discs(DetectionImages):
    """Two bright discs of label 2 on a dark ground, always at the same places."""

    middles = ((15, 14), (29, 29))  # the first is near a place of the grid

    def __len__(self):
        return 3

    def masks(self):
        x, y = np.arange(40), np.arange(48)[:, None]
        return np.stack([(x - a) ** 2 + (y - b) ** 2 <= 25 for a, b in self.middles])

    def objects(self, index):
        boxes = [[a - 5, b - 5, a + 6, b + 6] for a, b in self.middles]
        return Objects(
            boxes=np.array(boxes, dtype=np.float32),
            labels=np.array([2, 2]),
            crowd=np.zeros(2, dtype=bool),
            areas=self.masks().sum((1, 2)).astype(np.float32),
        )

    def __getitem__(self, index):
        masks = self.masks()
        image = (30 + 200 * masks.any(0)).astype(np.uint8)[..., None].repeat(3, 2)
        return DetectionImage(name="discs", image=image, masks=masks, **vars(self.objects(index)))


def test_floors_find_what_they_can():
    data = dataclasses.replace(SCENES, train=Discs(), test=Discs())
    floors = measure(data)
    assert set(floors) == {"whole_image", "grid", "regions"}
    assert floors["whole_image"]["ap"] == 0
    assert 0 < floors["grid"]["ap50"] < 60
    assert floors["regions"]["ap"] == floors["regions"]["mask_ap"] == pytest.approx(100)
    assert measure(data, masks=False)["regions"].keys() & {"ap", "mask_ap"} == {"ap"}


def test_floors_survive_an_image_of_one_level_and_need_objects():
    class Flat(Discs):
        def __getitem__(self, index):
            found = super().__getitem__(index)
            return dataclasses.replace(found, image=np.full((48, 40, 3), 9, dtype=np.uint8))

    data = dataclasses.replace(SCENES, train=Discs(), test=Flat())
    assert measure(data)["regions"]["ap"] == 0

    class Empty(Discs):
        def objects(self, index):
            found = super().objects(index)
            return dataclasses.replace(found, crowd=np.ones(2, dtype=bool))

    with pytest.raises(ValueError, match="training images of scenes have no object"):
        measure(dataclasses.replace(SCENES, train=Empty()))


def test_a_missing_evaluator_is_named_before_training_and_data_need_none():
    code = (
        "import sys; sys.modules.update(pycocotools=None, torchmetrics=None)\n"
        "from repro.data.coco import decode_mask\n"
        "from repro.data.detection import load_detection\n"
        "from repro.tasks.detection import DetectionTask\n"
        "print(decode_mask({'counts': [1, 2, 1]}, 2, 2).sum())\n"
        "DetectionTask('none', load_detection('scenes'), size='small', build=None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["2"]
    assert "ImportError: average precision needs pycocotools" in done.stderr
