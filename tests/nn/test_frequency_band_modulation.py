"""Frequency bands: exact masks at every size, bands that add up, maps that weight them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.nn import FrequencyBandModulation

SIZES = [(1, 1), (1, 7), (7, 5), (8, 8), (16, 12), (64, 64), (33, 50)]


def largest_frequency(size: tuple[int, int]) -> torch.Tensor:
    """max(|u|, |v|) of every cell of the half plane, in float64."""
    u = torch.fft.fftfreq(size[0], dtype=torch.float64).abs()
    v = torch.fft.rfftfreq(size[1], dtype=torch.float64)
    return torch.maximum(u[:, None], v)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("k", [2, 4, 8])
def test_masks_keep_what_lies_below_the_threshold(size, k):
    frequency = largest_frequency(size)
    code = FrequencyBandModulation(1).low_pass(k, size)
    paper = FrequencyBandModulation(1, form="paper").low_pass(k, size)
    away = (frequency - 0.5 / k).abs() > 1e-9
    assert torch.equal(code[away], (frequency < 0.5 / k)[away])
    assert torch.equal(paper[away], code[away])
    assert code[~away].all()  # the authors' masks keep the threshold itself, Eq. M_b does not
    assert not paper[~away].any()


def test_cached_masks_are_exact_at_their_own_size_and_only_near_elsewhere():
    exact, cached = FrequencyBandModulation(1), FrequencyBandModulation(1, masks="cached")
    for k in (2, 4, 8):
        assert torch.equal(exact.low_pass(k, (64, 64)), cached.low_pass(k, (64, 64)))
    shares = []
    for size in ((7, 7), (25, 42), (100, 168)):
        differ = [(exact.low_pass(k, size) != cached.low_pass(k, size)) for k in (2, 4, 8)]
        shares.append(max(mask.float().mean().item() for mask in differ))
    # The fact sheet: 0.3 to 3 percent at the sizes of detection, up to 11 percent at 7 x 7.
    assert 0.05 < shares[0] < 0.15
    assert all(0 < share < 0.035 for share in shares[1:])


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bands_add_up_and_are_disjoint(size, form):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    fbm = FrequencyBandModulation(3, form=form)
    bands = fbm.bands(x)
    assert len(bands) == 4
    torch.testing.assert_close(sum(bands), x)
    for b, band in enumerate(bands):
        for other in bands[b + 1 :]:
            assert (band * other).sum().abs() < 1e-9 * x.square().sum()


def test_bands_come_highest_first():
    x = torch.arange(32)
    fbm = FrequencyBandModulation(1)
    for b, cycles in enumerate((12, 6, 3, 1)):  # of 32 pixels: above 1/4, 1/8, 1/16, below
        wave = torch.cos(2 * torch.pi * cycles * x / 32).expand(1, 1, 32, 32)
        energy = [band.square().sum().item() for band in fbm.bands(wave)]
        assert energy[b] > 0.999 * sum(energy)


def test_starts_as_the_identity_and_maps_lie_between_0_and_2():
    x = torch.randn(2, 8, 12, 10)
    for form, maps in (("code", 3), ("paper", 4)):
        fbm = FrequencyBandModulation(8, form=form)
        torch.testing.assert_close(fbm(x), x, rtol=0, atol=1e-4)
        nn.init.normal_(fbm.maps.weight)
        found = fbm.band_maps(x)
        assert found.shape == (2, 1, maps, 12, 10)
        assert found.min() >= 0
        assert found.max() <= 2
        assert sum(p.numel() for p in fbm.parameters()) == maps * (9 * 8 + 1)


def test_output_is_the_sum_of_weighted_bands():
    for form, groups in (("code", 1), ("code", 4), ("paper", 2)):
        fbm = FrequencyBandModulation(8, form=form, map_groups=groups).double()
        nn.init.normal_(fbm.maps.weight)
        x = torch.randn(2, 8, 9, 7, dtype=torch.float64)
        maps, bands = fbm.band_maps(x), fbm.bands(x)
        expected = torch.zeros_like(x)
        for b, band in enumerate(bands):
            for c in range(8):
                lowest = form == "code" and b == 3
                weight = 1.0 if lowest else maps[:, c // (8 // groups), b]
                expected[:, c] += weight * band[:, c]
        torch.testing.assert_close(fbm(x), expected)


def test_both_forms_are_one_where_maps_are_constant_and_the_convolution_circular():
    # Claim: splitting the kernel, the output or the input into bands is the same.
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", bias=False).double()
    code, paper = (FrequencyBandModulation(4, form=form).double() for form in ("code", "paper"))
    for fbm in (code, paper):
        nn.init.zeros_(fbm.maps.weight)
        fbm.maps.bias.data[:3] = torch.tensor([0.5, -1.0, 2.0])
    # Odd sizes have no frequency at a threshold, where the forms differ.
    x = torch.randn(1, 4, 9, 11, dtype=torch.float64)
    torch.testing.assert_close(conv(code(x)), paper(conv(x), source=x))
    nn.init.normal_(code.maps.weight)
    paper.maps.weight.data[:3] = code.maps.weight
    assert (conv(code(x)) - paper(conv(x), source=x)).abs().max() > 1e-3


def test_maps_of_another_size_are_averaged_to_that_of_the_features():
    fbm = FrequencyBandModulation(4, form="paper")
    out = fbm(torch.randn(2, 6, 4, 5), source=torch.randn(2, 4, 8, 10))
    assert out.shape == (2, 6, 4, 5)


def test_many_map_groups_mean_one_map_per_channel():
    assert FrequencyBandModulation(96, map_groups=65).map_groups == 96


def test_half_precision_transforms_in_float32():
    fbm = FrequencyBandModulation(4).bfloat16()
    x = torch.randn(1, 4, 8, 8).bfloat16()
    assert fbm(x).dtype == torch.bfloat16
    assert fbm.bands(x)[0].dtype == torch.float32
    torch.testing.assert_close(fbm(x).float(), x.float(), atol=0.05, rtol=0.02)
