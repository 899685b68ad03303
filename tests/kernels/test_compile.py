"""Kernels of any operator become cubins without a GPU; what stands in the way is named."""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from numba import cuda

from repro_kernels import compile as compiler
from repro_kernels import ddf
from repro_kernels import fourier_disjoint_weight as fourier
from repro_kernels.compile import Resources, compile_variant

SMALL = ddf.Variant("backward_spatial", "general", 1, "mul", "float32")
EACH = [
    (SMALL, "ddf_general_backward_spatial_kernel"),
    (fourier.Variant("unmix_spectrum", "float32", ()), "unmix_spectrum_kernel"),
]


class Reversal(NamedTuple):
    """A kernel that no operator has: reverses `size` values in shared memory."""

    size: int
    kernel: str = "reversal"
    pointers: tuple[type, ...] = (np.float32,)
    integers: tuple[type, ...] = ()
    launch_bounds: None = None

    def function(self):
        size = self.size

        def reversal_kernel(x):
            shared = cuda.shared.array(size, np.float32)
            for i in range(cuda.threadIdx.x, size, cuda.blockDim.x):
                shared[i] = x[i]
            cuda.syncthreads()
            for i in range(cuda.threadIdx.x, size, cuda.blockDim.x):
                x[i] = shared[size - 1 - i]

        return reversal_kernel


@pytest.mark.parametrize(("variant", "name"), EACH, ids=["ddf", "fourier_disjoint_weight"])
def test_the_cubin_names_its_kernel(variant, name):
    cubin, entry, _ = compile_variant(variant, (9, 0))
    assert cubin[:4] == b"\x7fELF"
    assert name in entry


def test_large_kernels_compile_though_not_for_speed():
    large = ddf.Variant("forward", "general", 11, "mul", "float32")
    _, _, resources = compile_variant(large, (9, 0))
    assert resources.registers > 0


def test_what_takes_more_shared_memory_than_a_block_has_is_refused_by_name():
    *_, resources = compile_variant(Reversal(12 << 10), (9, 0))
    assert resources.shared_bytes == 48 << 10
    with pytest.raises(RuntimeError, match=r"cannot link reversal for sm_90: .* too much shared"):
        compile_variant(Reversal((12 << 10) + 1), (9, 0))


def test_resources_are_read_from_what_the_assembler_says():
    text = (
        "ptxas . 16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem"
    )
    assert compiler.read_resources(text) == Resources(40, 16, 20, 512)


@pytest.mark.parametrize("library", ["nvvm", "nvJitLink"])
def test_a_missing_library_is_named(library):
    """In a process of its own, whose loader does not find the library."""
    code = f"""
import cuda.pathfinder as pathfinder
load = pathfinder.load_nvidia_dynamic_lib
def refuse(name, *args):
    if name == {library!r}:
        raise pathfinder.DynamicLibNotFoundError(name)
    return load(name, *args)
pathfinder.load_nvidia_dynamic_lib = refuse
from repro_kernels.compile import MissingToolchainError, compile_variant
from repro_kernels.ddf import Variant
try:
    compile_variant(Variant("backward_spatial", "general", 1, "mul", "float32"), (9, 0))
except MissingToolchainError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"{library.lower()} comes with numba-cuda" in done.stdout, done.stderr


@pytest.mark.parametrize("binding", ["nvvm", "nvjitlink"])
def test_a_missing_binding_is_named(binding, monkeypatch):
    monkeypatch.setitem(sys.modules, f"cuda.bindings.{binding}", None)
    with pytest.raises(compiler.MissingToolchainError, match=f"{binding} comes with numba-cuda"):
        compile_variant(SMALL, (9, 0))
