"""Benchmark the weights of FDConv at the sizes of its networks; rows go to one CSV per device.

    python benchmarks/bench_fdconv.py
    python benchmarks/bench_fdconv.py --sizes 256x3x16x4 --rounds 20 --threads 1

A size is channels x kernel size x batch x groups, of a convolution with as many inputs as outputs.
"forward" makes the weights of a batch; "step" their gradients too. What is measured side by side:

    copy           into memory that is there already, of as many values as there are weights
    irfft2         the inverse FFT alone, of spectra that are there already
    materialised   the steps of the authors' pipeline in PyTorch, every factor at full size
    reference      the operator's reference
    per_sample     the CPU kernels, with a transform per sample
    basis          the CPU kernels from parallel weights: kept ones in "forward" (evaluation), made
                   anew in "step"
    layer          what FDConv takes of the two: by the batch and the number of groups
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro.bench.processes import KEEP_HEAP

SIZES = ["64x3x16x4", "128x3x16x4", "256x3x16x4", "256x1x16x4", "128x3x16x64", "256x3x4x64"]
BACKENDS = {"per_sample": "cpu", "basis": "cpu", "layer": "cpu", "reference": "reference"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, help="of PyTorch and the kernels (default: all)")
    parser.add_argument("--out", help="CSV to append to (default: results/benchmark/<device>.csv)")
    arguments = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in KEEP_HEAP.items()):
        # The allocator reads its settings when a process starts.
        command = [sys.executable, *sys.argv]
        os.execve(sys.executable, command, {**os.environ, **KEEP_HEAP})
    run(arguments)
    return 0


def run(arguments: argparse.Namespace) -> None:
    import torch

    from repro import env
    from repro.bench import read_rows, write_rows
    from repro.bench.timing import time_interleaved
    from repro.paths import resolve

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = f"{env.cpu_name()}, {torch.get_num_threads()} threads"
    file_name = re.sub(r"\W+", "_", env.cpu_name() or "cpu").strip("_").lower()
    out = resolve(arguments.out or Path("results", "benchmark", f"{file_name}.csv"))
    versions = env.versions()
    described = {
        "device": device,
        "versions": "; ".join(f"{name} {versions[name]}" for name in ("torch", "numba")),
        "commit": env.commit() or "",
        "dtype": "float32",
        "peak_mib": float("nan"),  # not measured here
    }
    for size in arguments.sizes:
        for mode, steps in cases(*map(int, size.split("x"))).items():
            timings = time_interleaved(steps, rounds=arguments.rounds, device=torch.device("cpu"))
            rows: list[dict[str, Any]] = []
            for op, timing in timings.items():
                backend = BACKENDS.get(op, "pytorch")
                rows.append(
                    {
                        "op": f"fdconv_weight_{op}",
                        "backend": backend,
                        "mode": mode,
                        "shape": size,
                        **vars(timing),
                        **described,
                    }
                )
                ratio = timings["materialised"].median_ms / timing.median_ms
                print(f"{size:>14}  {mode:<8}{op:<14}{timing.median_ms:>10.3f} ms{ratio:>8.1f}x")
            write_rows(out, [*(read_rows(out) if out.exists() else []), *rows])
    print(f"rows are in {out}; the last column: times faster than the materialised pipeline")


def cases(
    channels: int, kernel_size: int, batch: int, kernel_num: int
) -> dict[str, dict[str, Callable[[], object]]]:
    """What to time of one size, by mode and name."""
    import torch

    from repro.nn.fourier_weight import BASIS_WEIGHTS_PER_TRANSFORM
    from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
    from repro.ops.frequency_groups import frequency_groups
    from repro.ops.reference.fourier_disjoint_weight import (
        Modulation,
        disjoint_basis,
        fourier_disjoint_weight_materialised,
    )

    torch.manual_seed(0)
    C, K, N = channels, kernel_size, batch
    rows, shape = C * K, (C, C, K, K)
    groups = frequency_groups(rows, rows, kernel_num)
    spectrum = torch.randn(1, rows, rows // 2 + 1, 2)
    attention = torch.rand(N, 1, kernel_num)
    modulation = Modulation(
        torch.rand(N, C),
        torch.rand(N, C),
        torch.rand(N, K * K),
        torch.randn(N, C),
        0.1 * torch.randn(C * K * K, 5),
    )

    def make_basis() -> torch.Tensor:
        basis = disjoint_basis(spectrum, groups, shape, kernel_num)
        return basis.permute(0, 1, 3, 4, 2).contiguous()

    def materialised() -> torch.Tensor:
        return fourier_disjoint_weight_materialised(spectrum, groups, attention, shape, modulation)

    def per_sample(backend: str | None = None) -> torch.Tensor:
        return fourier_disjoint_weight(
            spectrum, groups, attention, shape, modulation, backend=backend
        )

    def from_basis(basis: torch.Tensor) -> torch.Tensor:
        return weight_from_basis(basis, attention.flatten(1), modulation)

    kept = make_basis()
    weights = torch.randn(N, *shape)
    target = torch.empty_like(weights)
    spectra = torch.randn(N, rows, rows // 2 + 1, dtype=torch.complex64)
    forward: dict[str, Callable[[], object]] = {
        "copy": lambda: target.copy_(weights),
        "irfft2": lambda: torch.fft.irfft2(spectra, s=(rows, rows)),
        "materialised": without_gradients(materialised),
        "reference": without_gradients(lambda: per_sample("reference")),
        "per_sample": without_gradients(per_sample),
        "basis": without_gradients(lambda: from_basis(kept)),
    }
    takes_kept = kernel_num <= BASIS_WEIGHTS_PER_TRANSFORM["cpu"] * N
    forward["layer"] = forward["basis" if takes_kept else "per_sample"]
    leaves = [spectrum, attention, *(factor for factor in modulation if factor is not None)]

    def step(make: Callable[[], torch.Tensor]) -> Callable[[], object]:
        def run_step() -> object:
            tracked = [leaf.requires_grad_() for leaf in leaves]
            return torch.autograd.grad(make(), tracked, weights)

        return run_step

    steps: dict[str, Callable[[], object]] = {
        "materialised": step(materialised),
        "reference": step(lambda: per_sample("reference")),
        "per_sample": step(per_sample),
    }
    if kernel_num < N:
        steps["basis"] = step(lambda: from_basis(make_basis()))
    steps["layer"] = steps["basis" if kernel_num < N else "per_sample"]
    return {"forward": forward, "step": steps}


def without_gradients(make: Callable[[], object]) -> Callable[[], object]:
    import torch

    def run_without() -> object:
        with torch.no_grad():
            return make()

    return run_without


if __name__ == "__main__":
    sys.exit(main())
