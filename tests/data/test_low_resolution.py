"""Samples lie where they are said to, and interpolation agrees with scipy, PyTorch and Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional as F

from repro.data.low_resolution import (
    ALIGNMENTS,
    MODES,
    SAMPLINGS,
    alignment_offset,
    downsample,
    fill_holes,
    interpolate,
    interpolation_matrix,
    sample_offset,
)
from repro.names import UnknownNameError

FACTORS = (2, 4, 8, 16)


def ramp(height: int, width: int) -> torch.Tensor:
    """Depth that grows by 1 a row and by 100 a column: every value names its place."""
    rows = torch.arange(height, dtype=torch.float64)[:, None]
    return (rows + 100 * torch.arange(width, dtype=torch.float64))[None, None]


def random_depth(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 1 + 9 * torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_samples_lie_at_the_offset(sampling, factor):
    low = downsample(ramp(6 * factor, 8 * factor), factor, sampling)
    assert low.shape == (1, 1, 6, 8)
    offset = sample_offset(sampling, factor)
    inner = low[0, 0, 2:-2, 2:-2]  # a cubic filter is cut at the edges
    rows = offset + factor * torch.arange(2, 4, dtype=torch.float64)[:, None]
    columns = offset + factor * torch.arange(2, 6, dtype=torch.float64)
    torch.testing.assert_close(inner, rows + 100 * columns, rtol=1e-12, atol=1e-9)


def test_offsets_of_the_usual_factors():
    assert [sample_offset("centre", factor) for factor in FACTORS] == [0, 1, 3, 7]
    assert [sample_offset("last", factor) for factor in FACTORS] == [1, 3, 7, 15]
    assert sample_offset("area", 4) == sample_offset("bicubic", 4) == 1.5
    offsets = {name: alignment_offset(name, "last", 8) for name in ALIGNMENTS}
    assert offsets == {"exact": 7, "half_pixel": 3.5, "origin": 0, "corners": None}


@pytest.mark.parametrize("factor", FACTORS)
def test_bicubic_reduction_is_pillows_and_pytorchs(factor):
    depth = random_depth(2, 1, 4 * factor, 7 * factor)
    low = downsample(depth, factor, "bicubic")
    theirs = F.interpolate(depth, scale_factor=1 / factor, mode="bicubic", antialias=True)
    torch.testing.assert_close(low, theirs, rtol=1e-10, atol=0)
    image = Image.fromarray(depth[1, 0].float().numpy())
    reduced = np.asarray(image.resize((7, 4), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(low[1, 0], reduced, rtol=1e-5)


@pytest.mark.parametrize("sampling", ["centre", "last"])
def test_an_unknown_sample_stays_unknown(sampling):
    depth = random_depth(1, 1, 8, 12)
    offset = int(sample_offset(sampling, 4))
    depth[0, 0, 4 + offset, 8 + offset] = torch.nan
    depth[0, 0, 0, 0] = torch.nan  # no sample
    low = downsample(depth, 4, sampling)
    assert low.isnan().nonzero().tolist() == [[0, 0, 1, 2]]


@pytest.mark.parametrize("sampling", ["area", "bicubic"])
def test_a_cell_is_unknown_where_more_than_half_of_it_is(sampling):
    depth = random_depth(2, 1, 4, 12)
    depth[0, :, :2, :4] = torch.nan  # half of the first cell
    depth[0, :, :2, 4:8] = depth[0, :, 2, 4] = torch.nan  # one more than half of the second
    low = downsample(depth, 4, sampling)
    assert low[:, 0, 0].isnan().tolist() == [[False, True, False], [False, False, False]]
    depth[1] = torch.nan
    assert downsample(depth, 4, sampling)[1].isnan().all()


def test_an_area_takes_the_mean_of_what_is_known():
    depth = random_depth(1, 1, 4, 8)
    depth[..., 1, 2] = depth[..., 3, 3] = torch.nan
    low = downsample(depth, 4, "area")[0, 0, 0]
    torch.testing.assert_close(low[0], depth[0, 0, :, :4].nansum() / 14)
    torch.testing.assert_close(low[1], depth[0, 0, :, 4:].mean())


def test_a_bicubic_sample_sees_the_nearest_known_depth_in_a_hole():
    depth = random_depth(2, 1, 32, 64)
    clean = downsample(depth, 4, "bicubic")
    depth[1, 0, 9, 33] = torch.nan
    filled = depth.clone()
    filled[1, 0] = torch.from_numpy(fill_holes(depth[1, 0].numpy())[0])
    low = downsample(depth, 4, "bicubic")
    assert torch.equal(low, downsample(filled, 4, "bicubic"))
    assert depth.isnan().sum() == 1  # not changed in place
    # The filter reaches 2 samples: rows 0..3 and columns 6..9 see row 9 and column 33.
    seen = torch.zeros(2, 1, 8, 16, dtype=torch.bool)
    seen[1, :, 0:4, 6:10] = True
    assert torch.equal(low != clean, seen)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_interpolation_is_scipys(alignment, factor, mode):
    low = random_depth(1, 1, 5, 7)
    offset = alignment_offset(alignment, "centre", factor)
    out = interpolate(low, factor, offset=offset, mode=mode)
    sides = [np.arange(factor * size, dtype=np.float64) for size in (5, 7)]
    if offset is None:
        places = [side * (size - 1) / side[-1] for side, size in zip(sides, (5, 7), strict=True)]
    else:
        places = [(side - offset) / factor for side in sides]
    if mode == "nearest":  # scipy rounds a tie to even
        places = [np.floor(place + 0.5) for place in places]
    grid = np.meshgrid(*places, indexing="ij")
    truth = ndimage.map_coordinates(low[0, 0].numpy(), grid, order=1, mode="nearest")
    np.testing.assert_allclose(out[0, 0], truth, rtol=1e-12)


@pytest.mark.parametrize("factor", FACTORS)
def test_bilinear_at_half_pixels_and_corners_is_pytorchs(factor):
    low = random_depth(2, 1, 5, 7)
    for alignment, corners in (("half_pixel", False), ("corners", True)):
        offset = alignment_offset(alignment, "area", factor)
        out = interpolate(low, factor, offset=offset)
        theirs = F.interpolate(low, scale_factor=factor, mode="bilinear", align_corners=corners)
        torch.testing.assert_close(out, theirs, rtol=1e-10, atol=0)


@pytest.mark.parametrize("factor", FACTORS)
def test_bicubic_at_half_pixels_is_pillows_away_from_the_edges(factor):
    low = random_depth(1, 1, 6, 8)
    out = interpolate(low, factor, offset=(factor - 1) / 2, mode="bicubic")
    image = Image.fromarray(low[0, 0].float().numpy())
    size = (8 * factor, 6 * factor)
    theirs = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    inner = np.s_[2 * factor : -2 * factor, 2 * factor : -2 * factor]
    np.testing.assert_allclose(out[0, 0].numpy()[inner], theirs[inner], rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampling", ["centre", "last"])
def test_an_exact_interpolation_passes_through_the_samples(sampling, mode):
    depth = random_depth(1, 1, 24, 40)
    low = downsample(depth, 8, sampling)
    out = interpolate(low, 8, offset=alignment_offset("exact", sampling, 8), mode=mode)
    torch.testing.assert_close(downsample(out, 8, sampling), low, rtol=0, atol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("offset", [1, 1.5, 0.0, None])
def test_the_matrix_is_the_interpolation(offset, mode):
    low = random_depth(2, 1, 5, 7)
    rows, columns = (
        interpolation_matrix(size, 4, offset=offset, mode=mode) for size in low.shape[2:]
    )
    torch.testing.assert_close(
        rows @ low @ columns.T, interpolate(low, 4, offset=offset, mode=mode), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_kept(dtype):
    depth = random_depth(1, 1, 8, 8).to(dtype)
    for sampling in SAMPLINGS:
        assert downsample(depth, 4, sampling).dtype == dtype
    for mode in MODES:
        assert interpolate(depth, 2, offset=0.5, mode=mode).dtype == dtype


def test_interpolation_of_one_sample_repeats_it():
    low = torch.full((1, 1, 1, 1), 3.0)
    for offset in (0.5, None):
        for mode in MODES:
            assert torch.equal(
                interpolate(low, 2, offset=offset, mode=mode), torch.full((1, 1, 2, 2), 3.0)
            )


def test_gradients_flow():
    low = random_depth(1, 1, 3, 4).requires_grad_()
    for mode in ("bilinear", "bicubic"):
        assert torch.autograd.gradcheck(
            lambda x, mode=mode: interpolate(x, 2, offset=0.0, mode=mode), low
        )


def test_holes_take_the_nearest_known_depth():
    depth = np.full((5, 6), np.nan, dtype=np.float32)
    depth[0, 0], depth[4, 5] = 2, 7
    filled, count = fill_holes(depth)
    assert count == 28
    assert filled.dtype == np.float32
    assert filled[1, 1] == filled[0, 3] == 2
    assert filled[4, 2] == filled[2, 5] == 7
    assert np.isnan(depth).sum() == 28  # not changed in place
    again, none = fill_holes(filled)
    assert none == 0
    np.testing.assert_array_equal(again, filled)


def test_nothing_known_cannot_be_filled():
    with pytest.raises(ValueError, match=r"\(3, 4\) pixels has no known one"):
        fill_holes(np.full((3, 4), np.nan, dtype=np.float32))


def test_wrong_arguments_are_named():
    depth = random_depth(1, 1, 30, 32)
    with pytest.raises(ValueError, match="multiples of 4, got 30 x 32; crop_to_multiple"):
        downsample(depth, 4)
    with pytest.raises(ValueError, match="factor must be at least 2, got 1"):
        downsample(depth, 1)
    with pytest.raises(ValueError, match=r"depth must be \(N, 1, height, width\).*\(1, 30, 32\)"):
        downsample(depth[0], 2)
    with pytest.raises(ValueError, match=r"depth must be .* floating point.*int64"):
        downsample(depth.long(), 2)
    with pytest.raises(ValueError, match=r"low must be .*\(1, 3, 4, 4\)"):
        interpolate(random_depth(1, 3, 4, 4), 2, offset=0.0)
    with pytest.raises(UnknownNameError, match="did you mean centre"):
        downsample(depth, 2, "center")
    with pytest.raises(UnknownNameError, match="unknown mode 'linear'"):
        interpolate(depth, 2, offset=0.0, mode="linear")
    with pytest.raises(UnknownNameError, match="unknown alignment 'half'"):
        alignment_offset("half", "centre", 4)
    with pytest.raises(UnknownNameError, match="unknown sampling 'first'"):
        alignment_offset("origin", "first", 4)
