"""DDF-Up as one operator: composed of DDF on the CPU, checked against it; opcheck; refusals."""

from __future__ import annotations

import pytest
import torch

from repro.ops import ddf, ddf_up
from repro_kernels.choice import Call, why_not_up


def make(device="cpu", dtype=torch.float64, s=2, K=3, shape=(2, 3, 5, 4)):
    N, C, H, W = shape
    generator = torch.Generator().manual_seed(0)
    shapes = [shape, (N, C, s * s, K, K), (N, s * s, K * K, H, W)]
    return [
        torch.randn(size, generator=generator, dtype=torch.float64).to(device, dtype)
        for size in shapes
    ]


@pytest.mark.parametrize("s", [1, 2, 3])
@pytest.mark.parametrize("kernel_combine", ["mul", "add"])
def test_every_sub_pixel_is_a_ddf_of_its_own(s, kernel_combine, backend):
    x, channel_filter, spatial_filter = make(backend, s=s)
    out = ddf_up(x, channel_filter, spatial_filter, s, kernel_combine=kernel_combine)
    for b in range(s * s):
        expected = ddf(
            x,
            channel_filter[:, :, b],
            spatial_filter[:, b],
            kernel_combine=kernel_combine,
            backend="reference",
        )
        torch.testing.assert_close(out[:, :, b // s :: s, b % s :: s], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("s", "K"), [(2, 3), (2, 5), (3, 3)])
def test_gradients_are_those_of_the_reference(s, K, dtype, backend):
    args = [arg.requires_grad_() for arg in make(backend, dtype, s, K)]
    expected = ddf_up(*args, s, backend="reference")
    grad_out = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(ddf_up(*args, s), args, grad_out),
        torch.autograd.grad(expected, args, grad_out),
    )


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_opcheck(backend):
    args = [arg.requires_grad_() for arg in make(backend)]
    torch.library.opcheck(torch.ops.repro.ddf_up.default, (*args, 2, 1, "mul"))
    grad_out = torch.randn(2, 3, 10, 8, dtype=torch.float64, device=backend)
    tensors = (grad_out, *(arg.detach() for arg in args))
    torch.library.opcheck(torch.ops.repro.ddf_up_backward.default, (*tensors, 2, 1, "mul"))


def test_a_second_derivative_through_the_op_fails_loudly(backend):
    x, *filters = (arg.requires_grad_() for arg in make(backend))
    (grad,) = torch.autograd.grad(ddf_up(x, *filters, 2).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match='call ddf_up with backend="reference"'):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, c, f: (x, c, f, 3), r"channel_filter must .* 9 as number 2, got shape"),
        (lambda x, c, f: (x, c, f[:, :2], 2), r"spatial_filter must .* 4 as number 1, got"),
        (lambda x, c, f: (x, c, f, 0), "scale_factor must be an int of at least 1, got 0"),
        (lambda x, c, f: (x, c, f[..., :3], 2), r"spatial_filter must be \(2, 9, 5, 4\), got"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    *tensors, s = change(*make())
    with pytest.raises(ValueError, match=message):
        ddf_up(*tensors, s)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"kernel_size": 5}, "a pixel has 100 taps, above 36"),
        ({"dilation": 33}, "dilation is 33, above the height, 32"),
        ({"shape": (1, 64, 4096, 4096)}, "needs 64-bit indices"),
    ],
)
def test_when_the_fused_kernels_take_a_call(change, reason):
    call = Call((2, 256, 32, 48), 3, "mul", "float32", 1, 1, True, 2)._replace(**change)
    found = why_not_up(call)
    assert (found is None) == (reason is None)
    assert reason is None or reason in found
