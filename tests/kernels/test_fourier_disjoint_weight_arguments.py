"""What the Fourier weight operators refuse, and how they behave as ops of PyTorch."""

from __future__ import annotations

import logging
import re

import pytest
import torch
from fourier_cases import FourierCase

from repro.ops import backends
from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
from repro.ops.reference.fourier_disjoint_weight import Modulation

CASE = FourierCase((4, 3, 3, 3), groups=2)


def make(dtype=torch.float32):
    spectrum, attention, *factors = CASE.make(dtype)
    return [spectrum, CASE.group_map(), attention, CASE.weight_shape, CASE.modulation(factors)]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda a: (a[0][:, :5], *a[1:]),
            ValueError,
            "spectrum must be (P, 12, 5, 2) for weights (4, 3, 3, 3), got (1, 5, 5, 2)",
        ),
        (
            lambda a: (a[0], a[1][:5], *a[2:]),
            ValueError,
            "group_map must be (12, 5), got (5, 5)",
        ),
        (
            lambda a: (a[0], a[1].long(), *a[2:]),
            TypeError,
            "group_map must be torch.int32, got torch.int64",
        ),
        (
            lambda a: (*a[:2], a[2].double(), *a[3:]),
            TypeError,
            "attention must be torch.float32 like spectrum, got torch.float64",
        ),
        (
            lambda a: (*a[:2], a[2][:, 0], *a[3:]),
            ValueError,
            "attention must be (N, 1, G), got (2, 4)",
        ),
        (
            lambda a: (*a[:3], (4, 3, 3), a[4]),
            ValueError,
            "weight_shape must be four positive sizes (C_out, C_in, K_h, K_w), got (4, 3, 3)",
        ),
        (
            lambda a: (*a[:4], a[4]._replace(channel=torch.ones(2, 3))),
            ValueError,
            "channel must be (2, 6), got (2, 3)",
        ),
        (
            lambda a: (*a[:4], a[4]._replace(spatial=torch.ones(2, 3))),
            ValueError,
            "spatial must be (2, 9), got (2, 3)",
        ),
        (
            lambda a: (*a[:4], a[4]._replace(local_input=None)),
            ValueError,
            "local_input and local_filter go together",
        ),
        (
            lambda a: (*a[:4], a[4]._replace(local_filter=torch.ones(36, 2))),
            ValueError,
            "local_filter must be (36, odd width), got (36, 2)",
        ),
        (
            lambda a: (*a[:4], a[4]._replace(filter=torch.ones(2, 4).to("meta"))),
            ValueError,
            "filter must be on cpu like spectrum, got meta",
        ),
    ],
)
def test_bad_arguments_say_what_was_expected_and_what_came(change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fourier_disjoint_weight(*change(make()), groups=2)


def test_other_bad_arguments():
    args = make()
    with pytest.raises(ValueError, match="groups must divide the 4 output channels, got 3"):
        fourier_disjoint_weight(*args, groups=3)
    with pytest.raises(ValueError, match="attention \\(N, B\\), got"):
        weight_from_basis(torch.ones(2, 4, 3, 3, 3), torch.ones(2, 3))
    with pytest.raises(TypeError, match=r"basis must be floating point, got torch\.int64"):
        weight_from_basis(torch.ones(2, 4, 3, 3, 3).long(), torch.ones(2, 2))
    with pytest.raises(ValueError, match="cannot take this call: x is on cpu"):
        fourier_disjoint_weight(*args, groups=2, backend="cuda")


def test_without_kernels_the_reference_stands_in_and_says_why_once(monkeypatch, caplog):
    reasons = {"cpu": "x is on the moon", "reference": None}
    monkeypatch.setattr(backends, "why_not", lambda backend, x: reasons[backend])
    monkeypatch.setattr(backends, "_said", set())
    args = make()
    with caplog.at_level(logging.WARNING, "repro"):
        first, second = (fourier_disjoint_weight(*args, groups=2) for _ in range(2))
    assert torch.equal(first, second)
    assert [record.message for record in caplog.records] == [
        "fourier_disjoint_weight runs its reference, which is slow: no kernel takes the call, "
        "since x is on the moon"
    ]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_batch_of_none(backend):
    spectrum, group_map, attention, shape, modulation = make()
    empty = Modulation(
        *(None if f is None else f[:0] for f in modulation[:4]), modulation.local_filter
    )
    spectrum.requires_grad_()
    out = fourier_disjoint_weight(
        spectrum, group_map, attention[:0], shape, empty, groups=2, backend=backend
    )
    assert out.shape == (0, *shape)
    out.sum().backward()
    assert not spectrum.grad.any()


def test_memory_in_another_order_is_read_where_it_points():
    args = make()
    expected = fourier_disjoint_weight(*args, groups=2, backend="reference")
    args[0] = args[0].transpose(1, 2).contiguous().transpose(1, 2)
    args[2] = args[2].mT.contiguous().mT
    channel = torch.stack([args[4].channel] * 2, -1)[..., 0]
    args[4] = args[4]._replace(channel=channel)
    torch.testing.assert_close(fourier_disjoint_weight(*args, groups=2), expected)


def test_shapes_are_known_without_computing():
    spectrum, group_map, attention, shape, modulation = make()
    modulation = Modulation(*(factor.to("meta") for factor in modulation))
    spectrum = spectrum.to("meta").requires_grad_()
    attention = attention.to("meta").requires_grad_()
    out = fourier_disjoint_weight(
        spectrum, group_map.to("meta"), attention, shape, modulation, groups=2
    )
    assert out.shape == (2, *shape)
    out.sum().backward()
    assert attention.grad.shape == attention.shape


def test_autocast_keeps_float32():
    args = make()
    expected = fourier_disjoint_weight(*args, groups=2)
    halved = args[4]._replace(channel=args[4].channel.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        out = fourier_disjoint_weight(*args[:2], args[2].bfloat16(), args[3], halved, groups=2)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0.05, atol=0.02)


def ops():
    """Each op's packet and arguments of its forward."""
    spectrum, attention, *factors = CASE.make(torch.float64)
    basis = CASE.basis(spectrum)
    repro = torch.ops.repro
    tail = (*factors, list(CASE.weight_shape), 2)
    yield repro.fourier_disjoint_weight, (spectrum, CASE.group_map(), attention, *tail)
    yield repro.weight_from_basis, (basis, attention.flatten(1), *factors, 2)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("which", [0, 1])
def test_opcheck(which):
    op, args = list(ops())[which]
    backward = getattr(torch.ops.repro, f"{op.__name__}_backward")
    torch.library.opcheck(backward.default, (torch.randn(2, *CASE.weight_shape).double(), *args))
    leaves = [
        arg.requires_grad_() if isinstance(arg, torch.Tensor) and arg.is_floating_point() else arg
        for arg in args
    ]
    torch.library.opcheck(op.default, tuple(leaves))


@pytest.mark.filterwarnings("ignore")  # the compiler's own warnings differ from version to version
def test_compiles_as_one_graph():
    spectrum, group_map, attention, shape, modulation = make(torch.float64)

    def loss(spectrum, attention):
        out = fourier_disjoint_weight(spectrum, group_map, attention, shape, modulation, groups=2)
        return out.sin().sum()

    leaves = [spectrum.requires_grad_(), attention.requires_grad_()]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(*leaves)
    expected = loss(*leaves)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(
        torch.autograd.grad(compiled, leaves), torch.autograd.grad(expected, leaves)
    )
