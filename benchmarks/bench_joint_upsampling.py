"""Benchmark the upsampling layers of joint depth upsampling: DDF-Up beside transposed PAC.

    python benchmarks/bench_joint_upsampling.py             # minutes
    python benchmarks/bench_joint_upsampling.py --quick     # seconds
    python benchmarks/bench_joint_upsampling.py --shapes 1x32x128x128 --modes forward

Shapes are those of the coarse input; the output has twice its height and width. Writes
results/benchmark/<device>_joint_upsampling.csv, a row for each layer, mode and shape: milliseconds
(all layers take turns in one process), peak memory (a process each), and multiply-accumulates,
counted exactly. Beside it, in <device>_joint_upsampling_goals.csv, is how many times less DDF-Up
takes of each. Table 2's layers at its size, which do not upsample, are measured with them. Rows of
an earlier run that this one did not measure again are kept.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import torch

from repro import env
from repro.bench import COLUMNS, measure, parse_shape, read_rows, write_table
from repro.bench.cases import MODES
from repro.bench.joint_upsampling import (
    JUDGED_COLUMNS,
    QUARTER,
    TABLE_2,
    TABLE_2_COARSE,
    cases_for,
    judge,
    layer_macs,
)
from repro.complexity import count
from repro.nn import DDF, PAC
from repro.paths import resolve

# The last stage of the networks, in training on crops of 256 x 256.
TRAINING = "1x32x128x128"
TABLE_2_LAYERS = {"pac": lambda: PAC(256, 256), "ddf": lambda: DDF(256)}
QUICK = "1x8x12x16"


def main() -> int:
    arguments = _arguments()
    common = {"rounds": arguments.rounds, "seconds": arguments.seconds}
    common |= {"device": arguments.device, "kernel_size": 3}
    for name in arguments.shapes:
        shape = parse_shape(name)
        for mode in arguments.modes:
            if name == TABLE_2:
                options: dict[str, Any] = {}
                ops, macs = list(TABLE_2_LAYERS), _table_2_macs
            else:
                options = {"registry": "repro.bench.joint_upsampling"}
                ops, macs = cases_for(shape), layer_macs
            if mode != "forward" and arguments.is_default and name != TRAINING:
                continue
            found = measure([(op, mode) for op in ops], shape, **options, **common)
            _report([{**row, "macs": macs(row["op"], shape)} for row in found], arguments.out)
    print(f"rows and goals are in {arguments.out.parent}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", help="NxCxHxW of the coarse input")
    parser.add_argument(
        "--modes", nargs="+", default=["forward", "forward_backward"], choices=MODES
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=60, help="of rounds, for one size")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, help="CSV (default: under results/benchmark)")
    parser.add_argument("--quick", action="store_true", help="one small size, few rounds")
    arguments = parser.parse_args()
    arguments.is_default = not (arguments.shapes or arguments.quick)
    if arguments.quick:
        arguments.rounds = 3
    default_shapes = [QUICK] if arguments.quick else [TABLE_2_COARSE, QUARTER, TRAINING, TABLE_2]
    arguments.shapes = arguments.shapes or default_shapes
    device_name = env.gpu_name() if arguments.device == "cuda" else env.cpu_name()
    file_name = re.sub(r"\W+", "_", device_name or "cuda").strip("_").lower()
    default_out = Path("results", "benchmark", f"{file_name}_joint_upsampling.csv")
    arguments.out = resolve(arguments.out or default_out)
    return arguments


def _table_2_macs(op: str, shape: tuple[int, ...]) -> int:
    with torch.device("meta"):
        layer = TABLE_2_LAYERS[op]()
    return count(layer, shape).macs


def _report(found: list[dict[str, Any]], out: Path) -> None:
    """Print new rows, and write them, with what they say; those they replace are dropped."""
    for row in found:
        print(
            f"{row['shape']:>14} {row['op']:<15}{row['mode']:<17}{row['backend']:<9}"
            f"{row['median_ms']:>10.2f} ms {row['peak_mib']:>9.1f} MiB "
            f"{row['macs'] / 1e9:>9.3f} GMACs",
            flush=True,
        )
    new = {(row["op"], row["mode"], row["shape"]) for row in found}
    earlier = read_rows(out) if out.exists() else []
    kept = [row for row in earlier if (row["op"], row["mode"], row["shape"]) not in new]
    rows = [{**row, "macs": int(row["macs"])} for row in kept] + found
    write_table(out, (*COLUMNS, "macs"), rows)
    judged = judge(rows)
    write_table(out.with_name(f"{out.stem}_goals.csv"), JUDGED_COLUMNS, judged)
    for row in judged:
        if row["shape"] in {each["shape"] for each in found}:
            goal = row["goal"] and f"goal {row['goal']:.3g}, met: {row['met']}"
            print(
                f"{row['shape']:>14} {row['mode']:<17}{row['quantity']:<10}{row['op']} takes "
                f"{row['times_less']:.1f} times less than {row['over']} {goal}"
            )


if __name__ == "__main__":
    sys.exit(main())
