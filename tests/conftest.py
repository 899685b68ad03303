"""Fixtures and switches that every test shares."""

from __future__ import annotations

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker has one core. Read by OpenMP when torch is loaded, and by what the tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs an NVIDIA GPU, and torch sees none")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)
