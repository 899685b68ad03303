"""How much of an unguided upsampler's error is the sampling's and the alignment's.

Interpolation is a product with one matrix along each axis, so each image is read once and every
combination of sampling, alignment and method is measured on it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypedDict

import torch
from torch import Tensor

from repro.data.low_resolution import (
    ALIGNMENTS,
    SAMPLINGS,
    alignment_offset,
    downsample,
    fill_holes,
    interpolation_matrix,
)
from repro.data.rgbd_pairs import RGBDData, RGBDPair, crop_to_multiple
from repro.tasks.depth_error import BORDER, CONVENTIONS, counted, summarise

METHODS = ("bilinear", "bicubic")


class SamplingRow(TypedDict):
    """One number of the study; `rmse` is in the dataset's unit."""

    method: str
    sampling: str
    alignment: str
    factor: int
    convention: str
    rmse: float


def sampling_study(
    data: RGBDData, factors: Sequence[int] = (4, 8, 16), *, border: int = BORDER
) -> list[SamplingRow]:
    """Error of bilinear and bicubic interpolation for every sampling and alignment.

    An image whose size a factor does not divide is cut to a multiple of it; unknown samples take
    the nearest known one.

    Args:
        data: its test images are used.
        factors: each from 2.
        border: pixels left out along each side.
    Returns:
        A row for each factor, sampling, alignment, method and convention.
    Raises:
        ValueError: an image that is smaller than a factor, or none of whose samples is known.
    """
    errors: dict[tuple[int, str, str, str], list[float]] = defaultdict(list)
    pixels: dict[int, list[int]] = defaultdict(list)
    for pair in data.test:
        for factor in factors:
            cut = crop_to_multiple(pair, factor)
            pixels[factor].append(int(counted(cut.depth, border=border).sum()))
            for (sampling, alignment, method), error in _errors(cut, factor, border):
                errors[factor, sampling, alignment, method].append(error)
    return [
        {
            "method": method,
            "sampling": sampling,
            "alignment": alignment,
            "factor": factor,
            "convention": convention,
            "rmse": data.unit_scale * summarise(per_image, pixels[factor], convention),
        }
        for (factor, sampling, alignment, method), per_image in errors.items()
        for convention in CONVENTIONS
    ]


def _errors(
    pair: RGBDPair, factor: int, border: int
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """RMSE of one image for each (sampling, alignment, method), in stored units."""
    depth = torch.from_numpy(pair.depth)
    height, width = depth.shape
    truth = depth[border : height - border, border : width - border].contiguous()
    known = int((~truth.isnan()).sum())
    for sampling in SAMPLINGS:
        low, _ = fill_holes(downsample(depth[None, None], factor, sampling)[0, 0].numpy())
        found: dict[tuple[float | None, str], float] = {}  # two alignments may be one offset
        for alignment in ALIGNMENTS:
            offset = alignment_offset(alignment, sampling, factor)
            for method in METHODS:
                if (offset, method) not in found:
                    rows, columns = (
                        _inner_matrix(size, factor, offset, method, border) for size in low.shape
                    )
                    half = torch.from_numpy(low) @ columns.T
                    error = (rows @ half).sub_(truth).nan_to_num_(0)
                    each_row = torch.linalg.vector_norm(error, dim=1).double()
                    norm = float(each_row.norm())
                    found[offset, method] = norm / known**0.5 if known else math.nan
                yield (sampling, alignment, method), found[offset, method]


@cache
def _inner_matrix(size: int, factor: int, offset: float | None, method: str, border: int) -> Tensor:
    """The rows of `interpolation_matrix` inside the border, float32."""
    matrix = interpolation_matrix(size, factor, offset=offset, mode=method)
    return matrix[border : len(matrix) - border].float()
