"""Peak memory of one case, in the process that runs it and nothing else."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from repro.bench.cases import Step

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

_log = logging.getLogger(__name__)


def peak_bytes(
    prepare: Callable[[Tensor], Step],
    shape: Sequence[int],
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """The most memory that input, weights, temporaries and output of one step hold at once.

    This is what Table 2 calls max allocated memory: input and output are part of it. On CUDA it is
    PyTorch's own account. On the CPU it is the high-water mark of the process's resident memory,
    which sees every allocator (PyTorch's, oneDNN's, Numba's), over what was resident before the
    input was made; libraries are loaded and kernels compiled before that, on a tiny input.

    Returns:
        Bytes, or NaN where the system does not report a high-water mark (it is Linux's).
    """
    tiny = torch.randn(1, shape[1], 8, 8, device=device, dtype=dtype)
    prepare(tiny)()
    del tiny
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        _run(prepare, shape, device, dtype)
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - before)
    return peak_of(lambda: _run(prepare, shape, device, dtype))


def peak_of(step: Step) -> float:
    """The most memory that a step on the CPU holds at once, over what is resident before it.

    Returns:
        Bytes, or NaN where the system does not report a high-water mark.
    """
    if not (_STATUS.is_file() and _CLEAR_REFS.is_file()):
        _log.warning("no peak memory: this system has no %s", _CLEAR_REFS)
        return float("nan")
    _give_back_free_memory()
    _CLEAR_REFS.write_text("5")  # sets the high-water mark to what is resident now
    before = _status_bytes("VmRSS")
    step()
    return float(max(_status_bytes("VmHWM") - before, 0))


def _run(
    prepare: Callable[[Tensor], Step],
    shape: Sequence[int],
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    prepare(torch.randn(*shape, device=device, dtype=dtype))()


def _give_back_free_memory() -> None:
    """Free blocks that the heap keeps would otherwise hide what is allocated next."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
        if trim is not None:
            trim(0)


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"{_STATUS} has no field {field}")
