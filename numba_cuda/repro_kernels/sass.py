"""Read machine code: how many instructions the inner loop of a kernel has, and which loads."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)(.*)")
LABEL = re.compile(r"^(\.L_\w+):")
TARGET = re.compile(r"`\((\.L_\w+)\)")
BRANCH = re.compile(r"^BRA(\.U)?$")  # not BRA.DIV, which handles lanes that went apart
ARITHMETIC = re.compile(r"^(FFMA|FMUL|FADD|DFMA|DMUL|DADD)\b")
VECTOR_LOADS = re.compile(r"^LDG\.E\.(128|64)\b")


class InnerLoop(NamedTuple):
    """What the busiest loop of a kernel consists of."""

    instructions: int
    arithmetic: int  # floating-point additions, multiplications and both at once
    vector_loads: int  # from global memory, of 64 or 128 bits


def find_nvdisasm() -> Path | None:
    """NVIDIA's disassembler: on the PATH, or in the Triton that comes with PyTorch."""
    on_path = shutil.which("nvdisasm")
    if on_path:
        return Path(on_path)
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None:
        return None
    bundled = Path(triton.origin).parent / "backends" / "nvidia" / "bin" / "nvdisasm"
    return bundled if bundled.exists() else None


def disassemble(cubin: bytes, nvdisasm: Path) -> str:
    """The machine code as text.

    Raises:
        subprocess.CalledProcessError: nvdisasm does not know the architecture.
    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        done = subprocess.run(
            [nvdisasm, "-c", file.name], capture_output=True, text=True, check=True
        )
    return done.stdout


def inner_loop(sass: str) -> InnerLoop:
    """The loop with the largest share of arithmetic; the whole kernel if it has none."""
    instructions: list[tuple[str, str]] = []
    labels: dict[str, int] = {}
    for line in sass.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = len(instructions)
        elif found := INSTRUCTION.match(line):
            instructions.append((found[1], found[2]))
    loops = [_count(instructions)]
    for end, (name, operands) in enumerate(instructions):
        target = TARGET.search(operands)
        if BRANCH.match(name) and target and labels.get(target[1], end) < end:
            loops.append(_count(instructions[labels[target[1]] : end + 1]))
    return max(loops, key=lambda loop: loop.arithmetic / loop.instructions)


def _count(instructions: list[tuple[str, str]]) -> InnerLoop:
    names = [name for name, _ in instructions]
    return InnerLoop(
        len(names),
        sum(ARITHMETIC.match(name) is not None for name in names),
        sum(VECTOR_LOADS.match(name) is not None for name in names),
    )
