"""The benchmark of FDConv's weights measures what it says: every case runs and they agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "bench_fdconv.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_fdconv", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [(8, 3, 5, 4), (8, 1, 2, 4)])
def test_every_case_computes_the_same_weights_and_gradients(bench, size):
    modes = bench.cases(*size)
    forward = {name: step() for name, step in modes["forward"].items()}
    expected = forward["materialised"]
    for name in ("reference", "per_sample", "basis", "layer"):
        torch.testing.assert_close(forward[name], expected)
    grads = {name: step() for name, step in modes["step"].items()}
    assert ("basis" in grads) == (size[3] < size[2])
    for name in grads:
        torch.testing.assert_close(grads[name], grads["materialised"], rtol=1e-4, atol=1e-4)
