"""Train the networks of DDF's Table 7 at one scale of params.yaml, without notebooks.

    python scripts/train_joint_upsampling.py --scale real --out results/real/joint_upsampling

Leaves the run directory of notebook 21, whose defaults stand where params.yaml says nothing. Every
network gets its first seed, at every factor, before any gets its second; what was finished is
remembered, and a run that was cut short goes on from its last checkpoint. Without --tuned the
classical methods, which need OpenCV, are left out.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from repro.data.rgbd import limited, load_rgbd
from repro.files import read_json
from repro.notebook.parameters import declared
from repro.params import load_section
from repro.paths import repository_root
from repro.tasks.upsampling_runs import run_upsampling
from repro.train import TrainConfig


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="real")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tuned", type=Path, help="of `python -m repro tune`")
    parser.add_argument("--resume", type=Path, help="where checkpoints are kept")
    arguments = parser.parse_args()

    notebook = repository_root() / "notebooks" / "21_train_joint_upsampling.ipynb"
    given = declared(read_json(notebook), notebook.name)
    given |= load_section("joint_upsampling", arguments.scale)
    known = {field.name for field in fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in given.items() if name in known})
    data = limited(
        load_rgbd(given["dataset"]), given["train_images"] or None, given["test_images"] or None
    )
    methods = given["learned_methods"]
    if arguments.tuned is not None:
        methods = [*given["classical_methods"], *methods]
    for count in range(1, len(given["seeds"]) + 1):
        found = run_upsampling(
            methods,
            given["factors"],
            config,
            data,
            seeds=given["seeds"][:count],
            out_dir=arguments.out,
            tuned=read_json(arguments.tuned) if arguments.tuned is not None else None,
            sampling=given["sampling"],
            resume_dir=arguments.resume,
            crop=given["crop"],
            crops_per_epoch=given["crops_per_epoch"] or None,
            held_out=given["held_out"],
            loss=given["loss"],
        )
        for method, figures in found.metrics["variants"].items():
            errors = {name: value for name, value in figures.items() if name.startswith("rmse")}
            print(f"{method}, {count} seeds: {errors}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
