"""Benchmark DDF at the sizes of the papers' networks, and hold it against the project's goals.

    make bench                                              # all below, on the CPU
    python benchmarks/bench_ddf.py --quick                  # a minute's worth of it
    python benchmarks/bench_ddf.py --shapes r50 --kernel-sizes 3 --modes forward
    python benchmarks/bench_ddf.py --shapes 8x64x56x56 --ops ddf_operator copy --device cuda

Writes results/benchmark/<device>.csv, a row for each op, mode, kernel size and shape, and beside it
<device>_goals.csv, which says of each goal whether it is met (`repro.bench.goals`). Rows of an
earlier run that this one did not measure again are kept.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from repro import env
from repro.bench import measure, parse_shape, read_rows, write_rows, write_table
from repro.bench.cases import MODES
from repro.bench.goals import COLUMNS as GOAL_COLUMNS
from repro.bench.goals import judge
from repro.paths import resolve

# Names for lists of input sizes (N, C, H, W).
SHAPES = {
    "table2": ["2x256x200x300"],
    # the 3x3 convolutions of ResNet-50 at 224 x 224, 8 images
    "r50": ["8x64x56x56", "8x128x28x28", "8x256x14x14"],
    # many small maps: the last stage of ResNet-50, and of a network for 32 x 32 images
    "small": ["32x512x7x7", "32x16x32x32"],
    # the levels of a feature pyramid for an image of 800 x 1216
    "fpn": ["1x256x100x152", "1x256x50x76", "1x256x25x38", "1x256x13x19"],
    # next to nothing to compute: what remains is the host's time for a call
    "host": ["1x2x4x4"],
    # the official timing script; 224 x 224 needs 3 GiB for input and output alone
    "supplement": [f"32x256x{side}x{side}" for side in (224, 112, 56, 28, 14, 7)],
}
DEFAULT_SHAPES = ["table2", "r50", "small", "fpn", "host"]
QUICK_SHAPES = ["8x16x14x14", "host"]

OPS = ["copy", "ddf_operator", "ddf_out", "depthwise_operator", "conv_operator", "ddf_unfold"]
# Of what the branch predicts, normalised by the operation or before it, on small maps, where the
# filters weigh most.
NORMALISED = ["ddf_normalised", "ddf_after_filter_norm"]
NORMALISED_SHAPES = ("8x64x56x56", "32x16x32x32")
COMPILED = "ddf_compiled"  # needs a C compiler and several seconds for each row
COMPILED_SHAPES = ("2x256x200x300", "8x64x56x56", "32x16x32x32")
WITHOUT_BACKWARD = ("copy", "ddf_out")

# Larger kernels only where the goals name them, and a dense convolution or unfolded features only
# where they end in seconds and in a few GiB.
LARGE_KERNEL_SHAPES = ("2x256x200x300", "8x64x56x56", "32x16x32x32")
MOST_UNFOLDED_VALUES = 4e8
MOST_DENSE_PRODUCTS = 1e11

NETWORK_SHAPE = "2x3x128x128"
NETWORKS = ["resnet50", "ddf_resnet50", "ddf_resnet50_unfold"]


def cases(shape: tuple[int, ...], kernel_size: int, ops: list[str], modes: list[str]) -> list[Any]:
    """What is measured together at one size: pairs of op and mode."""
    N, C, H, W = shape
    values = N * C * H * W * kernel_size**2
    chosen = []
    for op in ops:
        if op == "ddf_unfold" and values > MOST_UNFOLDED_VALUES:
            continue
        if op == "conv_operator" and values * C > MOST_DENSE_PRODUCTS:
            continue
        for mode in modes:
            # What others take for the gradients alone, no goal asks.
            ours = op in ("ddf_operator", "depthwise_operator")
            has_gradients = op not in WITHOUT_BACKWARD and (ours or mode == "forward_backward")
            if mode == "forward" or has_gradients:
                chosen.append((op, mode))
    return chosen


def main() -> int:
    arguments = _arguments()
    device_name = env.gpu_name() if arguments.device == "cuda" else env.cpu_name()
    file_name = re.sub(r"\W+", "_", device_name or "cuda").strip("_").lower()
    out = resolve(arguments.out or Path("results", "benchmark", f"{file_name}.csv"))
    common = {"rounds": arguments.rounds, "seconds": arguments.seconds}
    common |= {"device": arguments.device, "dtype": arguments.dtype}
    rows = read_rows(out) if out.exists() else []
    for name in (size for given in arguments.shapes for size in SHAPES.get(given, [given])):
        shape = parse_shape(name)
        for kernel_size in arguments.kernel_sizes:
            if kernel_size > 3 and arguments.is_default and name not in LARGE_KERNEL_SHAPES:
                continue
            ops = list(arguments.ops)
            if name in NORMALISED_SHAPES and arguments.is_default:
                ops += NORMALISED
            if name in COMPILED_SHAPES and arguments.is_default and shutil.which("gcc"):
                ops += [COMPILED] if kernel_size == 3 else []
            chosen = cases(shape, kernel_size, ops, arguments.modes)
            found = measure(chosen, shape, kernel_size=kernel_size, peaks=False, **common)
            rows = _report(rows, found, out)
    if arguments.is_default:
        largest = parse_shape(SHAPES["table2"][0])
        memory = [(op, mode) for op in ("ddf_operator", "ddf_unfold") for mode in MODES[::2]]
        rows = _report(rows, _with_peaks(rows, memory, largest, **common), out)
        found = measure(
            [(net, "forward_backward") for net in NETWORKS],
            parse_shape(NETWORK_SHAPE),
            registry="repro.bench.networks",
            peaks=False,
            **common,
        )
        rows = _report(rows, found, out)
    for row in judge(rows):
        print(
            f"{row['goal']} {row['shape']:>14} k{row['kernel_size']} {row['mode']:<17}"
            f"{row['ratio']:7.2f} x {row['over']:<20} goal {row['limit']:.3g}: "
            f"{'met' if row['met'] == 'yes' else 'NOT MET'}"
        )
    print(f"rows and goals are in {out.parent}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", help=f"NxCxHxW, or {', '.join(SHAPES)}")
    parser.add_argument("--ops", nargs="+", default=OPS, help="cases of repro.bench")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--kernel-sizes", nargs="+", type=int, default=[3, 5, 7])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=8, help="of rounds, for one size")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", help="CSV (default: results/benchmark/<device>.csv)")
    parser.add_argument("--quick", action="store_true", help="two small sizes, 3 x 3, few rounds")
    arguments = parser.parse_args()
    arguments.is_default = not (arguments.shapes or arguments.quick)
    if arguments.quick:
        arguments.kernel_sizes, arguments.rounds = [3], 3
    arguments.shapes = arguments.shapes or (QUICK_SHAPES if arguments.quick else DEFAULT_SHAPES)
    return arguments


def _with_peaks(
    rows: Iterable[dict[str, Any]], chosen: list[Any], shape: tuple[int, ...], **common: Any
) -> list[dict[str, Any]]:
    """Rows that were measured before, with their peak memory, which takes a process for each."""
    name = "x".join(map(str, shape))
    peaks = measure(chosen, shape, peaks=True, **{**common, "rounds": 1})
    timed = {(row["op"], row["mode"], row["shape"], row["kernel_size"]): row for row in rows}
    found = []
    for row in peaks:
        earlier = timed.get((row["op"], row["mode"], name, row["kernel_size"]), row)
        found.append({**earlier, "peak_mib": row["peak_mib"]})
    return found


def _report(
    rows: list[dict[str, Any]], found: list[dict[str, Any]], out: Path
) -> list[dict[str, Any]]:
    """Print new rows, and write them, with the goals; those they replace are dropped."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in ("op", "mode", "kernel_size", "shape", "dtype"))

    for row in found:
        print(
            f"{row['shape']:>14} k{row['kernel_size']} {row['op']:<22}{row['mode']:<17}"
            f"{row['backend']:<14}{row['median_ms']:>10.3f} ms {row['peak_mib']:>9.1f} MiB",
            flush=True,
        )
    new = {key(row) for row in found}
    rows = [row for row in rows if key(row) not in new] + found
    write_rows(out, rows)
    write_table(out.with_name(f"{out.stem}_goals.csv"), GOAL_COLUMNS, judge(rows))
    return rows


if __name__ == "__main__":
    sys.exit(main())
