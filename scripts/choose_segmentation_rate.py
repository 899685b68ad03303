"""Choose the peak learning rate of semantic segmentation without looking at test images.

Each network is trained at each rate, alike, on the first four fifths of the training images, and
measured on the last fifth: neighbouring frames of a video are too alike to be parted. The one seed
is none of the tables'.

Writes results/segmentation_learning_rate.csv: dataset, method, lr, seed, epochs, train_images,
held_out_images, miou, pixel_accuracy, in percent. A run replaces the rows of its dataset and
methods.

Usage: PYTHONPATH=.:numba_cuda python scripts/choose_segmentation_rate.py [--methods upernet_r50]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import cast

import pandas as pd

from repro import files
from repro.data.segmentation import SegmentationData, load_segmentation
from repro.data.segmentation_crops import RandomCrops
from repro.models.segmentation import build_segmenter
from repro.paths import build_dir, resolve
from repro.tasks.segmentation import Builder, SegmentationTask
from repro.tasks.segmentation_inference import Inference
from repro.train import TrainConfig, fit

METHODS = ("upernet_r50", "upernet_r50_fdconv")
RATES = (5e-4, 1e-3, 2e-3, 4e-3)
SEED = 100
HELD_OUT = 5  # one in five
SHORT_SIDE = 180
TABLE = "results/segmentation_learning_rate.csv"


def held_out(data: SegmentationData) -> SegmentationData:
    """The same data, its last training images in the place of the test images."""
    count = len(data.train) - len(data.train) // HELD_OUT
    return replace(
        data,
        train=data.train[:count],
        test=data.train[count:],
        fingerprint=f"{data.fingerprint} {count} of {len(data.train)}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning rate of semantic segmentation.")
    parser.add_argument("--dataset", default="camvid")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()

    data = held_out(load_segmentation(options.dataset))
    crop = RandomCrops((160, 160), scales=(0.75, 1.5), short_side=SHORT_SIDE)
    rows = []
    for lr in options.rates:
        for method in options.methods:
            task = SegmentationTask(
                method,
                data,
                size="small",
                build=cast(Builder, build_segmenter),
                crop=crop,
                inference=Inference(short_side=SHORT_SIDE),
            )
            config = TrainConfig(
                epochs=options.epochs,
                batch_size=4,
                lr=lr,
                optimizer="adamw",
                weight_decay=0.01,
                warmup_epochs=0.5,
                max_grad_norm=5.0,
                evaluate_every_epochs=options.epochs,
                seed=SEED,
            )
            found = fit(task, config, resume_dir=build_dir() / "resume", show_progress=False)
            rows.append(
                {
                    "dataset": data.name,
                    "method": method,
                    "lr": lr,
                    "seed": SEED,
                    "epochs": options.epochs,
                    "train_images": len(data.train),
                    "held_out_images": len(data.test),
                    "miou": round(found.metrics["miou"], 2),
                    "pixel_accuracy": round(found.metrics["pixel_accuracy"], 2),
                }
            )
            print(rows[-1], flush=True)
    path = resolve(TABLE)
    known = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(rows[0]))
    again = (known["dataset"] == data.name) & known["method"].isin(options.methods)
    table = pd.concat([known[~again], pd.DataFrame(rows)])
    files.write_text(path, table.to_csv(index=False))


if __name__ == "__main__":
    main()
