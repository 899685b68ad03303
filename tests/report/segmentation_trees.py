"""Results of semantic segmentation made up for the tests, shaped as notebook 23 writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from repro.files import write_json, write_text
from repro.models.segmentation import SEGMENTERS

SEEDS = (0, 1, 2)
IMAGES, CLASSES, PIXELS = 12, 4, 1000
DETAILS: dict[str, Any] = {
    "dataset": "mosaics",
    "size": "small",
    "num_classes": CLASSES,
    "train_images": 64,
    "test_images": IMAGES,
    "epochs": 3,
    "steps": 48,
    "multi_scales": [0.75, 1.0],
    "floor": {"miou": 10.0, "pixel_accuracy": 20.0},
}
ROWS = [name for name, row in SEGMENTERS.items() if row.table is not None]
# Share of the pixels that are right; with FDConv more.
RIGHT = {name: 0.7 if SEGMENTERS[name].layer == "fdconv" else 0.6 for name in ROWS}


def whole(root: Path, **changes: float) -> Path:
    """metrics.json, per_image.csv and boundaries.csv; `changes` are shares of right pixels."""
    folder = root / "segmentation"
    variants: dict[str, dict[str, Any]] = {}
    lines = ["method,seed,metric,image,class,right,true,taken"]
    for method in ROWS:
        metrics = ["miou", "miou_ms"] if SEGMENTERS[method].table == "fdconv.table2" else ["miou"]
        variants[method] = {"seeds": list(SEEDS)}
        for metric in metrics:
            share = changes.get(method, RIGHT[method]) + 0.05 * (metric == "miou_ms")
            found = [counts(share, seed) for seed in SEEDS]
            variants[method][metric] = [miou(*own) for own in found]
            for seed, (right, true, taken) in zip(SEEDS, found, strict=True):
                lines += [
                    f"{method},{seed},{metric},{i:03d},{c},{right[i, c]},{true[i, c]},{taken[i, c]}"
                    for i in range(IMAGES)
                    for c in range(CLASSES)
                ]
    write_json(folder / "metrics.json", {**DETAILS, "seeds": list(SEEDS), "variants": variants})
    write_text(folder / "per_image.csv", "\n".join(lines) + "\n")
    write_boundaries(folder)
    return root


def counts(share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (images, classes): right, of the class, taken for it; seeds differ by little."""
    image, label = np.mgrid[:IMAGES, :CLASSES]
    true = PIXELS + 100 * label
    right = (true * (share + 0.1 * np.sin(image) + 0.005 * np.cos(seed + image))).astype(int)
    taken = right + np.roll(true - right, 1, axis=1)
    return right, true, taken


def miou(right: np.ndarray, true: np.ndarray, taken: np.ndarray) -> float:
    right, true, taken = (side.sum(0) for side in (right, true, taken))
    return float(100 * (right / (true + taken - right)).mean())


def write_boundaries(folder: Path, highest: float = 1.2, lowest: float = 0.9) -> None:
    """Ratios of three bands at two layers; images and seeds differ by little."""
    lines = ["method,seed,layer,band,image,inside,elsewhere,deviation"]
    for seed in SEEDS:
        for layer in ("first", "second"):
            for band, ratio in ((1, highest), (2, 1.0), (3, lowest)):
                for image in range(IMAGES):
                    inside = ratio + 0.01 * np.sin(image + seed)
                    deviation = 0.01 * band * float(1 + 0.1 * np.sin(image - seed))
                    start = f"upernet_r50_fdconv,{seed},{layer},{band},{image:03d}"
                    lines.append(f"{start},{float(inside)!r},1.0,{deviation}")
    write_text(folder / "boundaries.csv", "\n".join(lines) + "\n")


def printed_costs() -> dict[str, Any]:
    """A count for every row; the two that are quoted round to what is quoted."""
    found = {}
    for name in ROWS:
        costs = {"params_m": cost(66.5), "flops_g": cost(236.6)}
        if SEGMENTERS[name].base is not None:
            added = {"odconv": cost(65.114, 65), "fdconv": cost(3.647)}[str(SEGMENTERS[name].layer)]
            if name == "upernet_r50_fdconv":
                added = cost(3.647, 4)
            costs |= {"params_delta_m": added, "flops_delta_g": cost(0.466)}
        found[f"{SEGMENTERS[name].table}.{name}"] = {"network": name, "costs": costs}
    return found


def cost(counted: float, printed: float | None = None) -> dict[str, Any]:
    verdict = None if printed is None else "exact"
    return {"counted": counted, "printed": printed, "verdict": verdict, "note": None}
