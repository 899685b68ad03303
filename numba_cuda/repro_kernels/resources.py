"""What every kernel costs, read from its machine code into resources.csv beside this file.

    python -m repro_kernels.resources           # compile all: ten minutes
    python -m repro_kernels.resources vector    # compile these forms, keep the other rows
    python -m repro_kernels.resources --table   # the README's table, from resources.csv

No GPU is needed, but nvdisasm is (see `sass.find_nvdisasm`).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from repro_kernels.compile import Variant, compile_variant
from repro_kernels.sass import disassemble, find_nvdisasm, inner_loop
from repro_kernels.storage import STORAGES

PATH = Path(__file__).with_name("resources.csv")
CAPABILITIES = ((8, 0), (9, 0), (10, 0))
COLUMNS = (
    *Variant._fields,
    "capability",
    "registers",
    "stack_bytes",
    "spilled_bytes",
    "shared_bytes",
    "loop_instructions",
    "loop_arithmetic",
    "loop_vector_loads",
)
Row = dict[str, str]

VECTOR = ("forward", "backward_x_channel", "backward_spatial")
ALL = ("forward", "backward_x", "backward_channel", "backward_spatial")


def variants() -> Iterator[Variant]:
    """Every kernel in float32, at each K and combination; other dtypes, strides and dilations."""
    for kernel_size in (1, 3, 5):
        for kernel in VECTOR:
            for kernel_combine in ("mul", "add"):
                yield Variant(kernel, "vector", kernel_size, kernel_combine, "float32")
        for dtype in ("float16", "bfloat16"):
            for kernel in VECTOR:
                yield Variant(kernel, "vector", kernel_size, "mul", dtype)
    for kernel_size in (1, 3, 5, 7):
        for kernel in ALL:
            for kernel_combine in ("mul", "add"):
                yield Variant(kernel, "row", kernel_size, kernel_combine, "float32")
            if kernel_size < 7:
                yield Variant(kernel, "row", kernel_size, "mul", "float64")
    for kernel in ALL:
        yield Variant(kernel, "row", 3, "mul", "bfloat16")
        yield Variant(kernel, "row", 3, "mul", "float32", dilation=2)
        for kernel_size in (3, 7):
            yield Variant(kernel, "general", kernel_size, "mul", "float32")
    yield Variant("forward", "row", 3, "mul", "float32", stride=2)
    for kernel in ALL:
        for dtype in STORAGES:
            yield Variant(kernel, "up", 3, "mul", dtype, scale_factor=2)
        yield Variant(kernel, "up", 3, "add", "float32", scale_factor=2)
    yield Variant("backward_channel_sum", "row", 3, "mul", "float32")


def measure(variant: Variant, capability: tuple[int, int], nvdisasm: Path) -> Row:
    """One row of the table."""
    cubin, _, taken = compile_variant(variant, capability)
    loop = inner_loop(disassemble(cubin, nvdisasm))
    values = (*variant, f"{capability[0]}.{capability[1]}", *taken, *loop)
    return {name: str(value) for name, value in zip(COLUMNS, values, strict=True)}


def read() -> list[Row]:
    """The committed table."""
    with PATH.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table() -> str:
    """The float32 "mul" kernels without stride or dilation as Markdown, one row each."""
    lines = ["| kernel | form | K | registers | inner loop | of it arithmetic | vector loads |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    shown: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in read():
        chosen = tuple(row[name] for name in ("dtype", "kernel_combine", "stride", "dilation"))
        if chosen == ("float32", "mul", "1", "1"):
            key = (row["kernel"], row["form"], row["kernel_size"])
            shown.setdefault(key, {})[row["capability"]] = row
    for key, rows in sorted(shown.items(), key=lambda item: (item[0][1], item[0])):
        cells = []
        for name in ("registers", "loop_instructions", "loop_arithmetic", "loop_vector_loads"):
            values = [row[name] for row in rows.values()]
            cells.append(values[0] if len(set(values)) == 1 else " / ".join(values))
        lines.append(f"| {' | '.join((*key, *cells))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    if "--table" in sys.argv[1:]:
        print(table(), end="")
        return 0
    nvdisasm = find_nvdisasm()
    if nvdisasm is None:
        print("nvdisasm is neither on the PATH nor in Triton's package", file=sys.stderr)
        return 1
    forms = sys.argv[1:]
    rows = [row for row in read() if row["form"] not in forms] if forms else []
    for variant in variants():
        for capability in CAPABILITIES if variant.form in forms or not forms else ():
            rows.append(measure(variant, capability, nvdisasm))
            print(" ".join(rows[-1].values()), flush=True)
    with PATH.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
