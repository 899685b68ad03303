"""CARAFE's reassembly: against its definition in nested loops, gradients, opcheck; refusals."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from accuracy import assert_as_accurate
from torch import Tensor

from repro.ops import carafe, ddf_up


def make(dtype=torch.float64, device="cpu", s=2, K=5, shape=(2, 3, 4, 5)) -> list[Tensor]:
    N, _, H, W = shape
    generator = torch.Generator().manual_seed(0)
    sizes = [shape, (N, s * s, K * K, H, W)]
    drawn = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    x, spatial_filter = drawn[0], drawn[1].softmax(2)
    return [x.to(device, dtype), spatial_filter.to(device, dtype)]


def carafe_loops(x: Tensor, weights: Tensor, s: int) -> Tensor:
    """Equation 3 as the paper has it: weights (N, K*K, s*H, s*W), one target at a time."""
    N, C, H, W = x.shape
    K = round(weights.shape[1] ** 0.5)
    out = x.new_zeros(N, C, s * H, s * W)
    for n, row, column in product(range(N), range(s * H), range(s * W)):
        for u, v in product(range(K), repeat=2):
            h, w = row // s + u - K // 2, column // s + v - K // 2
            if 0 <= h < H and 0 <= w < W:
                out[n, :, row, column] += weights[n, u * K + v, row, column] * x[n, :, h, w]
    return out


def as_in_the_paper(spatial_filter: Tensor, s: int) -> Tensor:
    """(N, s*s, K*K, H, W) to (N, K*K, s*H, s*W)."""
    return torch.nn.functional.pixel_shuffle(spatial_filter.transpose(1, 2).flatten(1, 2), s)


CASES = [(2, 5, (2, 3, 4, 5)), (1, 3, (1, 2, 3, 3)), (3, 3, (1, 1, 5, 2)), (2, 5, (1, 2, 2, 1))]


@pytest.mark.parametrize(("s", "K", "shape"), CASES)
def test_it_is_its_definition(s, K, shape, backend):
    x, spatial_filter = make(s=s, K=K, shape=shape)
    expected = carafe_loops(x, as_in_the_paper(spatial_filter, s), s)
    torch.testing.assert_close(carafe(x, spatial_filter, s, backend="reference"), expected)
    on_device = (x.to(backend), spatial_filter.to(backend))
    torch.testing.assert_close(carafe(*on_device, s, backend=backend).cpu(), expected)


@pytest.mark.parametrize("shape", [(1, 17, 33, 20), (2, 4, 9, 11), (0, 3, 4, 4), (2, 0, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_forward_and_gradients_are_as_accurate_as_pytorch(dtype, shape, backend):
    args = [arg.requires_grad_() for arg in make(dtype, backend, shape=shape)]
    doubles = [arg.detach().double().requires_grad_() for arg in args]
    results = [
        carafe(*args, 2, backend=backend),
        carafe(*args, 2, backend="reference"),
        carafe(*doubles, 2, backend="reference"),
    ]
    assert_as_accurate(*results, terms=25)
    grad_out = torch.linspace(-1, 1, results[0].numel(), dtype=torch.float64, device=backend)
    found = [
        torch.autograd.grad(out, inputs, grad_out.reshape(out.shape).to(out.dtype))
        for out, inputs in zip(results, (args, args, doubles), strict=True)
    ]
    for grads, terms in zip(zip(*found, strict=True), (100, shape[1]), strict=True):
        assert_as_accurate(*grads, terms=max(terms, 1))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_gradcheck(backend):
    args = [arg.requires_grad_() for arg in make(K=3, shape=(1, 2, 3, 2))]
    assert torch.autograd.gradcheck(lambda *a: carafe(*a, 2, backend=backend), args)


def test_second_derivatives_of_the_reference():
    args = [arg.requires_grad_() for arg in make(K=3, shape=(1, 1, 2, 2))]
    assert torch.autograd.gradgradcheck(lambda *a: carafe(*a, 2, backend="reference"), args)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_opcheck_of_the_op_that_it_runs(backend):
    x, spatial_filter = (arg.requires_grad_() for arg in make(device=backend))
    ones = x.detach().new_ones(()).expand(*x.shape[:2], 4, 5, 5)
    arguments = (x, ones, spatial_filter, 2, 1, "mul")
    torch.library.opcheck(torch.ops.repro.ddf_up.default, arguments)
    torch.testing.assert_close(
        carafe(x, spatial_filter, 2), torch.ops.repro.ddf_up.default(*arguments)
    )


def test_it_is_ddf_up_with_channel_filters_of_one(backend):
    x, spatial_filter = make(torch.float32, backend, K=3)
    ones = torch.ones(*x.shape[:2], 4, 3, 3, device=backend)
    assert torch.equal(carafe(x, spatial_filter, 2), ddf_up(x, ones, spatial_filter, 2))


def test_two_runs_are_equal_to_the_bit(backend):
    args = [arg.requires_grad_() for arg in make(torch.float32, backend, shape=(2, 8, 30, 20))]
    runs = []
    for _ in range(2):
        out = carafe(*args, 2)
        runs.append((out.detach(), *torch.autograd.grad(out.square().sum(), args)))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_autocast_computes_in_its_dtype():
    x, spatial_filter = make(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert carafe(x, spatial_filter, 2).dtype == torch.bfloat16


@pytest.mark.parametrize("backend", [None, "reference"])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x, f: (x[0], f, 2), ValueError, r"x must have 4 dimensions, got shape \(3, 4, 5\)"),
        (lambda x, f: (x, f[:, 0], 2), ValueError, r"must be \(N, scale_factor \*\* 2, K \* K, H"),
        (lambda x, f: (x, f[:, :, :24], 2), ValueError, "an odd number squared of taps, got 24"),
        (lambda x, f: (x, f[:, :, :16], 2), ValueError, "an odd number squared of taps, got 16"),
        (lambda x, f: (x, f, 3), ValueError, r"with scale_factor \*\* 2 = 9 as number"),
        (lambda x, f: (x, f, 0), ValueError, "scale_factor must be an int of at least 1, got 0"),
        (lambda x, f: (x, f[..., :3], 2), ValueError, r"spatial_filter must be \(2, 25, 4, 5\)"),
        (lambda x, f: (x, f.float(), 2), TypeError, "spatial_filter must be torch.float64 like x"),
        (lambda x, f: (x.long(), f, 2), TypeError, "x must be floating point, got torch.int64"),
    ],
)
def test_bad_arguments_are_refused(change, error, message, backend):
    with pytest.raises(error, match=message):
        carafe(*change(*make()), backend=backend)


def test_a_backend_that_cannot_run_is_refused():
    with pytest.raises(ValueError, match='carafe: backend="cuda" cannot take this call: x is on'):
        carafe(*make(), 2, backend="cuda")
