"""What `ddf` refuses, what it says, and which backend it takes."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cases import DDFCase

from repro.names import UnknownNameError
from repro.ops import backends, ddf

ROOT = Path(__file__).resolve().parents[2]


def make(shape=(2, 4, 7, 7), kernel_size=3, stride=1):
    return DDFCase(shape, kernel_size, stride).make(torch.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda x, c, s: (x, c, s[..., :6, :6], {"stride": 2}),
            ValueError,
            "spatial_filter must be (2, 9, 4, 4), got (2, 9, 6, 6)",
        ),
        (
            lambda x, c, s: (x, c[:, :3], s, {}),
            ValueError,
            "channel_filter must be (2, 4, 3, 3), got (2, 3, 3, 3)",
        ),
        (
            lambda x, c, s: (x, c[..., :2], s, {}),
            ValueError,
            "square with an odd side, got 3 x 2 taps",
        ),
        (
            lambda x, c, s: (x, c[..., :2, :2], s, {}),
            ValueError,
            "square with an odd side, got 2 x 2 taps",
        ),
        (
            lambda x, c, s: (x, c.double(), s, {}),
            TypeError,
            "channel_filter must be torch.float32 like x, got torch.float64",
        ),
        (
            lambda x, c, s: (x.int(), c, s, {}),
            TypeError,
            "x must be floating point, got torch.int32",
        ),
        (
            lambda x, c, s: (x, c, s.to("meta"), {}),
            ValueError,
            "spatial_filter must be on cpu like x, got meta",
        ),
        (
            lambda x, c, s: (x[:, :, :0], c, s[:, :, :0], {}),
            ValueError,
            "x must have at least one pixel, got shape (2, 4, 0, 7)",
        ),
        (
            lambda x, c, s: (x[0], c, s, {}),
            ValueError,
            "x must have 4 dimensions, got shape (4, 7, 7)",
        ),
        (lambda x, c, s: (x, c, s, {"stride": 0}), ValueError, "stride must be at least 1, got 0"),
        (
            lambda x, c, s: (x, c, s, {"dilation": 1.5}),
            TypeError,
            "dilation must be an int, got float 1.5",
        ),
        (
            lambda x, c, s: (x, c, s, {"kernel_combine": "sum"}),
            ValueError,
            'kernel_combine must be "mul" or "add", got \'sum\'',
        ),
        (
            lambda x, c, s: (x, c, s, {"backend": "gpu"}),
            UnknownNameError,
            "unknown backend 'gpu'",
        ),
        (
            lambda x, c, s: (x, c, s, {"backend": "cuda"}),
            ValueError,
            'backend="cuda" cannot take this call: x is on cpu',
        ),
    ],
)
def test_bad_arguments_say_what_was_expected_and_what_came(change, error, message):
    *tensors, options = change(*make())
    with pytest.raises(error, match=re.escape(message)):
        ddf(*tensors, **options)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 0, 8, 8)])
def test_empty_tensors_give_empty_results_and_gradients(shape, backend):
    args = [arg.requires_grad_() for arg in DDFCase(shape).make(torch.float32)]
    out = ddf(*args, backend=backend)
    assert out.shape == shape
    out.sum().backward()
    assert all(not arg.grad.any() and arg.grad.shape == arg.shape for arg in args)


def test_expanded_filters_are_read_where_they_point():
    x, channel_filter, spatial_filter = make()
    expanded = spatial_filter[:1, :, :1, :1].expand(spatial_filter.shape)
    expected = ddf(x, channel_filter, expanded.contiguous(), backend="reference")
    torch.testing.assert_close(ddf(x, channel_filter, expanded), expected)


def test_shapes_are_known_without_computing():
    args = [arg.to("meta").requires_grad_() for arg in make((2, 4, 9, 7), 5, 2)]
    out = ddf(*args, stride=2)
    assert out.shape == (2, 4, 5, 4)
    out.sum().backward()
    assert [arg.grad.shape for arg in args] == [arg.shape for arg in args]


def test_autocast_computes_in_the_dtype_of_convolutions():
    x, channel_filter, spatial_filter = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ddf(x.bfloat16(), channel_filter, spatial_filter)
        assert (
            ddf(x.double(), channel_filter.double(), spatial_filter.double()).dtype == torch.double
        )
    assert out.dtype == torch.bfloat16
    expected = ddf(x, channel_filter, spatial_filter)
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.05)


def test_without_kernels_the_reference_stands_in_and_says_why_once(monkeypatch, caplog):
    reasons = {"reference": None, "cpu": "x is on the moon"}
    monkeypatch.setattr(backends, "why_not", lambda backend, x: reasons[backend])
    monkeypatch.setattr(backends, "_said", set())
    args = make()
    with caplog.at_level(logging.WARNING, "repro"):
        first, second = ddf(*args), ddf(*args)
    torch.testing.assert_close(first, ddf(*args, backend="reference"))
    assert torch.equal(first, second)
    assert [record.message for record in caplog.records] == [
        "ddf runs its reference, which is slow: no kernel takes the call, since x is on the moon"
    ]


def test_a_folder_that_goes_by_a_distributions_name_is_not_taken_for_it(tmp_path, monkeypatch):
    (tmp_path / "folder_of_kernels").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not backends._is_installed("folder_of_kernels")
    assert not backends._is_installed("no_such_package.inside")
    assert backends._is_installed("torch")


def test_what_cuda_lacks_is_named(monkeypatch):
    x = SimpleNamespace(is_meta=False, device=torch.device("cuda", 0), dtype=torch.float32)
    monkeypatch.setattr(backends, "_MISSING_FOR_CUDA", [])
    assert backends.why_not("cuda", x) is None
    monkeypatch.setattr(backends, "_MISSING_FOR_CUDA", ["numba_cuda"])
    assert "numba_cuda cannot be imported" in backends.why_not("cuda", x)


def test_the_import_loads_no_numba_and_a_call_does():
    code = (
        "import sys, torch, repro.ops; assert 'numba' not in sys.modules;"
        "one = torch.ones(1, 1, 1, 1); repro.ops.ddf(one, one, one); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
