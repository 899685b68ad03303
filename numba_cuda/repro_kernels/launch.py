"""Launch kernels on PyTorch tensors: raw pointers, PyTorch's current stream, a cached cubin.

This file has never run on a GPU. What it calls is compiled and simulated in the tests; the launch
itself is written from the documentation of cuda.core.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from repro_kernels.compile import MissingToolchainError, Variant, cached_cubin

MAX_BLOCKS = 2**31 - 1  # of a grid's first axis


def launch(
    variant: Variant, blocks: int, threads: int, tensors: dict[str, Tensor], sizes: tuple[int, ...]
) -> None:
    """Run a kernel on the current stream of the tensors' device; returns before it has finished.

    Args:
        tensors: by name, in the order of the kernel's pointers; all of one dtype, contiguous, on
            one CUDA device.
        sizes: the kernel's integers, in its order.
    Raises:
        ValueError: a tensor is not as it must be, or the grid is too large; names which.
        MissingToolchainError: there is no driver, or no compiler.
    """
    device = check_tensors(tensors, variant.dtype)
    if blocks > MAX_BLOCKS:
        raise ValueError(f"{variant.kernel} needs {blocks} blocks, a grid has at most {MAX_BLOCKS}")
    core = _cuda_core()
    with torch.cuda.device(device):
        kernel = _load(variant, torch.cuda.get_device_capability(device))
        pointers = [tensor.data_ptr() for tensor in tensors.values()]
        config = _config(blocks, threads)
        core.launch(torch.cuda.current_stream(device), config, kernel, *pointers, *sizes)


def check_tensors(tensors: dict[str, Tensor], dtype: str) -> torch.device:
    """The one device of all tensors.

    Raises:
        ValueError: a tensor is on another device, of another dtype, or not contiguous.
    """
    device = next(iter(tensors.values())).device
    for name, tensor in tensors.items():
        if tensor.device != device or device.type != "cuda":
            raise ValueError(f"{name} must be on one CUDA device, got {tensor.device} and {device}")
        if str(tensor.dtype) != f"torch.{dtype}":
            raise ValueError(f"{name} must be torch.{dtype}, got {tensor.dtype}")
        if not tensor.is_contiguous():
            raise ValueError(f"{name} must be contiguous, got strides {tensor.stride()}")
    return device


def _cuda_core() -> Any:
    try:
        from cuda import core
    except ImportError as error:
        raise MissingToolchainError(
            f"cannot launch kernels: {error}; cuda.core comes with numba-cuda[cu13]"
        ) from error
    return core


@cache
def _load(variant: Variant, capability: tuple[int, int]) -> Any:
    """The kernel in the driver; loading waits for the device, so it must precede graph capture."""
    cubin, entry = cached_cubin(variant, capability)
    return _cuda_core().ObjectCode.from_cubin(cubin).get_kernel(entry)


@lru_cache(maxsize=4096)
def _config(blocks: int, threads: int) -> Any:
    return _cuda_core().LaunchConfig(grid=blocks, block=threads)
