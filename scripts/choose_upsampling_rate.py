"""Choose the learning rate of joint depth upsampling without looking at test images.

PAC-Net and DDF-Up-Net are trained at each rate, alike, and measured on the training images that are
held out. The one seed is none of the tables'.

Writes results/upsampling_learning_rate.csv: dataset, schedule, method, factor, lr, seed, steps,
held_out_rmse in the dataset's unit. A run replaces the rows of its dataset and schedule.

Usage: PYTHONPATH=.:numba_cuda python scripts/choose_upsampling_rate.py [--schedule step]
"""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from repro import files
from repro.data.rgbd import load_rgbd
from repro.paths import build_dir, resolve
from repro.tasks.joint_upsampling import JointUpsamplingTask
from repro.train import TrainConfig, fit

METHODS = ("pac_net", "ddf_up_net")
RATES = (3e-4, 6e-4, 1e-3, 2e-3, 4e-3)
# The two recipes of params.yaml: PAC's steps, and real's.
SCHEDULES: dict[str, dict[str, Any]] = {
    "step": {"schedule": "step", "milestones": (0.6, 0.9)},
    "cosine": {"schedule": "cosine", "warmup_epochs": 0.1, "max_grad_norm": 1.0},
}
TABLE = "results/upsampling_learning_rate.csv"
FACTOR = 8
SEED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning rate of joint depth upsampling.")
    parser.add_argument("--dataset", default="nyu_depth_v2")
    parser.add_argument("--schedule", choices=SCHEDULES, default="cosine")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=1)
    options = parser.parse_args()

    data = load_rgbd(options.dataset)
    rows = []
    for lr in RATES:
        for method in METHODS:
            crops = options.steps * options.batch_size
            task = JointUpsamplingTask(
                method, FACTOR, data, crop=options.crop, crops_per_epoch=crops, held_out=4
            )
            config = TrainConfig(
                epochs=1,
                batch_size=options.batch_size,
                lr=lr,
                optimizer="adam",
                weight_decay=0.0,
                seed=SEED,
                **SCHEDULES[options.schedule],
            )
            found = fit(task, config, resume_dir=build_dir() / "resume", show_progress=False)
            rows.append(
                {
                    "dataset": data.name,
                    "schedule": options.schedule,
                    "method": method,
                    "factor": FACTOR,
                    "lr": lr,
                    "seed": SEED,
                    "steps": options.steps,
                    "held_out_rmse": round(found.metrics["rmse"], 3),
                }
            )
            print(rows[-1], flush=True)
    known = pd.read_csv(resolve(TABLE))
    kept = known[(known["dataset"] != data.name) | (known["schedule"] != options.schedule)]
    table = pd.concat([kept, pd.DataFrame(rows)])
    files.write_text(resolve(TABLE), table.to_csv(index=False))


if __name__ == "__main__":
    main()
