"""Backends that the operators' tests run on, and where the simulator's tests are left out."""

from __future__ import annotations

import os

import pytest

# Tests under sim/ need NUMBA_ENABLE_CUDASIM=1, which turns the CUDA target of the whole process
# into the simulator: test_simulator.py runs them in a process of their own.
collect_ignore_glob = [] if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1" else ["sim/*"]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> str:
    """A backend with kernels of its own; its tensors lie on the device of that name."""
    return str(request.param)
