"""`python -m repro costs`: exact parameters and operations of every full-size network, as JSON.

Costs do not depend on the scale of a run: they are those of the papers' networks at 224 x 224 (and
at 1280 x 800, where a table prints what a backbone adds to a detector), counted on the meta device
in half a minute for all of them.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from repro import models, params
from repro.complexity import CONVENTIONS
from repro.files import write_json
from repro.models import rows
from repro.names import require_known
from repro.paths import resolve, results_dir

_log = logging.getLogger(__name__)


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
    costs = {name: system_cost(name) for name in arguments.methods or models.names()}
    write_json(out, costs)
    _log.info("costs of %d systems: %s", len(costs), out)
    if not arguments.methods:
        write_json(out.with_name("printed_costs.json"), rows.describe())
    return 0


def system_cost(name: str) -> dict[str, Any]:
    """Costs of one full-size network.

    Returns:
        "params" (a count), "macs" (multiply-accumulates), "params_m" and "flops_g" in the tables'
        units (millions; billions of multiply-accumulates), "flops_g_by_convention" (every
        convention of `repro.complexity`, in billions), "activation_mib" (kept for the backward pass
        of one image), and "input_size".
    Raises:
        UnknownNameError: no such system.
        NotImplementedError: the network runs an operator that has no counting rule.
    """
    require_known("method", name, models.names())
    cost = rows.cost(name)
    return {
        "params": cost.params,
        "params_m": cost.params / 1e6,
        "macs": cost.macs,
        "flops_g": cost.macs / 1e9,
        "flops_g_by_convention": {key: cost.total(key) / 1e9 for key in CONVENTIONS},
        "activation_mib": cost.activation_bytes / 2**20,
        "input_size": list(rows.CLASSIFICATION),
    }


def _destination(out: str | None, scale: str | None) -> Path:
    if out is not None:
        return resolve(out)
    return results_dir(scale or params.load()["scale"]) / "costs.json"
