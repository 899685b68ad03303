"""Which implementation runs a call, and why another one does not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from repro.names import require_known

log = logging.getLogger(__name__)

BACKENDS = ("reference", "cpu", "cuda")


def _is_installed(package: str) -> bool:
    """Whether a package can be imported, found out without importing it.

    A folder without __init__.py is not enough: the checkout's own numba_cuda/ is one, and goes by
    the name of a distribution.
    """
    try:
        spec = find_spec(package)
    except ModuleNotFoundError:  # not even the package it lies in
        return False
    return spec is not None and spec.origin is not None


# Looked up once: torch.compile traces what follows.
_MISSING_FOR_CUDA = [
    package
    for package in ("numba", "numba_cuda", "cuda.core", "repro_kernels")
    if not _is_installed(package)
]
_CUDA_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_said: set[str] = set()


def why_not(backend: str, x: Tensor) -> str | None:
    """Why `backend` cannot take a call with features `x`; None if it can.

    Raises:
        UnknownNameError: there is no such backend.
    """
    require_known("backend", backend, BACKENDS)
    if backend == "reference" or x.is_meta:
        return None
    if x.device.type != backend:
        return f"x is on {x.device}"
    if backend == "cuda" and _MISSING_FOR_CUDA:
        return (
            f"{' and '.join(_MISSING_FOR_CUDA)} cannot be imported; install the extra "
            '"cuda" and put numba_cuda/ on PYTHONPATH'
        )
    if backend == "cuda" and x.dtype not in _CUDA_DTYPES:
        return f"x is {x.dtype}"
    return None


def accept_all(backend: str) -> str | None:
    """Refuses nothing."""
    return None


def choose(
    op: str, backend: str | None, x: Tensor, refuse: Callable[[str], str | None] = accept_all
) -> str:
    """The backend for a call: the one asked for, or the kernels of the device of `x`.

    Without a request, the reference stands in where there are no kernels; a warning says so, and
    why, once.

    Args:
        refuse: why the operator's kernels of a backend, which could run on x, cannot take the call
            for another reason; None if they can.
    Raises:
        ValueError: the backend that was asked for cannot take the call; the message says why.
    """

    def reason_against(name: str) -> str | None:
        return why_not(name, x) or refuse(name)

    if backend is not None:
        reason = reason_against(backend)
        if reason is not None:
            raise ValueError(f'{op}: backend="{backend}" cannot take this call: {reason}')
        return backend
    fastest = "cuda" if x.device.type == "cuda" else "cpu"
    reason = reason_against(fastest)
    if reason is None:
        return fastest
    message = f"{op} runs its reference, which is slow: no kernel takes the call, since {reason}"
    if not torch.compiler.is_compiling() and message not in _said:
        _said.add(message)
        log.warning(message)
    return "reference"
