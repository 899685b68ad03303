"""What the kernels of Fourier disjoint weights cost, read from their machine code, without a GPU.

python -m repro_kernels.fourier_disjoint_weight_resources   # compile all, write the table: minutes

A kernel is translated once, for the oldest architecture, and linked for each: the machine code
takes the same resources as one that was translated for its own, at a fraction of the time.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from repro_kernels import compile as compiler
from repro_kernels.fourier_disjoint_weight import Variant
from repro_kernels.fourier_disjoint_weight_compile import translate
from repro_kernels.fourier_disjoint_weight_limits import Call, why_not
from repro_kernels.fourier_disjoint_weight_plan import (
    plan_basis_backward,
    plan_basis_forward,
    plan_spectrum_backward,
    plan_spectrum_forward,
)
from repro_kernels.sass import disassemble, find_nvdisasm, inner_loop

PATH = Path(__file__).with_name("fourier_disjoint_weight_resources.csv")
CAPABILITIES = ((8, 0), (9, 0), (10, 0))
COLUMNS = (
    *Variant._fields,
    "capability",
    "registers",
    "stack_bytes",
    "spilled_bytes",
    "shared_bytes",
    "loop_instructions",  # of kernels with a loop; of others, all
    "loop_arithmetic",
    "loop_vector_loads",
)
Row = dict[str, str]

# (C_out, C_in, K_h, K_w) of the 3 x 3 convolutions of ResNet-50, of the least and the most channels
# of its 1 x 1, and of a larger filter, whose rows have a factor above 3: it comes from a basis.
LAYERS = (
    *((c, c, 3, 3) for c in (64, 128, 256, 512)),
    (64, 64, 1, 1),
    (2048, 2048, 1, 1),
    (64, 64, 7, 7),
)


def variants() -> Iterator[Variant]:
    """Every kernel of these layers in float32, and of one in float64."""
    calls = [Call(16, 1, 64, layer, 1, 7 if layer[1] >= 1024 else 5, "float32") for layer in LAYERS]
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


def measure(variant: Variant, nvdisasm: Path) -> Iterator[Row]:
    """The rows of a kernel: one for each architecture."""
    ltoir = translate(variant, CAPABILITIES[0], "ltoir")
    constants = " ".join(map(str, variant.constants))
    for capability in CAPABILITIES:
        cubin, text = compiler._link(ltoir, capability)
        taken = compiler.read_resources(text)
        loop = inner_loop(disassemble(cubin, nvdisasm))
        architecture = f"{capability[0]}.{capability[1]}"
        values = (variant.kernel, variant.dtype, constants, architecture, *taken, *loop)
        yield {name: str(value) for name, value in zip(COLUMNS, values, strict=True)}


def read() -> list[Row]:
    """The committed table."""
    with PATH.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def main() -> int:
    nvdisasm = find_nvdisasm()
    if nvdisasm is None:
        print("nvdisasm is neither on the PATH nor in Triton's package", file=sys.stderr)
        return 1
    rows = []
    for variant in variants():
        for row in measure(variant, nvdisasm):
            rows.append(row)
            print(" ".join(row.values()), flush=True)
    with PATH.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
