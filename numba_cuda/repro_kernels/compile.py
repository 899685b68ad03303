"""From a kernel to a cubin, with or without a GPU: Numba to LTO-IR, nvJitLink to machine code.

The linker's log says what a kernel costs (registers, stack, spills, shared memory), which makes the
price of a kernel testable on machines without a GPU. It is also the way Numba itself takes at run
time, so that no version of PTX has to agree with the driver's.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numba.cuda import types
from numba.cuda.np import numpy_support

from repro_kernels.steps import Variant

log = logging.getLogger(__name__)


class Resources(NamedTuple):
    """What a compiled kernel takes from the GPU."""

    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int


class MissingToolchainError(RuntimeError):
    """Something that compiling or launching a kernel needs is not on this machine."""


def compile_variant(variant: Variant, capability: tuple[int, int]) -> tuple[bytes, str, Resources]:
    """Machine code for a compute capability such as (9, 0).

    Returns:
        the cubin, the name of the kernel in it, what the kernel takes
    Raises:
        MissingToolchainError: NVVM or nvJitLink is not installed.
        RuntimeError: the kernel does not fit the architecture, as one that takes more shared
            memory than a block may have; the message is the linker's.
    """
    ltoir = _translate(variant, capability, "ltoir")
    cubin, text = _link(ltoir, capability, variant.kernel)
    entry = re.search(r"Compiling entry function '(\w+)'", text)
    if entry is None:
        raise RuntimeError(f"nvJitLink named no kernel for {variant}: {text!r}")
    return cubin, entry[1], read_resources(text)


def ptx(variant: Variant, capability: tuple[int, int]) -> str:
    """The kernel as PTX, to be read by people and by tests; the cubin does not come from it."""
    text = _translate(variant, capability, "ptx")
    return text.decode() if isinstance(text, bytes) else text


def read_resources(text: str) -> Resources:
    """What ptxas says of a kernel, in numbers; what it does not mention is zero."""

    def number(pattern: str) -> int:
        found = re.search(pattern, text)
        return int(found[1]) if found else 0

    return Resources(
        registers=number(r"Used (\d+) registers"),
        stack_bytes=number(r"(\d+) bytes stack frame"),
        spilled_bytes=number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads"),
        shared_bytes=number(r"(\d+) bytes smem"),
    )


def cached_cubin(variant: Variant, capability: tuple[int, int]) -> tuple[bytes, str]:
    """`compile_variant`, remembered in the user's cache folder from process to process.

    Returns:
        the cubin and the name of the kernel in it
    """
    path = cache_dir() / f"{_key(variant, capability)}.cubin"
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        log.debug("kernel cache: %s is compiled: %s", variant, error)
    else:
        if digest.decode(errors="replace") == _digest(content):
            name, _, cubin = content.partition(b"\n")
            return cubin, name.decode()
        log.warning("kernel cache: %s is damaged and is written again", path)
    cubin, entry, _ = compile_variant(variant, capability)
    content = f"{entry}\n".encode() + cubin
    _write_whole(path, f"{_digest(content)}\n".encode() + content)
    return cubin, entry


def cache_dir() -> Path:
    """Where cubins are kept: $REPRO_KERNEL_CACHE, else the user's cache folder."""
    chosen = os.environ.get("REPRO_KERNEL_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "repro-kernels"


def _signature(variant: Variant) -> Any:
    pointers = (types.CPointer(_numba_type(memory)) for memory in variant.pointers)
    return types.void(*pointers, *map(_numba_type, variant.integers))


def _numba_type(memory: type) -> Any:
    return numpy_support.from_dtype(np.dtype(memory))


def _translate(variant: Variant, capability: tuple[int, int], output: str) -> Any:
    _require("nvvm")
    code, _ = cuda.compile(
        variant.function(),
        _signature(variant),
        device=False,
        abi="numba",
        cc=capability,
        output=output,
        launch_bounds=variant.launch_bounds,
    )
    return code


def _link(ltoir: bytes, capability: tuple[int, int], name: str) -> tuple[bytes, str]:
    nvjitlink = _require("nvjitlink")
    major, minor = capability
    options = [f"-arch=sm_{major}{minor}", "-lto", "-Xptxas=-v"]
    linker = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.LTOIR, ltoir, len(ltoir), name)
        nvjitlink.complete(linker)
        text = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, text)
        cubin = bytearray(nvjitlink.get_linked_cubin_size(linker))
        nvjitlink.get_linked_cubin(linker, cubin)
    except nvjitlink.nvJitLinkError as error:
        text = bytearray(nvjitlink.get_error_log_size(linker))
        nvjitlink.get_error_log(linker, text)
        reason = text.decode().strip("\0\n")
        raise RuntimeError(f"cannot link {name} for sm_{major}{minor}: {reason}") from error
    finally:
        nvjitlink.destroy(linker)
    return bytes(cubin), text.decode()


def _require(library: str) -> Any:
    """What cuda.bindings has of a library, once the library itself is loaded."""
    try:
        binding = import_module(f"cuda.bindings.{library}")
        binding.version()
    except (ImportError, RuntimeError) as error:
        raise MissingToolchainError(
            f"cannot compile kernels: {error}; {library} comes with numba-cuda[cu13]"
        ) from error
    return binding


def _key(variant: Variant, capability: tuple[int, int]) -> str:
    """Names a cubin by all that it is made from."""
    parts = (_sources(), _versions(), type(variant).__module__, variant, capability)
    return _digest(repr(parts).encode())[:32]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@lru_cache
def _sources() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return _digest(b"\0".join(file.read_bytes() for file in files))


@lru_cache
def _versions() -> tuple[str, ...]:
    names = ("numba-cuda", "numba", "nvidia-nvjitlink", "nvidia-nvvm")
    found = []
    for name in names:
        try:
            found.append(version(name))
        except PackageNotFoundError:
            found.append("unknown")
    return tuple(found)


def _write_whole(path: Path, content: bytes) -> None:
    """Write the file or leave it as it is; two processes may do so at once."""
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            with suppress(OSError):
                os.unlink(part)
        _warn_of_folder(path.parent, error.strerror or str(error))


@lru_cache
def _warn_of_folder(folder: Path, reason: str) -> None:
    """Once per folder and reason, in which no name of a file may stand."""
    log.warning(
        "kernel cache: cannot write to %s (%s); kernels are compiled in every process",
        folder,
        reason,
    )
