"""The CUDA kernels of DDF, thread by thread on tiny shapes, against float64 autograd.

What runs is the plan that a GPU would run: the same kernels, grids, sizes and scratch.
"""

from __future__ import annotations

import math

import cooperative_simulator
import numpy as np
import pytest
import torch
from cases import TINY_CASES, DDFCase
from numba import cuda
from numba.cuda.simulator import kernelapi

from repro.ops import ddf_up
from repro.ops.reference import ddf_reference
from repro_kernels import (
    blocks,
    ddf_parts,
    ddf_row,
    ddf_up_backward,
    ddf_vector,
    ddf_vector_backward,
)
from repro_kernels import ddf_up as ddf_up_kernels
from repro_kernels.choice import Call
from repro_kernels.plan import plan_backward, plan_forward
from repro_kernels.storage import STORAGES

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2, torch.float16: 2e-3}
HALVES = (torch.float16, torch.bfloat16)

# Rows of whole vectors: a single one, several blocks of pixels, several chunks of channels.
VECTOR_CASES = [
    DDFCase((1, 2, 5, 4)),
    DDFCase((2, 6, 3, 8), kernel_combine="add"),
    DDFCase((1, 5, 2, 136)),
    DDFCase((1, 1, 34, 8), kernel_combine="add"),
    DDFCase((1, 3, 4, 8), kernel_size=1),
    DDFCase((2, 2, 3, 4), kernel_size=5),
    DDFCase((1, 2, 7, 12), kernel_size=5, kernel_combine="add"),
]
ROW_CASES = [
    *(case for case in TINY_CASES if case.stride < 3 and case.dilation == 1),
    DDFCase((2, 6, 5, 3)),
    DDFCase((1, 2, 23, 3), kernel_combine="add"),
    DDFCase((1, 1, 9, 31)),
    DDFCase((1, 2, 6, 9), dilation=2, kernel_combine="add"),
    DDFCase((1, 2, 13, 5), dilation=3),
    DDFCase((1, 2, 5, 4), kernel_size=7, kernel_combine="add"),
]
FAST_CASES = [("vector", case) for case in VECTOR_CASES] + [("row", case) for case in ROW_CASES]
NORM_SCALE = 0.47
NORM_CASES = [
    *((form, case) for form, case in FAST_CASES if case.kernel_size > 1),
    *(("general", case) for case in TINY_CASES if case.kernel_size > 1),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Two warps and four channels to a block, so that tiny cases take several."""
    monkeypatch.setattr(blocks, "THREADS", 64)
    monkeypatch.setattr(blocks, "CHANNELS", 4)
    monkeypatch.setattr(blocks, "SUMMED_CHANNELS", 4)
    monkeypatch.setattr(blocks, "GENERAL_CHANNELS", 2)
    cooperative_simulator.install(seed=0)


def as_memory(tensor):
    """What a kernel sees of a tensor: flat memory."""
    flat = tensor.detach().contiguous().flatten()
    return (flat.view(torch.int16) if flat.dtype == torch.bfloat16 else flat).numpy().copy()


def simulate(plan, tensors, dtype):
    """Run the steps of a plan on tensors by name; returns the memory that they leave."""
    memory = {name: as_memory(tensor) for name, tensor in tensors.items()}
    sum_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    for name, shape in plan.scratch.items():
        own = sum_dtype if name == "parts" else dtype
        memory[name] = as_memory(torch.full((math.prod(shape),), float("nan"), dtype=own))
    for step in plan.steps:
        kernel = cuda.jit(step.variant.function())
        arguments = [memory[name] for name in step.tensors]
        kernel[step.blocks, step.threads](*arguments, *step.integers())
    return memory


def run(case, args, grad_out, form, backward_form, scale_factor=1, norm_scale=0.0):
    """Output and gradients, computed by the kernels on poisoned memory."""
    dtype = args[0].dtype
    call = Call(
        case.shape,
        case.kernel_size,
        case.kernel_combine,
        str(dtype).removeprefix("torch."),
        case.stride,
        case.dilation,
        aligned=True,
        scale_factor=scale_factor,
        norm_scale=norm_scale,
    )
    names = ("x", "channel_filter", "spatial_filter")
    given = dict(zip(names, args, strict=True))
    results = {
        "out": torch.full_like(grad_out, float("nan")),
        "grad_x": torch.full_like(args[0], float("nan")),
        "grad_channel": torch.full_like(args[1], float("nan")),
        "grad_spatial": torch.full_like(args[2], float("nan")),
    }
    memory = simulate(plan_forward(call, form), given | {"out": results["out"]}, dtype)
    backward = given | {"grad_out": grad_out} | {k: v for k, v in results.items() if k != "out"}
    memory |= simulate(plan_backward(call, backward_form), backward, dtype) | {"out": memory["out"]}
    values = [torch.from_numpy(memory[name]) for name in results]
    if dtype == torch.bfloat16:
        values = [value.view(dtype) for value in values]
    shapes = [result.shape for result in results.values()]
    return [value.view(shape) for value, shape in zip(values, shapes, strict=True)]


def expect(case, args, norm_scale=None):
    """The same by autograd in float64, and the gradient of the output that was taken."""
    doubles = [arg.double().clone().requires_grad_() for arg in args]
    out = ddf_reference(*doubles, *case.options.values(), norm_scale)
    grad_out = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    grad_out = grad_out.to(args[0].dtype)
    return grad_out, [out, *torch.autograd.grad(out, doubles, grad_out.double())]


def check(case, dtype, form, norm_scale=None):
    args = case.make(dtype)
    grad_out, expected = expect(case, args, norm_scale)
    backward_form = "general" if case.stride > 1 else form
    actual = run(case, args, grad_out, form, backward_form, norm_scale=norm_scale or 0.0)
    for name, one, other in zip(
        ("out", "grad_x", "grad_channel", "grad_spatial"), actual, expected, strict=True
    ):
        error = (one.double() - other).abs().max() / other.abs().max().clamp(min=1)
        assert error <= TOLERANCE[dtype], f"{name}: relative error {error:.1e}"


@pytest.fixture
def no_second_try(monkeypatch):
    """Fast kernels do not compute anew what is not finite, which would hide what went wrong."""

    def make_nothing(*args, **options):
        return lambda *args: float("nan")

    for module in (ddf_vector, ddf_vector_backward, ddf_row, ddf_up_kernels, ddf_up_backward):
        monkeypatch.setattr(module, "make_gather", make_nothing)
    monkeypatch.setattr(ddf_parts, "make_channel_sum", make_nothing)


@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize(("form", "case"), FAST_CASES, ids=str)
def test_fast_kernels_agree_with_autograd(form, case):
    check(case, torch.float32, form)


@pytest.mark.parametrize("case", TINY_CASES, ids=str)
def test_general_kernels_agree_with_autograd(case):
    check(case, torch.float32, "general")


@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("form", ["vector", "row", "general"])
@pytest.mark.parametrize("dtype", [torch.float64, *HALVES], ids=str)
def test_kernels_agree_in_every_dtype(form, dtype):
    if form == "vector" and dtype == torch.float64:
        form = "row"
    check(DDFCase((2, 3, 5, 4)), dtype, form)


@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize(("form", "case"), NORM_CASES, ids=str)
def test_kernels_standardise_spatial_filters(form, case):
    check(case, torch.float32, form, NORM_SCALE)


@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("form", ["vector", "row", "general"])
@pytest.mark.parametrize("dtype", [torch.float64, *HALVES], ids=str)
def test_kernels_standardise_in_every_dtype(form, dtype):
    form = "row" if form == "vector" and dtype == torch.float64 else form
    check(DDFCase((2, 3, 5, 4)), dtype, form, NORM_SCALE)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("form", ["vector", "row", "general"])
@pytest.mark.parametrize("which", [1, 2])
def test_standardised_filters_that_are_constant_or_not_finite(form, which):
    """With a channel filter that is not finite, fast kernels compute outputs by the definition."""
    case = DDFCase((1, 2, 4, 8))
    args = case.make(torch.float32)
    args[2][0, :, 2, 5] = 3.0
    args[which][0, 1, 0, 0] = float("inf")
    grad_out, expected = expect(case, args, NORM_SCALE)
    actual = run(case, args, grad_out, form, form, norm_scale=NORM_SCALE)
    for one, other in zip(actual, expected, strict=True):
        # Whether infinity or NaN depends on the order of sums.
        finite = [torch.where(value.isfinite(), value, float("nan")) for value in (one, other)]
        assert not finite[1].isnan().all()
        torch.testing.assert_close(
            finite[0], finite[1].float(), equal_nan=True, rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("form", ["vector", "row", "general"])
def test_the_order_of_threads_changes_no_bit(form, seed):
    case = DDFCase((1, 5, 3, 8))
    args = case.make(torch.float32)
    first = run(case, args, args[0], form, form)
    cooperative_simulator.install(seed)
    second = run(case, args, args[0], form, form)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("form", ["vector", "row", "general"])
@pytest.mark.parametrize("missing", ["syncthreads", "syncthreads_and"])
def test_a_missing_barrier_is_seen(form, missing, monkeypatch):
    barriers = {"syncthreads": lambda self: None, "syncthreads_and": lambda self, value: value}
    case = DDFCase((1, 5, 3, 8))
    args = case.make(torch.float32)
    grad_out, expected = expect(case, args)
    wrong = [False] * 4
    for seed in range(5):  # the order of threads decides whether a race is lost
        cooperative_simulator.install(seed)
        monkeypatch.setattr(kernelapi.FakeCUDAModule, missing, barriers[missing])
        actual = run(case, args, grad_out, form, form)
        for i in range(4):
            wrong[i] |= not torch.allclose(actual[i].double(), expected[i], atol=1e-4)
    # out, grad_x, grad_channel (which needs no channel filter), grad_spatial
    assert (
        wrong
        == {
            ("vector", "syncthreads"): [False, False, True, True],
            ("vector", "syncthreads_and"): [True, True, False, True],
            ("row", "syncthreads"): [False, False, True, True],
            ("row", "syncthreads_and"): [False, False, False, False],
            ("general", "syncthreads"): [False, False, True, False],
            ("general", "syncthreads_and"): [False, False, False, False],
        }[form, missing]
    )


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("form", ["vector", "row", "general"])
@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_reaches_only_what_it_touches(form, kernel_combine, which, bad):
    case = DDFCase((1, 2, 4, 8), kernel_combine=kernel_combine)
    args = case.make(torch.float32)
    args[which][0, 1, 0, 0] = bad  # x: a corner; the filters: a tap outside the image for some
    grad_out, expected = expect(case, args)
    for one, other in zip(run(case, args, grad_out, form, form), expected, strict=True):
        torch.testing.assert_close(one, other.float(), equal_nan=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale_factor", [1, 2])
def test_without_channels_the_spatial_filter_has_a_gradient_of_zeros(scale_factor):
    call = Call((2, 0, 3, 4), 3, "mul", "float32", 1, 1, True, scale_factor)
    assert plan_forward(call).steps == ()
    nothing = torch.empty(0)
    names = ("grad_out", "x", "channel_filter", "spatial_filter", "grad_x", "grad_channel")
    tensors = dict.fromkeys(names, nothing)
    tensors["grad_spatial"] = torch.full((2, scale_factor**2 * 9, 3, 4), float("nan"))
    memory = simulate(plan_backward(call), tensors, torch.float32)
    assert (memory["grad_spatial"] == 0).all()


UP_CASES = [
    DDFCase((2, 5, 3, 5)),
    DDFCase((1, 3, 9, 8), kernel_combine="add"),
    DDFCase((1, 2, 5, 4), dilation=2),
    DDFCase((1, 1, 1, 1)),
    DDFCase((1, 2, 3, 2), kernel_size=1, kernel_combine="add"),
]


def up(case, dtype, scale_factor, bad=None, norm_scale=None):
    """The fused kernels of DDF-Up, and float64 autograd through the composition of DDFs."""
    batch, channels, height, width = case.shape
    K, branches = case.kernel_size, scale_factor**2
    generator = torch.Generator().manual_seed(0)
    shapes = [
        case.shape,
        (batch, channels, branches, K, K),
        (batch, branches, K * K, height, width),
    ]
    args = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
    if bad is not None:
        which, value = bad
        args[which].view(-1)[0] = value
    doubles = [arg.double().requires_grad_() for arg in args]
    options = {"dilation": case.dilation, "kernel_combine": case.kernel_combine}
    options["norm_scale"] = norm_scale
    out = ddf_up(*doubles, scale_factor, backend="reference", **options)
    grad_out = torch.randn(out.shape, generator=generator).to(dtype)
    expected = [out, *torch.autograd.grad(out, doubles, grad_out.double())]
    return run(case, args, grad_out, None, None, scale_factor, norm_scale or 0.0), expected


@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize(
    ("case", "dtype", "scale_factor", "norm_scale"),
    [
        *((case, torch.float32, 2, None) for case in UP_CASES),
        (UP_CASES[0], torch.float64, 2, None),
        (UP_CASES[0], torch.bfloat16, 2, None),
        (UP_CASES[-1], torch.float32, 3, None),
        (UP_CASES[0], torch.float32, 2, NORM_SCALE),
    ],
    ids=str,
)
def test_fused_upsampling_agrees_with_autograd(case, dtype, scale_factor, norm_scale):
    results = up(case, dtype, scale_factor, norm_scale=norm_scale)
    for actual, expected in zip(*results, strict=True):
        error = (actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1)
        assert error <= TOLERANCE[dtype]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_upsampling_keeps_a_value_that_is_not_finite_where_it_belongs(which):
    # x at a corner, or a tap that lies outside the image there.
    actual, expected = up(DDFCase((1, 2, 4, 5)), torch.float32, 2, (which, float("inf")))
    assert all(one.isfinite().all() for one in expected) == (which == 2)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other.float(), equal_nan=True, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [-4, 2, 6])
def test_a_vector_outside_of_memory_or_not_aligned_is_an_error(index):
    memory = np.zeros(8, np.float32)
    with pytest.raises(IndexError, match=f"4 values at {index}"):
        STORAGES["float32"].load4(memory, index)
    with pytest.raises(IndexError, match=f"4 values at {index}"):
        STORAGES["float32"].store4(memory, index, 1, 2, 3, 4)


def test_bfloat16_rounds_as_pytorch_does():
    bits = torch.arange(-(2**31), 2**31, 2**31 // 500 + 7, dtype=torch.int64).to(torch.int32)
    values = bits.view(torch.float32)
    values = torch.cat([values, torch.tensor([float("inf"), float("nan"), 1 + 2**-8, -0.0])])
    store = STORAGES["bfloat16"].store
    memory = np.zeros(len(values), np.int16)
    store_many = values.numpy()
    for i, value in enumerate(store_many):
        store(memory, i, value)
    actual = torch.from_numpy(memory).view(torch.bfloat16)
    expected = values.bfloat16()
    assert torch.equal(actual.isnan(), expected.isnan())
    assert torch.equal(actual[~actual.isnan()], expected[~expected.isnan()])
