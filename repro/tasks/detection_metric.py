"""COCO's average precision, as printed in every detection table: pycocotools through torchmetrics.

Torchmetrics rounds its default overlaps and recalls to float32, so that a recall of exactly 0.07
misses its own threshold: up to 0.23 points on the tests' random images. Given in float64, the
figures are pycocotools' own. And with masks alone it forgets images without objects, so boxes are
always evaluated with them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repro.tasks.detection_bootstrap import RECALLS, ClassMatches, Matches

OVERLAPS = np.linspace(0.5, 0.95, 10)
FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""In the order in which pycocotools gives them."""

_PREFIX = {"bbox": "", "segm": "mask_"}


class AveragePrecision:
    """Collects what was detected and what was there, then evaluates all of it.

    At most the 100 best detections of an image count. Small, medium and large objects are told
    apart by the area that the annotations state, detections by that of their box or mask.

    Args:
        masks: evaluate masks too.
        area_unit: side in pixels up to which an object is small; up to three times that it is
            medium. 32 as printed.
    Raises:
        ImportError: pycocotools or torchmetrics is not installed.
    """

    def __init__(self, *, masks: bool, area_unit: float = 32.0) -> None:
        require_evaluator()
        self.kinds = ("bbox", "segm") if masks else ("bbox",)
        self._evaluations: dict[str, Any] = {}
        self._metric = _metric(self.kinds, area_unit, self._evaluations)
        self._images = 0

    def update(
        self,
        predictions: Sequence[Mapping[str, Tensor]],
        targets: Sequence[Mapping[str, Tensor]],
    ) -> None:
        """Add images.

        Args:
            predictions: one an image, as torchvision's detectors give them: boxes (n, 4), labels
                (n,), scores (n,), and masks, (n, 1, H, W) probabilities or (n, H, W) bool.
            targets: one an image: boxes (n, 4), labels (n,), area (n,), iscrowd (n,), and masks
                (n, H, W) bool or uint8.
        Raises:
            ValueError: the numbers of images differ; a score or a box is not finite; an image
                has no masks, or masks of another size than its objects'.
        """
        if len(predictions) != len(targets):
            raise ValueError(f"got predictions of {len(predictions)} images for {len(targets)}")
        found = [self._prediction(prediction) for prediction in predictions]
        there = [self._target(target) for target in targets]
        for image, (one, other) in enumerate(zip(found, there, strict=True), self._images):
            _check(one, other, f"image {image}")
        self._metric.update(found, there)
        self._images += len(found)
        self._evaluations.clear()

    def compute(self) -> dict[str, float]:
        """Average precision in percent: ap (overlaps 0.50 to 0.95), ap50, ap75, ap_small, ...

        Those of masks are called mask_ap and so on. A figure that is not defined, since there is no
        object of that size, has no entry.

        Raises:
            ValueError: no image was given, or none has an object.
        """
        figures = {}
        for kind in self.kinds:
            stats = self._evaluation(kind).stats
            if stats[0] < 0:
                raise ValueError(f"average precision needs an object in {self._images} images")
            for name, value in zip(FIGURES, stats[: len(FIGURES)], strict=True):
                if value >= 0:
                    figures[_PREFIX[kind] + name] = 100 * float(value)
        return figures

    def curve(self, kind: str = "bbox", overlap: float = 0.5) -> NDArray[np.float64]:
        """Precision at recalls 0, 0.01, ..., 1, mean over classes: (101,).

        Args:
            kind: "bbox" or "segm".
            overlap: from which on a detection is right; one of 0.5, 0.55, ..., 0.95.
        Raises:
            ValueError: another overlap.
        """
        place = int(np.abs(OVERLAPS - overlap).argmin())
        if not np.isclose(OVERLAPS[place], overlap):
            raise ValueError(f"overlap must be one of {OVERLAPS.round(2)}, got {overlap}")
        # (overlaps, recalls, classes, areas, limits on detections); -1 for classes without objects
        precision = self._evaluation(kind).eval["precision"][place, :, :, 0, -1]
        curve: NDArray[np.float64] = precision[:, precision[0] >= 0].mean(1)
        return curve

    def matches(self, kind: str = "bbox") -> Matches:
        """Which detections are right, image by image: for `bootstrap_ap`."""
        evaluation = self._evaluation(kind)
        images = len(evaluation.params.imgIds)
        areas = len(evaluation.params.areaRng)
        # evalImgs: classes, then areas (the first is all), then images; None where there is nothing
        starts = range(0, len(evaluation.evalImgs), images * areas)
        outcomes = (evaluation.evalImgs[start : start + images] for start in starts)
        return Matches(images, [_class_matches(outcome) for outcome in outcomes])

    def _evaluation(self, kind: str) -> Any:
        if kind not in self.kinds:
            raise ValueError(f"kind must be one of {self.kinds}, got {kind!r}")
        if self._images == 0:
            raise ValueError("average precision needs at least one image, got none")
        if not self._evaluations:
            self._metric.compute()
        return self._evaluations[kind]

    def _prediction(self, prediction: Mapping[str, Tensor]) -> dict[str, Tensor]:
        item = {name: prediction[name].detach().cpu() for name in ("boxes", "labels", "scores")}
        if "segm" in self.kinds:
            if "masks" not in prediction:
                raise ValueError("the detector gives no masks; evaluate it with masks=False")
            masks = prediction["masks"].detach()
            if masks.dim() == 4:
                masks = masks[:, 0] > 0.5
            item["masks"] = masks.to(torch.uint8).cpu()
        return item

    def _target(self, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = ["boxes", "labels", "area", "iscrowd"]
        item = {name: target[name].detach().cpu() for name in names}
        if "segm" in self.kinds:
            item["masks"] = target["masks"].detach().to(torch.uint8).cpu()
        return item


def require_evaluator() -> None:
    """Raises ImportError, naming it, if a package that `AveragePrecision` needs is missing."""
    for name in ("pycocotools", "torchmetrics"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"average precision needs {name}, which is not installed")


def _check(found: Mapping[str, Tensor], there: Mapping[str, Tensor], image: str) -> None:
    for name in ("boxes", "scores"):
        if not torch.isfinite(found[name]).all():
            raise ValueError(f"{image}: {name} must be finite, got NaN or infinity")
    if "masks" in found and found["masks"].shape[1:] != there["masks"].shape[1:]:
        expected, got = (tuple(item["masks"].shape[1:]) for item in (there, found))
        raise ValueError(f"{image}: masks must be {expected} as its objects', got {got}")


def _metric(kinds: tuple[str, ...], area_unit: float, evaluations: dict[str, Any]) -> Any:
    """Torchmetrics' metric, with our limits of the areas, leaving its evaluations behind."""
    # Slow to import, and not everywhere that detectors are built.
    from pycocotools.cocoeval import COCOeval
    from torchmetrics.detection import MeanAveragePrecision
    from torchmetrics.detection.helpers import CocoBackend

    class Evaluation(COCOeval):  # type: ignore[misc]
        def __init__(self, truth: Any, found: Any, iouType: str) -> None:
            super().__init__(truth, found, iouType)
            small, large, every = area_unit**2, (3 * area_unit) ** 2, 1e10
            self.params.areaRng = [[0, every], [0, small], [small, large], [large, every]]
            evaluations[iouType] = self

    class Backend(CocoBackend):  # type: ignore[misc]
        @property
        def cocoeval(self) -> type[Evaluation]:
            return Evaluation

    metric = MeanAveragePrecision(
        iou_type=kinds, iou_thresholds=OVERLAPS.tolist(), rec_thresholds=RECALLS.tolist()
    )
    metric.warn_on_many_detections = False  # detectors give 100 at most, and COCO's limit is known
    metric._coco_backend = Backend("pycocotools")
    return metric


def _class_matches(outcomes: Sequence[Mapping[str, Any] | None]) -> ClassMatches:
    """pycocotools' outcome of one class, one entry an image."""
    objects = np.zeros(len(outcomes), dtype=np.int64)
    images, scores = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    nothing = np.zeros((len(OVERLAPS), 0), dtype=bool)
    matches, ignores = [nothing], [nothing]
    for place, outcome in enumerate(outcomes):
        if outcome is None:
            continue
        objects[place] = np.count_nonzero(outcome["gtIgnore"] == 0)
        images.append(np.full(len(outcome["dtScores"]), place))
        scores.append(np.array(outcome["dtScores"]))
        matches.append(outcome["dtMatches"] > 0)
        ignores.append(outcome["dtIgnore"])
    image, score = np.concatenate(images), np.concatenate(scores)
    matched, ignored = np.concatenate(matches, axis=1), np.concatenate(ignores, axis=1)
    order = np.argsort(-score, kind="stable")
    right, wrong = matched & ~ignored, ~matched & ~ignored
    return ClassMatches(image[order], right[:, order], wrong[:, order], objects)
