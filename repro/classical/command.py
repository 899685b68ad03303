"""`python -m repro tune`: parameters of the classical upsamplers, from training frames."""

from __future__ import annotations

import argparse
from pathlib import Path

from repro.classical.methods import METHODS
from repro.classical.tuning import tune_all
from repro.data.low_resolution import SAMPLINGS
from repro.data.rgbd import load_rgbd, rgbd_names
from repro.files import write_json
from repro.params import load_section

SECTION = "tune_upsamplers"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--scale", help=f"take the others from {SECTION}.<scale> of params.yaml")
    parser.add_argument("--dataset", default="bundled_rgbd", help=", ".join(rgbd_names()))
    parser.add_argument("--frames", type=int, default=2, help="training frames, evenly spaced")
    parser.add_argument("--factors", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="default: all")
    parser.add_argument("--sampling", default="centre", help=", ".join(SAMPLINGS))
    parser.add_argument("--crop", type=int, help="use the middle, this wide and high, of a frame")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(arguments: argparse.Namespace) -> int:
    """Tune every method at every factor and write what was found, and every trial."""
    names = ("dataset", "frames", "factors", "methods", "sampling", "crop")
    options = {name: getattr(arguments, name) for name in names}
    if arguments.scale is not None:
        given = load_section(SECTION, arguments.scale)
        if unknown := sorted(given.keys() - options.keys()):
            raise ValueError(
                f"{SECTION}.{arguments.scale} of params.yaml may set {', '.join(names)}; "
                f"got {', '.join(unknown)}"
            )
        options |= given
    data = load_rgbd(options.pop("dataset"))
    found = tune_all(options.pop("methods"), data, options.pop("factors"), **options)
    for method in found["methods"]:
        for factor, entry in found[method].items():
            values = ", ".join(f"{name} {value:g}" for name, value in entry["parameters"].items())
            print(
                f"{method} {factor}x: {entry['rmse']:.3f} {data.unit} after "
                f"{len(entry['trials'])} trials{'; ' * bool(values)}{values}"
            )
    write_json(arguments.out, found)
    return 0
