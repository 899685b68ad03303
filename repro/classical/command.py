"""`python -m repro tune`: parameters of the classical upsamplers, from training frames."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from repro.classical.methods import METHODS
from repro.classical.tuning import TunedParameters, central_crop, tune
from repro.data.low_resolution import SAMPLINGS
from repro.data.rgbd import limited, load_rgbd, rgbd_names
from repro.files import write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--dataset", required=True, help=", ".join(rgbd_names()))
    parser.add_argument("--frames", type=int, required=True, help="training frames, evenly spaced")
    parser.add_argument("--factors", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="default: all")
    parser.add_argument("--sampling", default="centre", help=", ".join(SAMPLINGS))
    parser.add_argument("--crop", type=int, help="use the middle, this wide and high, of a frame")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(arguments: argparse.Namespace) -> int:
    """Tune every method at every factor and write what was found, and every trial."""
    data = limited(load_rgbd(arguments.dataset), arguments.frames, None)
    pairs = list(data.require_train())
    if arguments.crop is not None:
        pairs = [central_crop(pair, arguments.crop) for pair in pairs]
    result: dict[str, Any] = {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "frames": [pair.name for pair in pairs],
        "crop": arguments.crop,
        "sampling": arguments.sampling,
        "unit": data.unit,
    }
    for method in arguments.methods:
        result[method] = {}
        for factor in arguments.factors:
            tuned = tune(method, pairs, factor, sampling=arguments.sampling)
            result[method][factor] = _plain(tuned, data.unit_scale)
            values = ", ".join(f"{name} {value:g}" for name, value in tuned.parameters.items())
            print(
                f"{method} {factor}x: {tuned.error * data.unit_scale:.3f} {data.unit} after "
                f"{len(tuned.trials)} trials{'; ' * bool(values)}{values}"
            )
    write_json(arguments.out, result)
    return 0


def _plain(tuned: TunedParameters, unit_scale: float) -> dict[str, Any]:
    """What JSON can hold, errors in the data's unit."""
    trials = [replace(trial, error=trial.error * unit_scale) for trial in tuned.trials]
    return {
        "parameters": tuned.parameters,
        "rmse": tuned.error * unit_scale,
        "trials": [{"parameters": trial.parameters, "rmse": trial.error} for trial in trials],
    }
