"""Choose the learning rate of joint depth upsampling without looking at test images.

PAC-Net and DDF-Up-Net are trained at each rate, alike, and measured on the training images that are
held out. The one seed is none of the tables'.

Writes results/upsampling_learning_rate.csv: method, factor, lr, seed, steps, held_out_rmse, in the
dataset's unit.

Usage: PYTHONPATH=.:numba_cuda python scripts/choose_upsampling_rate.py [--dataset nyu_depth_v2]
"""

from __future__ import annotations

import argparse

import pandas as pd

from repro import files
from repro.data.rgbd import load_rgbd
from repro.paths import build_dir, resolve
from repro.tasks.joint_upsampling import JointUpsamplingTask
from repro.train import TrainConfig, fit

METHODS = ("pac_net", "ddf_up_net")
RATES = (3e-4, 6e-4, 1e-3, 3e-3)
FACTOR = 8
SEED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning rate of joint depth upsampling.")
    parser.add_argument("--dataset", default="nyu_depth_v2")
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
                schedule="step",
                milestones=(0.6, 0.9),
                seed=SEED,
            )
            found = fit(task, config, resume_dir=build_dir() / "resume", show_progress=False)
            rows.append(
                {
                    "dataset": data.name,
                    "method": method,
                    "factor": FACTOR,
                    "lr": lr,
                    "seed": SEED,
                    "steps": options.steps,
                    "held_out_rmse": round(found.metrics["rmse"], 3),
                }
            )
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    files.write_text(resolve("results/upsampling_learning_rate.csv"), table.to_csv(index=False))


if __name__ == "__main__":
    main()
