"""Radial power spectra of features."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from repro.tasks.feature_spectrum import layer_spectra, radial_power_spectrum


def wave(rows, columns, size=64):
    """(1, 1, size, size): a cosine with these cycles over the map."""
    grid = torch.arange(size) * 2 * math.pi / size
    return torch.cos(rows * grid[:, None] + columns * grid)[None, None]


@pytest.mark.parametrize(
    ("rows", "columns", "ring"), [(1, 0, 0), (0, 7, 3), (9, 12, 7), (0, 32, 15), (0, 31, 15)]
)
def test_a_wave_lies_in_its_ring_with_its_power(rows, columns, ring):
    frequencies, power = radial_power_spectrum(wave(rows, columns) + 5)
    assert int(power.argmax()) == ring
    radius = math.hypot(rows, columns) / 64
    assert abs(frequencies[ring] - radius) <= 1 / 64 + 1e-12
    others = power.clone()
    others[ring] = 0
    assert others.abs().max() < 1e-9


@pytest.mark.parametrize("size", [(48, 64), (33, 17)])
def test_white_noise_has_its_variance_in_every_ring(size):
    noise = 3 * torch.randn(16, 32, *size, generator=torch.Generator().manual_seed(0))
    _, power = radial_power_spectrum(noise, bins=8)
    torch.testing.assert_close(power, torch.full((8,), 9.0, dtype=torch.float64), rtol=0.1, atol=0)


def test_power_adds_up_to_the_variance():
    x = wave(3, 5) + 0.5 * wave(10, 0) + 2  # nothing on diagonals beyond 1/2
    _, power = radial_power_spectrum(x, bins=16)
    grid = torch.fft.fftfreq(64, dtype=torch.float64)
    radius = torch.hypot(grid[:, None], grid)
    inside = radius[(radius > 0) & (radius <= 0.5)]
    count = torch.histc(inside, 16, 0, 0.5)
    total = float((power * count).sum() / 64**2)
    assert total == pytest.approx(float(x.double().var(correction=0)), rel=1e-5)


def test_a_small_map_has_empty_rings():
    _, power = radial_power_spectrum(torch.randn(1, 1, 4, 4), bins=16)
    assert power.isnan().sum() == 16 - 3  # radii 1/4, 1/4 times the root of 2, and 1/2


@pytest.mark.parametrize(("shape", "bins"), [((3, 4, 4), 8), ((0, 3, 4, 4), 8), ((1, 3, 4, 4), 0)])
def test_features_of_another_shape(shape, bins):
    with pytest.raises(ValueError, match="features must be"):
        radial_power_spectrum(torch.ones(shape), bins)


def test_blurring_takes_high_frequencies_away():
    blur = nn.AvgPool2d(3, 1, 1)
    model = nn.Sequential(nn.Identity(), blur)
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    spectra = layer_spectra(model, x, "1")
    assert spectra.before.sum() == pytest.approx(1)
    assert spectra.after.sum() == pytest.approx(1)
    ratio = spectra.after / spectra.before
    assert ratio[0] > 4 * ratio[-1]
    plain = layer_spectra(model, x, "1", relative=False)
    torch.testing.assert_close(plain.before, radial_power_spectrum(x)[1])
    torch.testing.assert_close(plain.after, radial_power_spectrum(blur(x))[1])
    assert not model[1]._forward_hooks


def test_layers_that_cannot_be_looked_at():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Identity()
            self.pair = Pair()

        def forward(self, x):
            return self.pair(x)

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model, x = Skips(), torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="unused did not run"):
        layer_spectra(model, x, "unused")
    with pytest.raises(ValueError, match="pair must map a tensor to a tensor, got Tensor to tuple"):
        layer_spectra(model, x, "pair")
    with pytest.raises(AttributeError, match="nowhere"):
        layer_spectra(model, x, "nowhere")
