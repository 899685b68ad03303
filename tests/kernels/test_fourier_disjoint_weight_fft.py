"""The CPU kernels' own inverse FFT, alone and within the operator, on what PyTorch's gives too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accuracy import assert_as_accurate
from fourier_cases import FourierCase

from repro.ops.cpu import fourier_disjoint_weight_host as host
from repro.ops.cpu.fourier_disjoint_weight_fft import _transform, plan, radices, transform
from repro.ops.cpu.vector import lane_count
from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight

# More and fewer filters than a vector, or two, has lanes; half rows that end within a vector; every
# radix; several copies; more samples than fit into a chunk.
CASES = [
    FourierCase((1, 2, 1, 1), kernel_num=2, width=1),
    FourierCase((2, 1, 3, 8), kernel_num=3, width=1),
    FourierCase((16, 24, 1, 3), kernel_num=7, copies=2, width=5),
    FourierCase((18, 6, 3, 3), batch=3, kernel_num=5, copies=2),
    FourierCase((36, 54, 3, 1), batch=1, kernel_num=13, width=7),
    FourierCase((72, 32, 3, 3), kernel_num=64, width=5),
    FourierCase((48, 16, 3, 3), kernel_num=64, factors=()),
    FourierCase((32, 48, 3, 3), kernel_num=64, factors=("spatial", "local")),
]
# The block convolutions of ResNet-50.
RESNET50 = [(C, C, 3, 3) for C in (64, 128, 256, 512)] + [
    shape
    for C in (64, 128, 256, 512)
    for shape in ((4 * C, C, 1, 1), (C, 4 * C, 1, 1), (2 * C, 4 * C, 1, 1))
]


def call(case: FourierCase, args, backend: str):
    spectrum, attention, *factors = args
    return fourier_disjoint_weight(
        spectrum,
        case.group_map(),
        attention,
        case.weight_shape,
        case.modulation(factors),
        backend=backend,
    )


@pytest.mark.parametrize(
    ("length", "factors"),
    [(1, []), (2, [2]), (3, [3]), (16, [4, 4]), (64, [8, 8]), (768, [8, 8, 4, 3])]
    + [
        (1536, [8, 8, 8, 3]),
        (128, [8, 4, 4]),
        (27, [3, 3, 3]),
        (5, None),
        (14, None),
        (96 * 7, None),
    ],
)
def test_radices(length, factors):
    assert radices(length) == factors


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 8, 9, 16, 24, 54, 96, 128, 162, 192, 576])
def test_one_transform_is_numpys(length, dtype):
    lanes = lane_count(np.dtype(dtype).itemsize)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((length, lanes)) + 1j * rng.standard_normal((length, lanes))
    planned = _transform(radices(length), dtype)
    re, im = (np.zeros((length, lanes), dtype) for _ in range(2))
    re[planned.order], im[planned.order] = values.real, values.imag
    transform(re.ravel(), im.ravel(), planned)
    expected = np.fft.ifft(values, axis=0) * length
    error = np.linalg.norm(re + 1j * im - expected) / np.linalg.norm(expected)
    assert error < 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("shape", RESNET50)
def test_every_block_convolution_of_resnet50_has_a_plan(shape):
    assert plan(shape, "float32") is not None


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (4, 5, 1, 2), (5, 4, 1, 1), (8, 8, 7, 7)])
def test_other_sizes_have_none(shape):
    assert plan(shape, "float32") is None


def test_pytorchs_transform_is_taken_for_others_and_said_once(caplog):
    case = FourierCase((4, 5, 1, 1), kernel_num=2, width=1)
    host._say.cache_clear()
    with caplog.at_level("INFO", "repro"):
        for _ in range(2):
            call(case, case.make(torch.float32), "cpu")
    said = [record.message for record in caplog.records]
    assert said == ["no FFT of our own for 4 x 5 values: PyTorch's is taken"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_are_as_accurate_as_pytorchs(case, dtype):
    assert plan(case.weight_shape, "float32") is not None
    args = case.make(dtype)
    truth = call(case, [arg.double() for arg in args], "reference")
    actual, reference = call(case, args, "cpu"), call(case, args, "reference")
    assert_as_accurate(actual, reference, truth, terms=np.log2(np.prod(case.matrix)) + 2)
    assert (actual.double() - truth).norm() <= 2e-7 * truth.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_as_accurate_as_with_pytorchs_transform(case, dtype, monkeypatch):
    def gradients(dtype, backend):
        args = [arg.requires_grad_() for arg in case.make(dtype)]
        out = call(case, args, backend)
        generator = torch.Generator().manual_seed(1)
        grad_out = torch.randn(out.shape, generator=generator).to(dtype)
        return torch.autograd.grad(out, args, grad_out)

    own, truth = gradients(dtype, "cpu"), gradients(torch.float64, "reference")
    monkeypatch.setattr(host, "plan", lambda *_: None)
    terms = np.prod(case.weight_shape) * case.batch
    for values in zip(own, gradients(dtype, "cpu"), truth, strict=True):
        assert_as_accurate(*values, terms=terms)


@pytest.mark.parametrize("shape", [(256, 256, 3, 3), (512, 128, 1, 1)])
def test_float32_errs_by_at_most_2e_7_at_the_networks_sizes(shape):
    case = FourierCase(shape, batch=1, kernel_num=64, width=5)
    args = case.make(torch.float32)
    truth = call(case, [arg.double() for arg in args], "reference")
    error = (call(case, args, "cpu").double() - truth).norm() / truth.norm()
    assert error <= 2e-7, error


def test_chunks_and_threads_change_nothing(monkeypatch):
    case = FourierCase((48, 32, 3, 3), batch=5, kernel_num=16, width=5)
    args = case.make(torch.float32)
    expected = call(case, args, "cpu")
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            monkeypatch.setattr(host, "CHUNK_BYTES", 1 << 17 if count == 1 else 1)
            assert torch.equal(call(case, args, "cpu"), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("where", [(0, 0), (5, 3), (0, -1)])
def test_a_nan_in_the_spectrum_reaches_every_weight(where):
    case = FourierCase((16, 8, 3, 3), width=3)
    args = case.make(torch.float32)
    args[0][0][where] = float("nan")
    assert call(case, args, "cpu").isnan().all()
    assert call(case, args, "reference").isnan().all()


def test_extreme_logits_saturate_and_nan_stays_nan():
    case = FourierCase((16, 4, 1, 1), factors=("local",), width=1)
    spectrum, attention, sequence, filters = case.make(torch.float32)
    filters = torch.ones_like(filters)
    sequence[:] = torch.tensor([1e4, -1e4, float("nan"), 0])
    plain = FourierCase((16, 4, 1, 1), factors=())
    bare = call(plain, [spectrum, attention], "cpu")
    out = call(case, [spectrum, attention, sequence, filters], "cpu")
    assert torch.allclose(out[:, :, 0], 2 * bare[:, :, 0])
    assert out[:, :, 1].abs().max() < 1e-30
    assert out[:, :, 2].isnan().all()
    torch.testing.assert_close(out[:, :, 3], bare[:, :, 3])
