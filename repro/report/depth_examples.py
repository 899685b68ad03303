"""A test image as several methods upsample it, cut to where depth has most edges."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from repro.data.rgbd import RGBDPair, crop_to_multiple
from repro.report.depth_figures import DepthExample
from repro.tasks.depth_error import edge_band
from repro.tasks.joint_upsampling import Upsampler, example


def depth_example(
    whole: RGBDPair,
    upsamplers: Mapping[str, Upsampler],
    factor: int,
    sampling: str,
    size: int = 128,
) -> DepthExample:
    """What `plot_examples` draws of one pair.

    Args:
        whole: the pair; it is upsampled whole, and then cropped.
        upsamplers: method -> how it upsamples.
        size: largest side of the crop; cut to multiples of the factor.
    """
    pair = crop_to_multiple(whole, factor)
    one = example(pair.rgb, pair.depth, factor, sampling)
    return DepthExample(
        name=pair.name,
        low=one.low,
        rgb=one.rgb,
        truth=one.depth,
        predictions={name: upsample(one.low, one.rgb) for name, upsample in upsamplers.items()},
        crop=busiest_window(edge_band(one.depth), factor, size),
    )


def busiest_window(marked: NDArray[np.bool_], factor: int, size: int) -> tuple[int, int, int, int]:
    """The window with most marked pixels: top, left, height, width, all multiples of `factor`.

    Args:
        marked: (H, W), multiples of the factor.
        size: largest side of the window.
    """
    cells = marked.reshape(marked.shape[0] // factor, factor, -1, factor).sum((1, 3))
    height, width = (max(1, min(size // factor, side)) for side in cells.shape)
    sums = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
    inside = inside + sums[:-height, :-width]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    corner = (int(top) * factor, int(left) * factor)
    return (*corner, height * factor, width * factor)
