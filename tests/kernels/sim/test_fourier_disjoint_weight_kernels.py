"""The CUDA kernels of Fourier disjoint weights, thread by thread, against float64 autograd.

What runs is the host code of a GPU with its plans: the same kernels, grids and scratch. Only the
launches go to the simulator.
"""

from __future__ import annotations

import math

import cooperative_simulator
import numpy as np
import pytest
import torch
from accuracy import assert_as_accurate
from fourier_cases import FourierCase
from numba import cuda
from numba.cuda.simulator import kernelapi

from repro.ops.fourier_disjoint_weight import _factors, fourier_disjoint_weight, weight_from_basis
from repro_kernels import fourier_disjoint_weight_host as host
from repro_kernels.fourier_disjoint_weight_fft import make_transform, roots_of_unity
from repro_kernels.fourier_disjoint_weight_limits import find_radices, threads_of
from repro_kernels.storage import STORAGES

RESULTS = ("out", "grad_spectrum", "grad_basis")
LOCAL = ("local_input", "local_filter")

SPECTRUM_CASES = [
    FourierCase((1, 1, 1, 1), batch=1, kernel_num=1, width=1),
    FourierCase((2, 3, 3, 3), copies=2),  # odd matrix: no middle column
    FourierCase((6, 1, 3, 3), batch=1, groups=6, width=5),  # depth-wise
    FourierCase((2, 2, 3, 3), batch=1, groups=2, factors=()),
    FourierCase((3, 4, 1, 3), kernel_num=6, factors=("filter", "spatial")),  # half a pair
    FourierCase((16, 8, 1, 1), kernel_num=70, batch=1),  # more groups than a block has bins for
    FourierCase((9, 48, 3, 1), batch=1, width=7),  # strips of columns, of rows, slices of cells
    FourierCase((36, 4, 1, 1), batch=1, factors=("local",)),  # two chunks of output channels
]
BASIS_CASES = [
    FourierCase((1, 1, 1, 1), batch=1, kernel_num=1, width=1),
    FourierCase((3, 5, 3, 1), kernel_num=6, copies=2),
    FourierCase((6, 1, 3, 3), batch=1, groups=6, width=5),
    FourierCase((2, 4, 3, 3), batch=1, groups=2, factors=("channel",)),
    FourierCase((1, 2, 7, 7), kernel_num=5, batch=1),
    FourierCase((1, 4, 1, 3), batch=9, kernel_num=3, copies=11),  # chunks of samples, of terms
    FourierCase((1, 68, 3, 3), batch=1, factors=("local",)),  # two pieces of a filter
    FourierCase((1, 132, 1, 1), batch=1, factors=("spatial",)),  # two tiles of input channels
]


@pytest.fixture(autouse=True)
def simulated(monkeypatch):
    """Plans run in the simulator, on scratch and results that start as NaN."""
    monkeypatch.setattr(host, "execute", execute)
    cooperative_simulator.install(seed=0)


def execute(plan, tensors, like):
    memory = {name: tensor.flatten().numpy() for name, tensor in tensors.items()}
    for name in (*plan.scratch, *RESULTS):
        if name in memory:
            memory[name].fill(np.nan)
    for step in plan.steps:
        kernel = cuda.jit(step.variant.function())
        arguments = [memory[name] for name in step.tensors]
        kernel[step.blocks, step.threads](*arguments, *step.integers())


def make(case, form, dtype):
    """Arguments, as of `FourierCase.make`, and a gradient of the weights."""
    args = case.make(dtype)
    if form == "basis":
        args[0] = case.basis(args[0].double()).to(dtype)
    generator = torch.Generator().manual_seed(1)
    return args, torch.randn(case.batch, *case.weight_shape, generator=generator).to(dtype)


