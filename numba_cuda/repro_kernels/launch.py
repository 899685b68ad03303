"""Launch kernels on PyTorch tensors: raw pointers, PyTorch's current stream, a cached cubin.

This file has never run on a GPU. What it calls is compiled and simulated in the tests; the launch
itself is written from the documentation of cuda.core.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from repro_kernels.compile import MissingToolchainError, cached_cubin
from repro_kernels.steps import Step, Variant

MAX_BLOCKS = 2**31 - 1  # of a grid's first axis


class Launch(NamedTuple):
    """A step that is compiled and loaded: all that remains is the pointers."""

    kernel: Any
    config: Any
    pointers: tuple[int, ...]  # which of the call's tensors, in the kernel's order
    sizes: tuple[np.integer[Any], ...]


def prepare(step: Step, names: Sequence[str], device: torch.device) -> Launch:
    """Compile and load a step's kernel, for tensors that will come in the order of `names`.

    Raises:
        ValueError: the grid is too large for a GPU.
        RuntimeError: a CUDA graph is being captured and the kernel is not loaded yet.
        MissingToolchainError: there is no driver, or no compiler.
    """
    if step.blocks > MAX_BLOCKS:
        raise ValueError(
            f"{step.variant.kernel} needs {step.blocks} blocks, a grid has at most {MAX_BLOCKS}"
        )
    return Launch(
        _load(step.variant, _capability(device)),
        _config(step.blocks, step.threads),
        tuple(names.index(name) for name in step.tensors),
        step.integers(),
    )


def launch(launches: Sequence[Launch], addresses: Sequence[int], device: torch.device) -> None:
    """Run prepared steps in order on the device's current stream; returns before they finish."""
    if torch.cuda.current_device() != device.index:
        with torch.cuda.device(device):
            return launch(launches, addresses, device)
    start = _cuda_core().launch
    stream = _stream(torch.cuda.current_stream(device).cuda_stream)
    for one in launches:
        start(stream, one.config, one.kernel, *[addresses[i] for i in one.pointers], *one.sizes)


def check_tensors(names: Sequence[str], tensors: Sequence[Tensor], like: Tensor) -> torch.device:
    """The one device of all tensors.

    Raises:
        ValueError: a tensor is not on the CUDA device or of the dtype of `like`, or not contiguous.
    """
    device, dtype, index = like.device, like.dtype, like.get_device()
    for name, tensor in zip(names, tensors, strict=False):
        # At every call: integers and identities, which compare faster than devices and dtypes.
        if tensor.get_device() != index or not tensor.is_cuda:
            raise ValueError(f"{name} must be on one CUDA device, got {tensor.device} and {device}")
        if tensor.dtype is not dtype:
            raise ValueError(f"{name} must be {dtype}, got {tensor.dtype}")
        if not tensor.is_contiguous():
            raise ValueError(f"{name} must be contiguous, got strides {tensor.stride()}")
    return device


@cache
def _cuda_core() -> Any:
    try:
        from cuda import core
    except ImportError as error:
        raise MissingToolchainError(
            f"cannot launch kernels: {error}; cuda.core comes with numba-cuda[cu13]"
        ) from error
    return core


def _capability(device: torch.device) -> tuple[int, int]:
    try:
        return torch.cuda.get_device_capability(device)
    except (RuntimeError, AssertionError) as error:  # no driver; PyTorch without CUDA
        raise MissingToolchainError(f"cannot launch kernels: {error}") from error


@lru_cache(maxsize=None, typed=True)  # variants of two operators are never the same
def _load(variant: Variant, capability: tuple[int, int]) -> Any:
    """The kernel in the driver. Loading waits for the device, which a capture forbids."""
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            f"{variant} is not loaded yet, and loading cannot be captured in a CUDA graph: run the "
            "same call once before the capture"
        )
    cubin, entry = cached_cubin(variant, capability)
    return _cuda_core().ObjectCode.from_cubin(cubin).get_kernel(entry)


@lru_cache(maxsize=4096)
def _config(blocks: int, threads: int) -> Any:
    return _cuda_core().LaunchConfig(grid=blocks, block=threads)


@lru_cache(maxsize=256)
def _stream(handle: int) -> Any:
    return _cuda_core().Stream.from_handle(handle)
