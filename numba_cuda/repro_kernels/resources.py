"""What every kernel costs, read from its machine code into tables beside this file.

    python -m repro_kernels.resources           # compile all: 25 minutes
    python -m repro_kernels.resources vector    # compile what has this name, keep the other rows
    python -m repro_kernels.resources --table   # the README's table, from resources.csv

No GPU is needed, but nvdisasm is (see `sass.find_nvdisasm`).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from repro_kernels import ddf
from repro_kernels import fourier_disjoint_weight as fourier
from repro_kernels.compile import Resources, compile_variant
from repro_kernels.fourier_disjoint_weight_limits import Call, why_not
from repro_kernels.fourier_disjoint_weight_plan import (
    plan_basis_backward,
    plan_basis_forward,
    plan_spectrum_backward,
    plan_spectrum_forward,
)
from repro_kernels.sass import disassemble, find_nvdisasm, inner_loop
from repro_kernels.steps import Variant
from repro_kernels.storage import STORAGES

CAPABILITIES = ((8, 0), (9, 0), (10, 0))
COSTS = (
    *Resources._fields,
    "loop_instructions",  # of kernels with a loop; of others, all
    "loop_arithmetic",
    "loop_vector_loads",
)
Row = dict[str, str]

VECTOR = ("forward", "backward_x_channel", "backward_spatial")
ALL = ("forward", "backward_x", "backward_channel", "backward_spatial")

# Kernels that standardise spatial filters, by what their variants begin with.
STANDARDISING = (
    ("forward", "vector", 3, "mul", "float32"),
    ("forward", "vector", 3, "add", "float32"),
    ("forward", "vector", 3, "mul", "bfloat16"),
    ("forward", "vector", 5, "mul", "float32"),
    ("forward", "row", 3, "mul", "float32"),
    ("forward", "row", 3, "mul", "float64"),
    ("forward", "row", 5, "mul", "float32"),
    ("forward", "row", 7, "mul", "float32"),
    ("standardise", "general", 3, "mul", "float32"),
    ("standardise", "general", 7, "mul", "float32"),
    ("standardise_backward", "general", 3, "mul", "float32"),
    ("standardise_backward", "general", 7, "mul", "float32"),
)

# (C_out, C_in, K_h, K_w) of the 3 x 3 convolutions of ResNet-50, of the least and the most channels
# of its 1 x 1, and of a larger filter, whose rows have a factor above 3: it comes from a basis.
FOURIER_LAYERS = (
    *((c, c, 3, 3) for c in (64, 128, 256, 512)),
    (64, 64, 1, 1),
    (2048, 2048, 1, 1),
    (64, 64, 7, 7),
)


class Table(NamedTuple):
    """The costs of one operator's kernels: where they are written, and of which variants."""

    path: Path
    names: tuple[str, ...]  # of the columns that tell a row from the others
    variants: Callable[[], Iterator[Variant]]

    def read(self) -> list[Row]:
        """The committed rows."""
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def key(self, variant: Any, capability: tuple[int, int]) -> tuple[str, ...]:
        """What a row of this variant has in the columns `names`."""
        values = (*variant, f"{capability[0]}.{capability[1]}")
        return tuple(" ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values)

    def key_of(self, row: Row) -> tuple[str, ...]:
        """The same of a row."""
        return tuple(row[name] for name in self.names)

    def measure(
        self, variant: Variant, capability: tuple[int, int], nvdisasm: Path
    ) -> tuple[Row, str]:
        """One row, compiled as for a launch, and the machine code as text."""
        cubin, _, taken = compile_variant(variant, capability)
        code = disassemble(cubin, nvdisasm)
        values = (*self.key(variant, capability), *map(str, (*taken, *inner_loop(code))))
        return dict(zip((*self.names, *COSTS), values, strict=True)), code

    def write(self, rows: list[Row]) -> None:
        with self.path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, (*self.names, *COSTS), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def ddf_variants() -> Iterator[ddf.Variant]:
    """Every kernel in float32, at each K and combination; other dtypes, strides and dilations."""
    for kernel_size in (1, 3, 5):
        for kernel in VECTOR:
            for kernel_combine in ("mul", "add"):
                yield ddf.Variant(kernel, "vector", kernel_size, kernel_combine, "float32")
        for dtype in ("float16", "bfloat16"):
            for kernel in VECTOR:
                yield ddf.Variant(kernel, "vector", kernel_size, "mul", dtype)
    for kernel_size in (1, 3, 5, 7):
        for kernel in ALL:
            for kernel_combine in ("mul", "add"):
                yield ddf.Variant(kernel, "row", kernel_size, kernel_combine, "float32")
            if kernel_size < 7:
                yield ddf.Variant(kernel, "row", kernel_size, "mul", "float64")
    for kernel in ALL:
        yield ddf.Variant(kernel, "row", 3, "mul", "bfloat16")
        yield ddf.Variant(kernel, "row", 3, "mul", "float32", dilation=2)
        for kernel_size in (3, 7):
            yield ddf.Variant(kernel, "general", kernel_size, "mul", "float32")
    yield ddf.Variant("forward", "row", 3, "mul", "float32", stride=2)
    for kernel in ALL:
        for dtype in STORAGES:
            yield ddf.Variant(kernel, "up", 3, "mul", dtype, scale_factor=2)
        yield ddf.Variant(kernel, "up", 3, "add", "float32", scale_factor=2)
    yield ddf.Variant("backward_channel_sum", "row", 3, "mul", "float32")
    for kernel, form, kernel_size, kernel_combine, dtype in STANDARDISING:
        yield ddf.Variant(kernel, form, kernel_size, kernel_combine, dtype, norm_scale=0.5)


def fourier_variants() -> Iterator[Variant]:
    """Every kernel of `FOURIER_LAYERS` in float32, and of one layer in float64."""
    calls = [
        Call(16, 1, 64, layer, 1, 7 if layer[1] >= 1024 else 5, "float32")
        for layer in FOURIER_LAYERS
    ]
    calls.append(Call(16, 2, 64, (64, 64, 3, 3), 1, 0, "float64"))
    seen = set()
    for call in calls:
        plans = [plan_basis_forward(call), plan_basis_backward(call)]
        if why_not(call, transforms=True) is None:
            plans += [plan_spectrum_forward(call), plan_spectrum_backward(call)]
        for step in (step for plan in plans for step in plan.steps):
            if step.variant not in seen:
                seen.add(step.variant)
                yield step.variant


HERE = Path(__file__).parent
DDF = Table(HERE / "resources.csv", (*ddf.Variant._fields, "capability"), ddf_variants)
FOURIER = Table(
    HERE / "fourier_disjoint_weight_resources.csv",
    (*fourier.Variant._fields, "capability"),
    fourier_variants,
)


def markdown() -> str:
    """DDF's float32 "mul" kernels without stride or dilation, one row each."""
    lines = ["| kernel | form | K | registers | inner loop | of it arithmetic | vector loads |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    shown: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in DDF.read():
        chosen = tuple(row[name] for name in ("dtype", "kernel_combine", "stride", "dilation"))
        if chosen == ("float32", "mul", "1", "1"):
            name = row["kernel"]
            if row["norm_scale"] != "0.0" and row["form"] != "general":
                name += ", standardising"
            key = (name, row["form"], row["kernel_size"])
            shown.setdefault(key, {})[row["capability"]] = row
    for key, rows in sorted(shown.items(), key=lambda item: (item[0][1], item[0])):
        cells = []
        for name in ("registers", "loop_instructions", "loop_arithmetic", "loop_vector_loads"):
            values = [row[name] for row in rows.values()]
            cells.append(values[0] if len(set(values)) == 1 else " / ".join(values))
        lines.append(f"| {' | '.join((*key, *cells))} |")
    return "\n".join(lines) + "\n"


def update(table: Table, names: set[str], nvdisasm: Path) -> None:
    """Measure the variants that have one of `names`, or no row yet; all of them without names."""
    recorded = {table.key_of(row): row for row in table.read()} if names else {}
    rows = []
    for variant in table.variants():
        for capability in CAPABILITIES:
            key = table.key(variant, capability)
            if key in recorded and not names.intersection(key):
                rows.append(recorded[key])
            else:
                rows.append(table.measure(variant, capability, nvdisasm)[0])
                print(" ".join(rows[-1].values()), flush=True)
    table.write(rows)


def main() -> int:
    if "--table" in sys.argv[1:]:
        print(markdown(), end="")
        return 0
    nvdisasm = find_nvdisasm()
    if nvdisasm is None:
        print("nvdisasm is neither on the PATH nor in Triton's package", file=sys.stderr)
        return 1
    for table in (DDF, FOURIER):
        update(table, set(sys.argv[1:]), nvdisasm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
