"""Filter normalisation: both published forms, against the formula written out with torch.std."""

from __future__ import annotations

import math

import pytest
import torch

from repro.names import UnknownNameError
from repro.nn.filter_norm import FilterBatchNorm, FilterNorm, build_norm

GAIN = math.sqrt(2)  # of ReLU


def test_spatial_filters_are_standardised_per_head_and_pixel():
    x = torch.randn(2, 2 * 9, 4, 5, dtype=torch.float64)
    out = FilterNorm(2, 3, "spatial")(x)
    for head in range(2):
        taps = x[:, head * 9 : head * 9 + 9]
        expected = (taps - taps.mean(1, keepdim=True)) / (taps.std(1, keepdim=True) + 1e-10)
        torch.testing.assert_close(out[:, head * 9 : head * 9 + 9], expected * GAIN / 3)


def test_channel_filters_are_standardised_per_channel_and_scaled_per_tap():
    norm = FilterNorm(4, 3, "channel", nonlinearity="linear").double()
    x = torch.randn(2, 4 * 9, dtype=torch.float64)
    taps = x.view(2, 4, 9)
    expected = (taps - taps.mean(2, keepdim=True)) / (taps.std(2, keepdim=True) + 1e-10)
    torch.testing.assert_close(norm(x), (expected * norm.scale).flatten(1))


def test_authors_form_learns_channel_scales_of_random_sign_and_nothing_else():
    torch.manual_seed(0)
    assert list(FilterNorm(2, 3, "spatial").parameters()) == []
    (scale,) = FilterNorm(4096, 3, "channel").parameters()
    assert scale.shape == (4096, 9)
    assert scale.mean().item() == pytest.approx(0, abs=0.01)
    assert scale.std().item() == pytest.approx(GAIN / 3, rel=0.02)


@pytest.mark.parametrize("filter_type", ["spatial", "channel"])
def test_papers_form_learns_scale_and_shift_per_filter(filter_type):
    norm = FilterNorm(4, 3, filter_type, form="paper")
    assert {name: tuple(p.shape) for name, p in norm.named_parameters()} == {
        "scale": (4, 1),
        "shift": (4, 1),
    }
    torch.nn.init.constant_(norm.shift, 0.25)
    out = norm(torch.randn(2, 36)).view(2, 4, 9)
    torch.testing.assert_close(out.mean(2), torch.full((2, 4), 0.25))
    torch.testing.assert_close(out.std(2), torch.full((2, 4), GAIN / 3))


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize("filter_type", ["spatial", "channel"])
def test_gradients(filter_type, form):
    norm = FilterNorm(2, 3, filter_type, form=form).double()
    x = torch.randn(2, 18, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (x,))


def test_a_constant_filter_is_zero_and_has_a_finite_gradient():
    x = torch.full((1, 9, 2, 2), 3.0, requires_grad=True)
    out = FilterNorm(1, 3, "spatial")(x)
    out.sum().backward()
    assert torch.equal(out, torch.zeros_like(out))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_normalised_in_float32(dtype):
    # The sum of squares of these overflows float16, and 1e-10 is 0 in it.
    x = (300 * torch.randn(2, 9, 3, 3)).to(dtype)
    out = FilterNorm(1, 3, "spatial")(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out, FilterNorm(1, 3, "spatial")(x.float()).to(dtype))


@pytest.mark.parametrize("kernel_size", [1, 2, 4])
def test_kernel_size_without_centre_or_deviation_is_refused(kernel_size):
    with pytest.raises(ValueError, match=f"odd kernel_size of at least 3, got {kernel_size}"):
        FilterNorm(1, kernel_size, "spatial")


def test_filters_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, 18, \.\.\.\).*got \(2, 9, 4, 4\)"):
        FilterNorm(2, 3, "spatial")(torch.zeros(2, 9, 4, 4))


def test_no_filters_are_refused():
    with pytest.raises(ValueError, match="filters must be at least 1, got 0"):
        FilterNorm(0, 3, "spatial")


@pytest.mark.parametrize(
    ("arguments", "options", "meant"),
    [((1, 3, "spacial"), {}, "spatial"), ((1, 3, "spatial"), {"nonlinearity": "rleu"}, "relu")],
)
def test_unknown_names_come_with_a_suggestion(arguments, options, meant):
    with pytest.raises(UnknownNameError, match=f"did you mean {meant}"):
        FilterNorm(*arguments, **options)
    with pytest.raises(UnknownNameError, match="did you mean batch_norm"):
        build_norm("batchnorm", 1, 3, "spatial")


def test_batch_norm_shares_statistics_per_tap():
    x = torch.randn(4, 9, 5, 6)
    norm = FilterBatchNorm(9)
    torch.testing.assert_close(norm(x), torch.nn.BatchNorm2d(9)(x))


def test_batch_norm_refuses_a_single_filter_in_training_only():
    norm = build_norm("batch_norm", 4, 3, "channel")
    with pytest.raises(ValueError, match=r"more than one filter per tap.*\(1, 36\)"):
        norm(torch.randn(1, 36))
    assert norm.eval()(torch.randn(1, 36)).shape == (1, 36)