def run(case, form, args, grad_out):
    """Weights and gradients of `args`, by the host code of CUDA."""
    first, attention, *rest = args
    factors = _factors(case.modulation(rest), attention, case.weight_shape, case.groups)
    if form == "spectrum":
        given = (first, case.group_map(), attention, *factors, case.weight_shape, case.groups)
        forward, backward = host.fourier_disjoint_weight, host.fourier_disjoint_weight_backward
    else:
        given = (first, attention.flatten(1), *factors, case.groups)
        forward, backward = host.weight_from_basis, host.weight_from_basis_backward
    grad_first, grad_attention, *grads = backward(grad_out, *given)
    named = dict(zip(("channel", "filter", "spatial", *LOCAL), grads, strict=True))
    wanted = [name for name in case.factors if name != "local"]
    wanted += LOCAL if "local" in case.factors else ()
    grads = [named[name] for name in wanted]
    return [forward(*given), grad_first, grad_attention.reshape(attention.shape), *grads]


def expect(case, form, args, grad_out):
    """The same by autograd through the reference."""
    args = [arg.detach().clone().requires_grad_() for arg in args]
    first, attention, *rest = args
    options = {"groups": case.groups, "backend": "reference"}
    modulation = case.modulation(rest)
    if form == "spectrum":
        out = fourier_disjoint_weight(
            first, case.group_map(), attention, case.weight_shape, modulation, **options
        )
    else:
        out = weight_from_basis(first, attention.flatten(1), modulation, **options)
    return [out, *torch.autograd.grad(out, args, grad_out)]


def check(case, form, dtype=torch.float32):
    args, grad_out = make(case, form, dtype)
    actual = run(case, form, args, grad_out)
    reference = expect(case, form, args, grad_out)
    truth = expect(case, form, [arg.double() for arg in args], grad_out.double())
    terms = [math.log2(2 * math.prod(case.matrix)) + case.copies * case.kernel_num]
    terms += [math.prod(case.weight_shape) * case.batch] * (len(truth) - 1)
    for one, same, exact, count in zip(actual, reference, truth, terms, strict=True):
        assert_as_accurate(one, same, exact, terms=count)
        error = (one - exact).abs().max() / exact.abs().max().clamp(min=1)
        assert error <= 8 * torch.finfo(dtype).eps, f"relative error {error:.1e}"


@pytest.mark.parametrize("case", SPECTRUM_CASES, ids=str)
def test_kernels_per_sample_agree_with_autograd(case):
    check(case, "spectrum")


@pytest.mark.parametrize("case", BASIS_CASES, ids=str)
def test_kernels_of_parallel_weights_agree_with_autograd(case):
    check(case, "basis")


@pytest.mark.parametrize("form", ["spectrum", "basis"])
def test_kernels_agree_in_float64(form):
    check(FourierCase((3, 4, 3, 1)), form, torch.float64)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("length", [2, 3, 8, 12, 16, 27, 32, 64, 144, 192])
def test_transforms_of_every_radix_are_those_of_numpy(length, sign):
    def load(source, e):
        return source[2 * e], source[2 * e + 1]

    def store(target, re, im, base, e, x, y):
        target[2 * e], target[2 * e + 1] = x, y

    storage = STORAGES["float32"]
    functions = (lambda base, e: base + e, load, store)
    place, load, store = (cuda.jit(device=True)(function) for function in functions)
    transform = make_transform(length, sign, storage, place, load, store, stores_shared=False)

    @cuda.jit
    def kernel(x, roots, out):
        re = cuda.shared.array(length, np.float32)
        im = cuda.shared.array(length, np.float32)
        transform(x, out, roots, re, im, 0, cuda.threadIdx.x)

    x = np.random.default_rng(0).standard_normal((length, 2)).astype(np.float32)
    out = np.full_like(x, np.nan).ravel()
    roots = roots_of_unity(length).astype(np.float32).ravel()
    kernel[1, threads_of(length)](x.ravel(), roots, out)
    points = x.astype(np.float64).view(complex).ravel()
    truth = np.fft.ifft(points) * length if sign > 0 else np.fft.fft(points)
    error = out.astype(np.float64).view(complex) - truth
    assert math.prod(find_radices(length)) == length
    assert np.linalg.norm(error) <= 2e-7 * np.linalg.norm(truth)


