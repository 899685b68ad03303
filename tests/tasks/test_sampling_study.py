"""The study's numbers are those of the functions it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.data.low_resolution import (
    ALIGNMENTS,
    SAMPLINGS,
    alignment_offset,
    downsample,
    fill_holes,
    interpolate,
)
from repro.data.rgbd import RGBDData, RGBDPair, crop_to_multiple
from repro.tasks.depth_error import CONVENTIONS, counted, rmse, summarise
from repro.tasks.sampling_study import METHODS, sampling_study


def make_pair(name: str, height: int, width: int, holes: int = 0) -> RGBDPair:
    random = np.random.default_rng(height)
    depth = np.repeat(random.uniform(1, 9, (height // 5 + 1, width)), 5, 0)[:height]
    depth = (depth + random.normal(0, 0.01, depth.shape)).astype(np.float32)
    depth.flat[random.choice(depth.size, holes, replace=False)] = np.nan
    return RGBDPair(name, np.zeros((height, width, 3), np.uint8), depth)


@pytest.fixture(scope="module")
def data():
    """Sizes that no factor divides, and holes."""
    pairs = (make_pair("a", 50, 67, holes=40), make_pair("b", 64, 48), make_pair("c", 37, 90))
    return RGBDData("made", "cm", 100.0, (), pairs, "", "")


@pytest.fixture(scope="module")
def rows(data):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # products this small only wait for each other's threads
    yield sampling_study(data, (4, 16))
    torch.set_num_threads(threads)


def test_there_is_a_row_for_every_combination(rows):
    found = {tuple(value for key, value in row.items() if key != "rmse") for row in rows}
    assert len(rows) == len(found) == 2 * 4 * 4 * 2 * 2
    assert list(rows[0]) == ["method", "sampling", "alignment", "factor", "convention", "rmse"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_the_rows_are_what_the_functions_give_one_by_one(rows, data, alignment, sampling, method):
    for factor in (4, 16):
        errors, pixels = [], []
        for pair in data.test:
            depth = crop_to_multiple(pair, factor).depth
            low = downsample(torch.from_numpy(depth)[None, None], factor, sampling)
            filled, _ = fill_holes(low[0, 0].numpy())
            out = interpolate(
                torch.from_numpy(filled)[None, None].double(),
                factor,
                offset=alignment_offset(alignment, sampling, factor),
                mode=method,
            )
            errors.append(rmse(out[0, 0], depth))
            pixels.append(int(counted(depth).sum()))
        for convention in CONVENTIONS:
            (row,) = (
                row["rmse"]
                for row in rows
                if (row["method"], row["sampling"], row["alignment"])
                == (method, sampling, alignment)
                and (row["factor"], row["convention"]) == (factor, convention)
            )
            assert row == pytest.approx(100 * summarise(errors, pixels, convention), rel=1e-5)


def test_an_image_that_is_all_border_is_left_out(data):
    extra = RGBDData("made", "cm", 100.0, (), (*data.test, make_pair("tiny", 12, 12)), "", "")
    assert sampling_study(extra, (4,)) == sampling_study(data, (4,))


def test_an_image_smaller_than_the_factor_is_refused(data):
    with pytest.raises(ValueError, match="a: 50 x 67 pixels cannot be cut to a multiple of 64"):
        sampling_study(data, (64,))
