"""Benchmark the weights of FDConv, and hold them against the project's goals, on the CPU.

    make bench                                              # all below, and DDF's
    python benchmarks/bench_fdconv.py --sizes 256x256x3x16x4 --modes forward --rounds 20
    python benchmarks/bench_fdconv.py --quick               # a few seconds' worth of it

A size is outputs x inputs x kernel size x batch x groups. What is timed side by side is listed in
`repro.bench.fourier`: "forward" makes the weights of a batch without gradients, as in evaluation,
"forward_backward" is what a training step does.

Writes results/benchmark/<device>_fdconv.csv, a row for each op, mode and size, and beside it
<device>_fdconv_goals.csv, which says of each goal whether it is met: the layer's weights at least 8
times faster than the authors' pipeline in evaluation and 2 times in a training step, and no more
memory than 1.5 times these weights. Memory is that of a process of its own, beyond what is given.
Rows of an earlier run that this one did not measure again are kept.

Not met in evaluation on the CPU measured so far: most layers below 256 channels, and several above
with 64 groups. There the whole pipeline takes 4 to 8 times as long as the inverse FFT that
it calls ("irfft2"), so that to be 8 times faster, mixing, transform and modulation together would
have to take half as long as that FFT alone, or as long at most; the kernels take 0.5 to 1.8 times.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from repro.bench.processes import KEEP_HEAP, MAP_EACH_BLOCK

SIZES = [
    # of the same shape in several networks, few groups
    *("64x64x3x16x4", "128x128x3x16x4", "256x256x3x4x4", "256x256x3x16x4", "256x256x1x16x4"),
    # either side of where kept parallel weights stop being cheaper than a transform per sample
    *("256x256x3x16x8", "256x256x3x16x16"),
    # the stages of ResNet-50 with the paper's 64 groups: 3 x 3, and the 1 x 1 that leave a block
    *(f"{C}x{C}x3x{N}x64" for C in (64, 128, 256, 512) for N in (4, 16)),
    *(f"{4 * C}x{C}x1x{N}x64" for C in (64, 128, 256, 512) for N in (4, 16)),
]
QUICK_SIZES = ["64x64x3x2x4", "64x64x1x2x64"]


def main() -> int:
    arguments = _arguments()
    if arguments.peak:
        print(_peak(arguments.peak))
        return 0
    if any(os.environ.get(name) != value for name, value in KEEP_HEAP.items()):
        # The allocator reads its settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_HEAP})
    run(arguments)
    return 0


def run(arguments: argparse.Namespace) -> None:
    import torch

    from repro import env
    from repro.bench import read_rows, write_rows, write_table
    from repro.bench.fourier import BACKENDS, PREFIX, judge_weights, parse_size, steps, taken
    from repro.bench.goals import COLUMNS
    from repro.bench.timing import time_interleaved
    from repro.paths import resolve

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    file_name = re.sub(r"\W+", "_", env.cpu_name() or "cpu").strip("_").lower()
    out = resolve(arguments.out or Path("results", "benchmark", f"{file_name}_fdconv.csv"))
    versions = env.versions()
    described = {
        "device": f"{env.cpu_name()}, {torch.get_num_threads()} threads",
        "versions": "; ".join(f"{name} {versions[name]}" for name in ("torch", "numba")),
        "commit": env.commit() or "",
        "dtype": "float32",
    }
    rows = read_rows(out) if out.exists() else []
    for size in map(parse_size, arguments.sizes):
        for mode in arguments.modes:
            timings = time_interleaved(
                steps(size, mode),
                rounds=arguments.rounds,
                seconds=arguments.seconds,
                device=torch.device("cpu"),
            )
            timings["layer"] = timings[taken(size, mode)]
            peak = _peak_mib(str(size)) if mode == "forward" else float("nan")
            found: list[dict[str, Any]] = []
            for op, timing in timings.items():
                found.append(
                    {
                        "op": f"{PREFIX}{op}",
                        "backend": BACKENDS.get(op, "pytorch"),
                        "mode": mode,
                        "kernel_size": size.kernel_size,
                        "shape": str(size),
                        "peak_mib": peak if op == "layer" else float("nan"),
                        **vars(timing),
                        **described,
                    }
                )
                ratio = timings["materialised"].median_ms / timing.median_ms
                print(
                    f"{size!s:>18} {mode:<17}{op:<14}{timing.median_ms:>10.3f} ms{ratio:>8.1f}x",
                    flush=True,
                )
            new = {(row["op"], row["mode"], row["shape"]) for row in found}
            kept = [row for row in rows if (row["op"], row["mode"], row["shape"]) not in new]
            rows = [*kept, *found]
            write_rows(out, rows)
            write_table(out.with_name(f"{out.stem}_goals.csv"), COLUMNS, judge_weights(rows))
    for row in judge_weights(rows):
        verdict = "met" if row["met"] == "yes" else "NOT MET"
        print(
            f"{row['goal']} {row['shape']:>18} {row['mode']:<17}{row['ratio']:7.3f} x "
            f"{row['over']:<28} goal {row['limit']:.3g}: {verdict}"
        )
    print(f"rows and goals are in {out.parent}; times faster is than the materialised pipeline")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = ["forward", "backward", "forward_backward"]
    parser.add_argument("--sizes", nargs="+", help="default: those of the papers' networks")
    parser.add_argument("--modes", nargs="+", default=modes, choices=modes)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4, help="of rounds, for a size and mode")
    parser.add_argument("--threads", type=int, help="of PyTorch and the kernels (default: all)")
    parser.add_argument("--out", help="CSV (default: results/benchmark/<device>_fdconv.csv)")
    parser.add_argument("--quick", action="store_true", help="two small sizes, few rounds")
    parser.add_argument("--peak", help=argparse.SUPPRESS)  # of a size, in this very process
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 3
    arguments.sizes = arguments.sizes or (QUICK_SIZES if arguments.quick else SIZES)
    return arguments


def _peak_mib(size: str) -> float:
    """Peak memory of the layer's weights in evaluation, of a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", size],
        capture_output=True,
        check=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k not in KEEP_HEAP}, **MAP_EACH_BLOCK},
    )
    return float(done.stdout) / 2**20


def _peak(text: str) -> float:
    from repro.bench.fourier import parse_size, steps, taken
    from repro.bench.memory import peak_of

    size = parse_size(text)
    op = taken(size, "forward")
    small = size._replace(out_channels=32, in_channels=32)  # compiles the kernels
    steps(small, "forward", [op])[op]()
    return peak_of(steps(size, "forward", [op])[op])


if __name__ == "__main__":
    sys.exit(main())