@pytest.mark.parametrize("form", ["spectrum", "basis"])
def test_backward_is_the_adjoint_of_forward(form):
    # Linear in the first argument: <A y, x> = <y, A' x>.
    case = FourierCase((4, 4, 1, 3), kernel_num=3, batch=1)
    args, x = make(case, form, torch.float64)
    out, adjoint, *_ = run(case, form, args, x)
    left, right = (out * x).sum().item(), (args[0] * adjoint).sum().item()
    assert abs(left - right) <= 1e-12 * out.norm().item() * x.norm().item()


@pytest.mark.parametrize("form", ["spectrum", "basis"])
def test_the_order_of_threads_changes_no_bit(form):
    case = FourierCase((2, 8, 3, 1), batch=1)
    args, grad_out = make(case, form, torch.float32)
    first = run(case, form, args, grad_out)
    cooperative_simulator.install(seed=1)
    second = run(case, form, args, grad_out)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("form", ["spectrum", "basis"])
def test_a_missing_barrier_is_seen(form, monkeypatch):
    case = FourierCase((4, 16, 3, 1), batch=1)
    args, grad_out = make(case, form, torch.float32)
    expected = expect(case, form, args, grad_out)
    cooperative_simulator.install(seed=0)
    monkeypatch.setattr(kernelapi.FakeCUDAModule, "syncthreads", lambda self: None)
    actual = run(case, form, args, grad_out)
    right = [torch.allclose(*pair, atol=1e-4) for pair in zip(actual, expected, strict=True)]
    assert not any(right)


def test_half_precision_is_computed_in_float32():
    dtype = torch.bfloat16
    case = FourierCase((1, 4, 3, 3), batch=1)
    args, grad_out = make(case, "basis", dtype)
    actual = run(case, "basis", args, grad_out)
    truth = expect(case, "basis", [arg.double() for arg in args], grad_out.double())
    for one, exact in zip(actual, truth, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one.double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-3)


def test_a_view_that_is_not_aligned_is_read_where_it_points():
    case = FourierCase((1, 4, 3, 3), batch=1)
    args, grad_out = make(case, "basis", torch.float32)
    shifted = [torch.cat([arg.new_zeros(1), arg.flatten()])[1:].view(arg.shape) for arg in args]
    pairs = zip(
        run(case, "basis", args, grad_out), run(case, "basis", shifted, grad_out), strict=True
    )
    assert all(torch.equal(one, other) for one, other in pairs)


def test_samples_are_independent_of_the_passes_that_make_them(monkeypatch):
    case = FourierCase((3, 3, 1, 3), batch=3)
    args, grad_out = make(case, "spectrum", torch.float32)
    whole, *_ = run(case, "spectrum", args, grad_out)
    for size in (1, 2 * 4 * 2 * 3 * 5):  # a sample at a time, then two: 3 rows of 5 frequencies
        monkeypatch.setattr(host, "PASS_BYTES", size)
        parts, *_ = run(case, "spectrum", args, grad_out)
        assert torch.equal(parts, whole)


def test_nan_stays_nan_and_an_empty_batch_is_empty():
    case = FourierCase((2, 4, 1, 1))
    args, grad_out = make(case, "spectrum", torch.float32)
    args[0][0, 0, 0, 0] = float("nan")
    assert run(case, "spectrum", args, grad_out)[0].isnan().all()
    empty = FourierCase((2, 4, 1, 1), batch=0)
    for form in ("spectrum", "basis"):
        args, grad_out = make(case, form, torch.float32)
        args = [arg[:0] if i in (1, 2, 3, 4, 5) else arg for i, arg in enumerate(args)]
        out, *grads = run(empty, form, args, grad_out[:0])
        assert out.shape == (0, 2, 4, 1, 1)
        assert [grad.shape for grad in grads] == [arg.shape for arg in args]
        assert not any(grad.any() for grad in grads)
