"""`python -m repro costs`: exact parameters and operations of every full-size network, as JSON.

Costs do not depend on the scale of a run: they are those of the papers' networks at 224 x 224 (and
at 1280 x 800, where a table prints what a backbone adds to a detector), of the networks of joint
depth upsampling at 480 x 640, and of one upsampling layer of PAC and of DDF, counted on the meta
device in about a minute for all of them. Beside them, in `printed_costs.json`, lie the costs of
every printed row, those of whole detectors and segmenters included.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from repro import models, params
from repro.complexity import CONVENTIONS, count
from repro.files import write_json
from repro.models import joint_upsampling, rows
from repro.names import require_known
from repro.nn import DDFUp, PACTransposed
from repro.paths import resolve, results_dir

_log = logging.getLogger(__name__)

FACTORS = (4, 8, 16)
DEPTH_SIZE = (480, 640)  # NYU Depth V2

# Table 2's layer, doubling height and width. As there, the guidance has as many channels as x; it
# comes at the output's resolution, which both layers can take.
_X, _GUIDANCE = (1, 256, 200, 300), (1, 256, 400, 600)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "--scale", choices=params.SCALES, help="results folder to write to (default: params.yaml's)"
    )
    parser.add_argument("--out", help="file to write (default: results/<scale>/costs.json)")
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="ID",
        help="systems (default: all, and printed_costs.json beside the file: the printed rows)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Count, and write the file."""
    out = _destination(arguments.out, arguments.scale)
    costs = {name: system_cost(name) for name in arguments.methods or names()}
    write_json(out, costs)
    _log.info("costs of %d systems: %s", len(costs), out)
    if not arguments.methods:
        write_json(out.with_name("printed_costs.json"), printed_costs())
    return 0


def printed_costs() -> dict[str, Any]:
    """Address of every row that prints costs -> its network and what was counted.

    A plain detector of FDConv's Table 1 counts as a whole, what is put into it as its backbone.
    """
    # Some hosts lack torchvision, needed for detectors, or transformers, needed for segmenters.
    from repro.models.detection import costs as detectors
    from repro.models.segmentation import costs as segmenters

    return {**rows.describe(), **detectors.describe(), **segmenters.describe()}


def names() -> list[str]:
    """Everything that has costs: networks, `<upsampler>_x<factor>`, and two layers."""
    return [*models.names(), *_upsamplers(), *_upsampling_layers()]


def system_cost(name: str) -> dict[str, Any]:
    """Costs of one full-size network or layer.

    Returns:
        "params" (a count), "macs" (multiply-accumulates), "params_m" and "flops_g" in the tables'
        units (millions; billions of multiply-accumulates) and "input_size" (of several inputs:
        "input_sizes"). Of a classifier also "flops_g_by_convention" (every convention of
        `repro.complexity`, in billions) and "activation_mib" (kept for the backward pass of one
        image).
    Raises:
        UnknownNameError: no such system.
        NotImplementedError: the network runs an operator that has no counting rule.
    """
    require_known("method", name, names())
    if name in _upsampling_layers():
        return _layer_cost(name)
    if name in _upsamplers():
        return _upsampler_cost(*_upsamplers()[name])
    cost = rows.cost(name)
    return {
        **_in_units(cost.params, cost.macs),
        "flops_g_by_convention": {key: cost.total(key) / 1e9 for key in CONVENTIONS},
        "activation_mib": cost.activation_bytes / 2**20,
        "input_size": list(rows.CLASSIFICATION),
    }


def _upsamplers() -> Mapping[str, tuple[str, int]]:
    """`<method>_x<factor>` -> method and factor, of all that are trained, variants included."""
    trained = joint_upsampling.learned_names(variants=True)
    return {f"{name}_x{factor}": (name, factor) for name in trained for factor in FACTORS}


def _upsampler_cost(method: str, factor: int) -> dict[str, Any]:
    height, width = DEPTH_SIZE
    cost = joint_upsampling.upsampler_costs(method, factor, height, width)
    low = [1, 1, height // factor, width // factor]
    return {
        **_in_units(cost["params"], cost["macs"]),
        "input_sizes": [low, [1, 3, height, width]],
    }


def _upsampling_layers() -> Mapping[str, Callable[[], nn.Module]]:
    """The layers that claim c31 of DDF compares, each with its own kernel: PAC-Net's is 5 x 5."""
    channels, guidance_channels = _X[1], _GUIDANCE[1]
    return {
        "pac_up_layer": lambda: PACTransposed(channels, channels),
        "ddf_up_layer": lambda: DDFUp(channels, guidance_channels=guidance_channels),
    }


def _layer_cost(name: str) -> dict[str, Any]:
    sizes: Sequence[tuple[int, ...]] = (_X, _GUIDANCE)
    cost = count(_upsampling_layers()[name](), *sizes)
    if cost.uncounted:
        raise NotImplementedError(f"{name}: no counting rule for {', '.join(cost.uncounted)}")
    return {**_in_units(cost.params, cost.macs), "input_sizes": [list(size) for size in sizes]}


def _in_units(params: int, macs: int) -> dict[str, Any]:
    return {"params": params, "params_m": params / 1e6, "macs": macs, "flops_g": macs / 1e9}


def _destination(out: str | None, scale: str | None) -> Path:
    if out is not None:
        return resolve(out)
    return results_dir(scale or params.load()["scale"]) / "costs.json"
