"""The band around object boundaries, and modulation maps inside and outside of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.data import mosaics
from repro.data.segmentation import IGNORE
from repro.data.segmentation_crops import WholeImages
from repro.nn import FrequencyBandModulation
from repro.tasks.boundaries import band_maps, boundary_band, boundary_contrast


def halves(width=12, at=5):
    """(1, 6, width): class 0 left of column `at`, class 1 from there on."""
    return (torch.arange(width) >= at).long().expand(1, 6, width).contiguous()


@pytest.mark.parametrize(("radius", "columns"), [(1, [4, 5]), (2, [3, 4, 5, 6]), (9, range(12))])
def test_the_band_has_the_radius_on_both_sides(radius, columns):
    band = boundary_band(halves(), radius)
    assert band.dtype == torch.bool
    assert band[0].all(0).nonzero().flatten().tolist() == list(columns)
    assert torch.equal(band[0].all(0), band[0].any(0))


def test_the_band_is_that_of_its_definition():
    labels = torch.from_numpy(mosaics.make(0, 1, 1).test[0].labels)[None, :40, :50].long()
    labels[:, 10:20, 10:20] = IGNORE
    expected = torch.zeros_like(labels, dtype=torch.bool)
    edge = torch.zeros_like(expected)
    for h in range(40):
        for w in range(50):
            for y, x in ((h, w + 1), (h + 1, w), (h - 1, w), (h, w - 1)):
                if 0 <= y < 40 and 0 <= x < 50:
                    one, other = int(labels[0, h, w]), int(labels[0, y, x])
                    edge[0, h, w] |= one != other and IGNORE not in (one, other)
    for h, w in edge[0].nonzero().tolist():
        expected[0, max(0, h - 2) : h + 3, max(0, w - 2) : w + 3] = True
    expected &= labels != IGNORE
    assert expected.any()
    assert torch.equal(boundary_band(labels, 3), expected)


def test_no_class_and_no_label_make_no_boundary():
    assert not boundary_band(torch.zeros(2, 5, 5), 2).any()
    labels = halves()
    labels[labels == 1] = IGNORE
    assert not boundary_band(labels, 3).any()


@pytest.mark.parametrize(("shape", "radius"), [((4, 4), 1), ((1, 4, 4), 0)])
def test_bands_that_cannot_be(shape, radius):
    with pytest.raises(ValueError, match="radius at least 1"):
        boundary_band(torch.zeros(shape), radius)


def test_maps_that_light_up_at_boundaries_have_a_ratio_above_one():
    labels = halves()
    band = boundary_band(labels, 2)
    maps = torch.ones(1, 2, 3, 6, 12)  # two groups of three bands
    maps[:, :, 0] += band[:, None]
    maps[:, 0, 2] -= 0.5 * band
    contrast = boundary_contrast(maps, labels, 2)
    torch.testing.assert_close(
        contrast.ratios(), torch.tensor([[2.0, 1.0, 0.75]], dtype=torch.float64)
    )
    torch.testing.assert_close(contrast.mean_ratio(), contrast.ratios()[0])


def test_ignored_pixels_count_neither_way():
    labels = halves()
    labels[:, :3] = IGNORE
    maps = torch.ones(1, 1, 1, 6, 12)
    maps[..., :3, :] = 100
    assert boundary_contrast(maps, labels, 1).ratios().tolist() == [[1.0]]


def test_coarse_maps_are_brought_to_the_labels():
    labels = halves(16, 8)
    maps = torch.linspace(0.5, 1.5, 4).expand(1, 1, 1, 2, 4)
    contrast = boundary_contrast(maps, labels, 1)
    torch.testing.assert_close(contrast.inside.item(), 1.0)  # in the middle of the ramp
    torch.testing.assert_close(contrast.elsewhere.item(), 1.0)


def test_an_image_without_a_boundary_is_left_out_of_the_mean():
    labels = torch.cat([halves(), torch.zeros(1, 6, 12, dtype=torch.int64)])
    maps = torch.ones(2, 1, 1, 6, 12)
    maps[0] += boundary_band(labels[:1], 2)[:, None, None][0]
    contrast = boundary_contrast(maps, labels, 2)
    assert contrast.ratios().isnan().flatten().tolist() == [False, True]
    assert contrast.mean_ratio().tolist() == [2.0]


@pytest.mark.parametrize(
    ("maps", "labels"),
    [((1, 2, 6, 12), (1, 6, 12)), ((2, 1, 2, 6, 12), (1, 6, 12)), ((1, 1, 2, 6, 12), (6, 12))],
)
def test_maps_of_another_shape(maps, labels):
    with pytest.raises(ValueError, match="maps must be"):
        boundary_contrast(torch.ones(maps), torch.zeros(labels))


class Modulated(nn.Module):
    """A convolution whose input ("code") or output ("paper") is modulated, as in FDConv."""

    def __init__(self, form):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.second = nn.Conv2d(8, 8, 3, 1, 1)
        self.modulation = FrequencyBandModulation(8, form=form)

    def forward(self, x):
        x = self.first(x)
        if self.modulation.form == "code":
            return self.second(self.modulation(x))
        return self.modulation(self.second(x), source=x)


@pytest.mark.parametrize(("form", "bands"), [("code", 3), ("paper", 4)])
def test_the_maps_of_a_layer_are_those_it_used(form, bands):
    torch.manual_seed(0)
    model = Modulated(form).eval()
    nn.init.normal_(model.modulation.maps.weight, std=0.2)
    x = torch.randn(2, 3, 32, 40)
    found = band_maps(model, x)
    assert list(found) == ["modulation"]
    assert found["modulation"].shape == (2, 1, bands, 16, 20)
    with torch.no_grad():
        expected = model.modulation.band_maps(model.first(x))
    torch.testing.assert_close(found["modulation"], expected)
    assert expected.std() > 0.01
    assert not model.modulation._forward_hooks


def test_an_untrained_layer_treats_boundaries_as_all_else():
    torch.manual_seed(0)
    x, y = next(iter(WholeImages(mosaics.make(0, 1, 3).test, 3)))
    (maps,) = band_maps(Modulated("paper").eval(), x).values()
    ratio = boundary_contrast(maps, y).mean_ratio()
    torch.testing.assert_close(ratio, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-3)


def test_a_model_without_modulation_is_named():
    with pytest.raises(ValueError, match="Conv2d has no frequency band modulation"):
        band_maps(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4))
