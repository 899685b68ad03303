"""What of launching can be checked without a GPU: sizes of grids, and refusals."""

from __future__ import annotations

import sys

import pytest
import torch

from repro_kernels import compile as compiler
from repro_kernels import host, launch
from repro_kernels.compile import MissingToolchainError, Variant

VARIANT = Variant("forward", 3, "mul", "float32")


@pytest.mark.parametrize(
    ("kernel", "threads"),
    [
        ("forward", 2 * 3 * 20),
        ("backward_x", 2 * 3 * 99),
        ("backward_spatial", 2 * 3 * 20),
        ("backward_channel", 2 * 33 * 3 * 128),
    ],
)
def test_blocks_cover_every_output(kernel, threads):
    blocks = host.count_blocks(kernel, (2, 33, 9, 11), 3, 20)
    assert (blocks - 1) * 128 < threads <= blocks * 128


def test_tensors_must_be_on_a_cuda_device():
    with pytest.raises(ValueError, match="x must be on one CUDA device, got cpu"):
        launch.launch(VARIANT, 1, 128, {"x": torch.ones(1)}, ())


def test_without_cuda_core_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    monkeypatch.delattr("cuda.core", raising=False)
    with pytest.raises(MissingToolchainError, match="comes with numba-cuda"):
        launch._cuda_core()


def test_without_nvjitlink_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvjitlink", None)
    monkeypatch.delattr("cuda.bindings.nvjitlink", raising=False)
    with pytest.raises(MissingToolchainError, match="nvJitLink comes with numba-cuda"):
        compiler.compile_variant(VARIANT, (9, 0))


@pytest.mark.gpu
def test_kernels_run_on_the_current_stream():
    stream = torch.cuda.Stream()
    x = torch.ones(1, 1, 512, 512, device="cuda")
    one = torch.ones(1, 1, 1, 1, device="cuda")
    spatial_filter = torch.ones(1, 1, 512, 512, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        x.fill_(2)
        out = host.ddf_forward(x, one, spatial_filter, 1, 1, "mul")
    stream.synchronize()
    assert (out == 2).all()
