"""Choose the peak learning rate of the `patches` task without looking at its test images.

Every fifth training image is held out; each method is trained on the others at each rate, and
measured on those held out, disturbed as in training. They are cut from the same regions and may
overlap, so the accuracies are too good to be reported; their order is what counts. The one seed is
none of the tables'.

Writes results/learning_rate.csv: method, lr, seed, train_images, held_out_images, epochs, top1.

Usage: PYTHONPATH=.:numba_cuda python scripts/choose_learning_rate.py [--images 7500] [--epochs 2]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import cast

import pandas as pd
import torch
from torch import Tensor

from repro import files
from repro.data import load_classification
from repro.data.in_memory import InMemoryData
from repro.paths import build_dir, resolve
from repro.tasks.classification import ClassificationTask, limited
from repro.train import TrainConfig, fit

METHODS = ("resnet50", "ddf_resnet50")
RATES = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
SEED = 100
HELD_OUT = 5  # one in five


def part(data: InMemoryData, kept: Tensor) -> InMemoryData:
    """Only those training images that `kept` (N,) says True for."""
    return replace(
        data,
        train_images=data.train_images[kept],
        train_labels=data.train_labels[kept],
        train_count=int(kept.sum()),
        fingerprint=f"{data.fingerprint} {int(kept.sum())} of {len(kept)}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning rate of the patches task.")
    parser.add_argument("--images", type=int, default=7500, help="images to train on and hold out")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()

    loaded = cast(InMemoryData, load_classification("patches"))
    data = cast(InMemoryData, limited(loaded, options.images, None))
    is_held_out = torch.arange(data.train_count) % HELD_OUT == 0
    learnt, held_out = part(data, ~is_held_out), part(data, is_held_out)
    rows = []
    for lr in RATES:
        for method in METHODS:
            config = TrainConfig(epochs=options.epochs, batch_size=64, lr=lr, seed=SEED)
            task = ClassificationTask(method, learnt)
            model = fit(task, config, resume_dir=build_dir() / "resume").model
            metrics = task.evaluate(model, held_out.train_batches(64, seed=0, epoch=0))
            rows.append(
                {
                    "method": method,
                    "lr": lr,
                    "seed": SEED,
                    "train_images": learnt.train_count,
                    "held_out_images": held_out.train_count,
                    "epochs": options.epochs,
                    "top1": round(metrics["top1"], 2),
                }
            )
    table = pd.DataFrame(rows)
    files.write_text(resolve("results/learning_rate.csv"), table.to_csv(index=False))
    print(table.pivot_table(index="lr", columns="method", values="top1").round(1))


if __name__ == "__main__":
    main()
