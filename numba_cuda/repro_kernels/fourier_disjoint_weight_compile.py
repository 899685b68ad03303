"""Kernels of Fourier disjoint weights as cubins, compiled and kept as those of DDF are.

An adaptor: `repro_kernels.compile` and `repro_kernels.launch` know the variants and the arguments
of DDF, and lend what does not depend on them.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import cuda
from numba.cuda import types
from numba.cuda.np import numpy_support

from repro_kernels import compile as compiler
from repro_kernels import launch
from repro_kernels.compile import MissingToolchainError, Resources
from repro_kernels.fourier_disjoint_weight import KERNELS, Variant
from repro_kernels.fourier_disjoint_weight_plan import Step
from repro_kernels.storage import STORAGES

log = logging.getLogger(__name__)


def function(variant: Variant) -> Any:
    """The Python function of a variant, as Numba and the simulator take it."""
    return KERNELS[variant.kernel].make(STORAGES[variant.dtype], *variant.constants)


def compile_variant(variant: Variant, capability: tuple[int, int]) -> tuple[bytes, str, Resources]:
    """Machine code for a compute capability such as (9, 0).

    Returns:
        the cubin, the name of the kernel in it, what the kernel takes
    Raises:
        MissingToolchainError: NVVM or nvJitLink is not installed.
    """
    cubin, text = compiler._link(translate(variant, capability, "ltoir"), capability)
    entry = re.search(r"Compiling entry function '(\w+)'", text)
    if entry is None:
        raise RuntimeError(f"nvJitLink named no kernel for {variant}: {text!r}")
    return cubin, entry[1], compiler.read_resources(text)


def cached_cubin(variant: Variant, capability: tuple[int, int]) -> tuple[bytes, str]:
    """`compile_variant`, remembered in the folder where `repro_kernels.compile` keeps cubins.

    Returns:
        the cubin and the name of the kernel in it
    """
    path = compiler.cache_dir() / f"{compiler._key(variant, capability)}.cubin"
    try:
        name, _, cubin = path.read_bytes().partition(b"\n")
        digest, _, entry = name.decode().partition(" ")
        if digest == hashlib.sha256(cubin).hexdigest():
            return cubin, entry
        log.warning("kernel cache: %s is damaged and is written again", path)
    except (OSError, UnicodeDecodeError) as error:
        log.debug("kernel cache: %s is compiled: %s", variant, error)
    cubin, entry, _ = compile_variant(variant, capability)
    content = f"{hashlib.sha256(cubin).hexdigest()} {entry}\n".encode() + cubin
    compiler._write_whole(path, content)
    return cubin, entry


def translate(variant: Variant, capability: tuple[int, int], output: str) -> Any:
    """The kernel as "ltoir", or as "ptx" to be read."""
    kernel = KERNELS[variant.kernel]
    value = numpy_support.from_dtype(np.dtype(STORAGES[variant.dtype].memory))
    pointers = (
        types.CPointer(types.int32 if name == "group_map" else value) for name in kernel.tensors
    )
    signature = types.void(*pointers, *(types.int32,) * len(kernel.sizes))
    try:
        code, _ = cuda.compile(
            function(variant), signature, device=False, abi="numba", cc=capability, output=output
        )
    except (ImportError, OSError, cuda.CudaSupportError) as error:
        raise MissingToolchainError(
            f"cannot compile {variant}: {error}; NVVM comes with numba-cuda[cu13]"
        ) from error
    return code


def prepare(step: Step, names: Sequence[str], device: torch.device) -> launch.Launch:
    """Compile and load a step's kernel, for tensors that will come in the order of `names`.

    Raises:
        ValueError: the grid is too large for a GPU.
        RuntimeError: a CUDA graph is being captured and the kernel is not loaded yet.
        MissingToolchainError: there is no driver, or no compiler.
    """
    if step.blocks > launch.MAX_BLOCKS:
        raise ValueError(
            f"{step.variant.kernel} needs {step.blocks} blocks, a grid has at most "
            f"{launch.MAX_BLOCKS}"
        )
    return launch.Launch(
        _load(step.variant, torch.cuda.get_device_capability(device)),
        launch._config(step.blocks, step.threads),
        tuple(names.index(name) for name in step.tensors),
        tuple(np.int32(size) for size in step.sizes),
    )


@cache
def _load(variant: Variant, capability: tuple[int, int]) -> Any:
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            f"{variant} is not loaded yet, and loading cannot be captured in a CUDA graph: run the "
            "same call once before the capture"
        )
    cubin, entry = cached_cubin(variant, capability)
    return launch._cuda_core().ObjectCode.from_cubin(cubin).get_kernel(entry)
