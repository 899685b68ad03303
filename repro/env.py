"""What produced a result: versions, machine and commit, written beside every number."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from repro.paths import repository_root

_PACKAGES = ("torch", "torchvision", "timm", "numba", "numba-cuda", "numpy", "lightning-fabric")


def describe() -> dict[str, Any]:
    """Versions, CPU, GPU, threads, commit and the flags that decide whether runs repeat exactly."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu_name(),
        "commit": commit(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def versions() -> dict[str, str | None]:
    """Installed version of each package that can move a number; None where it is absent."""
    return {name: _version(name) for name in _PACKAGES}


def gpu_name() -> str | None:
    """Name of the current CUDA device, or None without one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


@functools.cache
def cpu_name() -> str:
    """The processor's marketing name, as the operating system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@functools.cache
def commit() -> str | None:
    """The commit of the checkout, with "+" when files differ from it; None outside git.

    The pipeline's own outputs (results/, dvc.lock) do not count as a difference: they change
    because the pipeline runs.
    """
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!results", ":!dvc.lock")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+" if changed else head


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=repository_root(), check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
