"""Which form takes a call, what a plan covers, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from cases import DDF_CASES

from repro_kernels import blocks
from repro_kernels.choice import FORMS, Call, choose, why_not
from repro_kernels.ddf import KERNELS
from repro_kernels.plan import plan_backward, plan_forward

CALL = Call((2, 256, 200, 300), 3, "mul", "float32", 1, 1, True)


@pytest.mark.parametrize(
    ("change", "forms"),
    [
        ({}, ("vector", "vector")),
        ({"dtype": "bfloat16", "kernel_size": 5}, ("vector", "vector")),
        ({"shape": (2, 256, 200, 301)}, ("row", "row")),
        ({"aligned": False}, ("row", "row")),
        ({"dtype": "float64"}, ("row", "row")),
        ({"kernel_size": 7}, ("row", "row")),
        ({"kernel_size": 7, "dtype": "float64"}, ("general", "general")),
        ({"dilation": 2}, ("row", "row")),
        ({"stride": 2}, ("row", "general")),
        ({"stride": 3}, ("general", "general")),
        ({"stride": 2, "dilation": 2}, ("general", "general")),
        ({"kernel_size": 9}, ("general", "general")),
        ({"dilation": 201}, ("general", "general")),
        ({"shape": (1, 32, 8192, 8192)}, ("general", "general")),
    ],
    ids=str,
)
def test_the_rule(change, forms):
    call = CALL._replace(**change)
    assert (choose("forward", call), choose("backward_x", call)) == forms


@pytest.mark.parametrize(
    ("change", "form", "message"),
    [
        ({"kernel_size": 9}, "vector", "kernel_size is 9, above 7"),
        ({"kernel_size": 7}, "vector", "kernel_size is 7, above 5"),
        ({"dtype": "float64"}, "vector", "dtype is float64"),
        ({"aligned": False}, "vector", "a tensor is not aligned to four values"),
        ({"shape": (1, 1, 9, 9)}, "vector", "width is 9, not a multiple of 4"),
        ({"stride": 2}, "vector", "stride is 2 and dilation is 1"),
        ({"stride": 3}, "row", "stride is 3"),
        ({"kernel_size": 7, "dtype": "float64"}, "row", "float64 and kernel_size is 7, above 5"),
        ({"shape": (1, 32, 8192, 8192)}, "row", "needs 64-bit indices"),
        ({"shape": (1 << 20, 4, 64, 64)}, "row", "needs too many threads"),
        ({}, "diagonal", "form must be one of vector, row, general, got 'diagonal'"),
    ],
    ids=str,
)
def test_a_form_that_cannot_take_the_call_is_refused(change, form, message):
    with pytest.raises(ValueError, match=message):
        choose("forward", CALL._replace(**change), form)


def test_forms_are_tried_from_the_fastest_and_one_always_takes_the_call():
    assert FORMS[-1] == "general"
    assert why_not("general", "forward", CALL._replace(stride=7, kernel_size=31)) is None


@pytest.mark.parametrize("case", [case for case in DDF_CASES if 0 not in case.shape], ids=str)
def test_plans_name_kernels_with_all_their_sizes(case):
    call = Call(
        case.shape,
        case.kernel_size,
        case.kernel_combine,
        "float32",
        case.stride,
        case.dilation,
        True,
    )
    for form in (None, "general"):
        for step in (*plan_forward(call, form).steps, *plan_backward(call, form).steps):
            kernel = KERNELS[step.variant.kernel, step.variant.form]
            assert step.tensors == kernel.tensors
            assert 0 < step.blocks < 2**31
            assert [int(size) for size in step.integers()] == list(step.sizes)


def test_what_decides_and_what_describes_imports_no_numba():
    code = (
        "import sys; from repro_kernels import choice, fourier_disjoint_weight_limits, steps;"
        "print([name for name in sys.modules if name.split('.')[0] in ('numba', 'llvmlite')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_batch_needs_no_kernel():
    call = CALL._replace(shape=(0, 3, 8, 8))
    assert plan_forward(call).steps == plan_backward(call).steps == ()


def test_small_maps_are_cut_into_more_chunks_of_channels():
    chunks = []
    for side in (200, 56, 28, 8):
        (step,) = plan_forward(CALL._replace(shape=(2, 256, side, side))).steps
        sizes = dict(zip(KERNELS["forward", "vector"].sizes, step.sizes, strict=True))
        assert sizes["chunk"] * sizes["chunks"] >= 256
        chunks.append(sizes["chunk"])
    assert chunks[0] == blocks.CHANNELS
    assert all(larger >= smaller for larger, smaller in pairwise(chunks))
    assert chunks[-1] < chunks[0]
