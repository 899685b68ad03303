"""Train the classification methods of params.yaml at one scale, without notebooks.

    python scripts/train_classification.py --scale real --out results/real/classification

One run directory a method, as notebook 20 leaves it, whose defaults stand where params.yaml says
nothing. All methods get their first seed before any gets its second, so that a run which is cut
short leaves a comparison. Finished seeds are remembered, and a seed that was cut short goes on from
its last checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from repro.data import load_classification
from repro.files import read_json
from repro.notebook.parameters import declared
from repro.params import load, load_section
from repro.paths import repository_root
from repro.tasks.classification import limited, run_method
from repro.train import TrainConfig


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="real")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--resume", type=Path, help="where checkpoints are kept")
    arguments = parser.parse_args()

    notebook = repository_root() / "notebooks" / "20_train_classification.ipynb"
    given = declared(read_json(notebook), notebook.name)
    given |= load_section("classification", arguments.scale)
    methods, seeds = load()["classification"]["methods"], given["seeds"]
    known = {field.name for field in fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in given.items() if name in known})
    data = limited(
        load_classification(given["dataset"]),
        given["train_images"] or None,
        given["test_images"] or None,
    )
    for count in range(1, len(seeds) + 1):
        for method in methods:
            trained = run_method(
                method,
                config,
                dataset=given["dataset"],
                size=given["size"],
                seeds=seeds[:count],
                out_dir=arguments.out / method,
                label_smoothing=given["label_smoothing"],
                data=data,
                resume_dir=arguments.resume,
            )
            print(f"{method}, {count} seeds: top1 {trained.metrics['top1']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
