"""Do FDConv's modulation maps light up at object boundaries? The claim of its figure, as numbers.

FDConv (arXiv 2503.18783): maps of high frequency bands emphasise the boundaries of objects, maps of
low bands their interiors. Here: a map's mean inside a band around the boundaries, over its mean
elsewhere, for each frequency band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.data.segmentation_images import IGNORE
from repro.nn.frequency_band_modulation import FrequencyBandModulation


def boundary_band(labels: Tensor, radius: int) -> Tensor:
    """The pixels near a change of class.

    Args:
        labels: (N, H, W), classes or `IGNORE`. A change to `IGNORE` is no boundary.
        radius: 1 takes the two pixels on either side of a boundary; each further step one more
            pixel, in all eight directions.
    Returns:
        (N, H, W) bool; never at a pixel without a label.
    Raises:
        ValueError: another shape, or a radius below 1.
    """
    if labels.ndim != 3 or radius < 1:
        raise ValueError(
            f"labels must be (N, H, W) and radius at least 1, got {tuple(labels.shape)}, {radius}"
        )
    labelled = labels != IGNORE
    edge = torch.zeros_like(labelled)
    for axis in (1, 2):
        size = labels.shape[axis] - 1
        one, next_one = labels.narrow(axis, 0, size), labels.narrow(axis, 1, size)
        change = (one != next_one) & (one != IGNORE) & (next_one != IGNORE)
        edge.narrow(axis, 0, size).logical_or_(change)
        edge.narrow(axis, 1, size).logical_or_(change)
    if radius > 1:
        window = 2 * (radius - 1) + 1
        edge = F.max_pool2d(edge[:, None].float(), window, 1, radius - 1)[:, 0] > 0
    return edge & labelled


@dataclass(frozen=True)
class BandContrast:
    """Mean map values of each image and frequency band; NaN where an image lacks such pixels.

    Attributes:
        inside: (N, bands), in the boundary band.
        elsewhere: (N, bands), at the other labelled pixels.
    """

    inside: Tensor
    elsewhere: Tensor

    def ratios(self) -> Tensor:
        """(N, bands): inside over elsewhere; above 1 where the boundaries are emphasised."""
        return self.inside / self.elsewhere

    def mean_ratio(self) -> Tensor:
        """(bands,): the mean over the images that have both."""
        return self.ratios().nanmean(0)


def boundary_contrast(maps: Tensor, labels: Tensor, radius: int = 2) -> BandContrast:
    """Compare modulation maps at object boundaries with those elsewhere.

    Maps of a coarser grid are brought to the size of the labels, bilinear: a radius far below one
    cell of that grid then compares neighbours in one cell, and every ratio comes out near 1.

    Args:
        maps: (N, groups, bands, h, w), as `band_maps` collects them; groups are averaged.
        labels: (N, H, W), `IGNORE` pixels are left out.
        radius: of the boundary band, in pixels of the labels.
    Raises:
        ValueError: another shape, or other images.
    """
    if maps.ndim != 5 or labels.ndim != 3 or len(maps) != len(labels):
        raise ValueError(
            "maps must be (N, groups, bands, h, w) and labels (N, H, W), got "
            f"{tuple(maps.shape)} and {tuple(labels.shape)}"
        )
    size = (labels.shape[1], labels.shape[2])
    mean = maps.double().mean(1)  # (N, bands, h, w)
    if mean.shape[-2:] != labels.shape[-2:]:
        mean = F.interpolate(mean, size, mode="bilinear", align_corners=False)
    band = boundary_band(labels, radius)
    others = ~band & (labels != IGNORE)
    return BandContrast(_mean_where(mean, band), _mean_where(mean, others))


def band_maps(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The modulation maps of every layer that has some, of one pass.

    Args:
        model: in evaluation mode, with `FrequencyBandModulation` layers in it.
        images: (N, 3, H, W), on the model's device.
    Returns:
        By layer: (N, groups, bands, h, w) on the CPU, highest band first, values in 0..2. A layer
        that runs more than once keeps its last maps.
    Raises:
        ValueError: the model has no such layer.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, FrequencyBandModulation)
    }
    if not layers:
        raise ValueError(f"{type(model).__name__} has no frequency band modulation")
    found: dict[str, Tensor] = {}

    def collector(name: str) -> Callable[..., None]:
        def collect(
            layer: FrequencyBandModulation, args: tuple[Any, ...], kwargs: dict[str, Any], _: Any
        ) -> None:
            source = kwargs.get("source", args[1] if len(args) > 1 else None)
            maps = layer.band_maps(args[0] if source is None else source)
            found[name] = maps.detach().float().cpu()

        return collect

    handles = [
        layer.register_forward_hook(collector(name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """(N, bands): mean of (N, bands, H, W) where (N, H, W) is true; NaN where it never is."""
    weights = chosen[:, None].to(values.dtype)
    return (values * weights).sum((2, 3)) / weights.sum((2, 3))
