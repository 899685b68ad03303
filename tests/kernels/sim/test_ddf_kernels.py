"""The CUDA kernels of DDF, thread by thread on tiny shapes, against float64 autograd."""

from __future__ import annotations

import cooperative_simulator
import numpy as np
import pytest
import torch
from cases import TINY_CASES, DDFCase
from numba import cuda

from repro.ops.reference import ddf_reference
from repro_kernels import ddf as kernels
from repro_kernels import host
from repro_kernels.compile import Variant, function
from repro_kernels.storage import STORAGES

THREADS = 4  # a power of two, so small that every case takes several blocks
CHANNELS = 2  # so that three channels make two chunks
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2, torch.float16: 2e-3}


@pytest.fixture(autouse=True, params=[0, 1])
def small_blocks(request, monkeypatch):
    for module in (kernels, host):
        monkeypatch.setattr(module, "THREADS", THREADS)
        monkeypatch.setattr(module, "CHANNELS", CHANNELS)
    cooperative_simulator.install(seed=request.param)


def as_memory(tensor):
    """What a kernel sees of a tensor: flat memory."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().ravel().copy()
    return tensor.contiguous().numpy().ravel().copy()


def run(kernel, inputs, shape_out, case, dtype):
    """Run a kernel on poisoned memory and return what it left there."""
    out = torch.full(shape_out, float("nan"), dtype=dtype)
    memory = as_memory(out)
    _, (_, _, kernel_size, _), (_, _, height_out, width_out) = case.shapes
    variant = Variant(kernel, kernel_size, case.kernel_combine, str(dtype).removeprefix("torch."))
    blocks = host.count_blocks(kernel, case.shape, kernel_size, height_out * width_out)
    sizes = (*case.shape, height_out, width_out, case.stride, case.dilation)
    cuda.jit(function(variant))[blocks, THREADS](*map(as_memory, inputs), memory, *sizes)
    values = torch.from_numpy(memory)
    return (values.view(dtype) if dtype == torch.bfloat16 else values).view(shape_out)


def check(kernel, case, dtype):
    args = case.make(dtype)
    doubles = [arg.double().clone().requires_grad_() for arg in args]
    out = ddf_reference(*doubles, *case.options.values())
    grad_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    grads = torch.autograd.grad(out, doubles, grad_out.double())
    x, channel_filter, spatial_filter = args
    inputs, expected = {
        "forward": ((x, channel_filter, spatial_filter), out),
        "backward_x": ((grad_out, channel_filter, spatial_filter), grads[0]),
        "backward_channel": ((grad_out, x, spatial_filter), grads[1]),
        "backward_spatial": ((grad_out, x, channel_filter), grads[2]),
    }[kernel]
    actual = run(kernel, inputs, expected.shape, case, dtype)
    error = (actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1)
    assert error <= TOLERANCE[dtype], f"relative error {error:.1e}"


@pytest.mark.parametrize("case", TINY_CASES, ids=str)
@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_kernel_agrees_with_autograd(kernel, case):
    check(kernel, case, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_kernel_agrees_in_every_dtype(kernel, dtype):
    check(kernel, DDFCase((2, 3, 5, 4)), dtype)


def test_bfloat16_rounds_as_pytorch_does():
    bits = torch.arange(-(2**31), 2**31, 2**31 // 500 + 7, dtype=torch.int64).to(torch.int32)
    values = bits.view(torch.float32)
    values = torch.cat([values, torch.tensor([float("inf"), float("nan"), 1 + 2**-8, -0.0])])
    store = STORAGES["bfloat16"].store
    memory = np.zeros(len(values), np.int16)

    def round_kernel(values, memory):
        i = cuda.grid(1)
        store(memory, i, values[i])

    cuda.jit(round_kernel)[len(values), 1](values.numpy(), memory)
    actual = torch.from_numpy(memory).view(torch.bfloat16)
    expected = values.bfloat16()
    assert torch.equal(actual.isnan(), expected.isnan())
    assert torch.equal(actual[~actual.isnan()], expected[~expected.isnan()])
