"""Benchmark DDF at the sizes of the paper's networks; rows go to one CSV per device.

    python benchmarks/bench_ddf.py                         # Table 2's layers and operators
    python benchmarks/bench_ddf.py --shapes r50 --rounds 30
    python benchmarks/bench_ddf.py --shapes 8x64x56x56 --ops ddf_operator copy --device cuda

Notebook 40 measures Table 2 for the pipeline; this is the same measurement at more sizes.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from repro import env
from repro.bench import CASES, measure, parse_shape, read_rows, write_rows
from repro.paths import resolve

# Names for lists of input sizes (N, C, H, W).
SHAPES = {
    "table2": ["2x256x200x300"],
    # the 3x3 convolutions of ResNet-50 at 224 x 224, 8 images
    "r50": ["8x64x56x56", "8x128x28x28", "8x256x14x14", "8x512x7x7"],
    # the official timing script; 224 x 224 needs 3 GiB for input and output alone
    "supplement": [f"32x256x{side}x{side}" for side in (224, 112, 56, 28, 14, 7)],
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shapes", nargs="+", default=["table2"], help=f"NxCxHxW, or {', '.join(SHAPES)}"
    )
    parser.add_argument("--ops", nargs="+", default=list(CASES), help="cases (default: all)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", help="CSV to append to (default: results/benchmark/<device>.csv)")
    arguments = parser.parse_args()

    device_name = env.gpu_name() if arguments.device == "cuda" else env.cpu_name()
    file_name = re.sub(r"\W+", "_", device_name or "cuda").strip("_").lower()
    out = resolve(arguments.out or Path("results", "benchmark", f"{file_name}.csv"))
    for shape in (size for name in arguments.shapes for size in SHAPES.get(name, [name])):
        rows = measure(
            arguments.ops,
            parse_shape(shape),
            rounds=arguments.rounds,
            device=arguments.device,
            dtype=arguments.dtype,
        )
        for row in rows:
            print(
                f"{row['shape']:>16}  {row['op']:<20}{row['backend']:<10}"
                f"{row['median_ms']:>10.3f} ms  {row['peak_mib']:>9.1f} MiB"
            )
        earlier = read_rows(out) if out.exists() else []
        write_rows(out, [*earlier, *rows])
    print(f"rows are in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
