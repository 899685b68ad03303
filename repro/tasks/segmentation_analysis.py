"""What FDConv does to the features of trained segmenters: at object boundaries, and by frequency.

FDConv (arXiv 2503.18783) shows both as pictures; here they are tables, a number a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from repro.data.segmentation import SegmentationImage
from repro.data.segmentation_crops import WholeImages
from repro.tasks.boundaries import band_maps, boundary_contrast
from repro.tasks.feature_spectrum import layer_spectra

LARGEST_CELL = 8
"""Pixels of the image, along each side, that one value of a map may stand for."""

STRIDE = 32
BATCH = 8

Trained = Mapping[str, Mapping[int, nn.Module]]
"""Method -> seed -> network in evaluation mode, all on one device."""


def boundary_table(trained: Trained, images: Sequence[SegmentationImage]) -> pd.DataFrame:
    """The mean of each modulation map in a band around the boundaries, and elsewhere.

    The band reaches half a cell of the map to either side, two pixels at least; layers whose cells
    are larger than `LARGEST_CELL` are left out.

    Args:
        trained: networks with frequency band modulation.
        images: with labels.
    Returns:
        A line for each method, seed, layer, band (1 is the highest) and image: "inside" and
        "elsewhere", NaN where an image has no such pixels, and "deviation", of the map over the
        image.
    Raises:
        ValueError: a network has no such layer, or all are too coarse.
    """
    rows = []
    for method, by_seed in trained.items():
        for seed, model in by_seed.items():
            start = 0
            for x, y in WholeImages(images, BATCH):
                for layer, maps in _fine_maps(model, x.to(_device(model))).items():
                    cell = x.shape[-1] // maps.shape[-1]
                    contrast = boundary_contrast(maps, y, radius=max(2, cell // 2))
                    deviation = maps.mean(1).flatten(2).std(2)  # (N, bands)
                    for image in range(len(x)):
                        for band in range(maps.shape[2]):
                            found = (contrast.inside, contrast.elsewhere, deviation)
                            figures = [values[image, band].item() for values in found]
                            name = images[start + image].name
                            rows.append((method, seed, layer, band + 1, name, *figures))
                start += len(x)
    columns = ["method", "seed", "layer", "band", "image", "inside", "elsewhere", "deviation"]
    return pd.DataFrame(rows, columns=columns)


def boundary_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Inside over elsewhere of each method, seed, image and band: the mean over layers."""
    ratio = (table["inside"] / table["elsewhere"]).rename("ratio")
    keys = ["method", "seed", "image", "band"]
    means = ratio.groupby([table[key] for key in keys], sort=False).mean()
    return means.dropna().reset_index()


def spectra_table(
    trained: Trained, images: Sequence[SegmentationImage], *, bins: int = 16
) -> pd.DataFrame:
    """The power of features at each frequency, before and after the first 3 x 3 convolution.

    It is that of the backbone's first block: plain in the base, FDConv in the row that is compared.

    Args:
        trained: networks over a ResNet.
        images: those at the start that have one size are looked at, in one pass.
        bins: rings of frequencies.
    Returns:
        A line for each method, seed and ring: "frequency" (cycles per pixel of the layer's input),
        "before" and "after", shares of the power.
    Raises:
        ValueError: a network has no such layer.
    """
    (x, _), *_ = WholeImages(images, len(images))
    parts = [pd.DataFrame(columns=["method", "seed", "layer", "frequency", "before", "after"])]
    for method, by_seed in trained.items():
        for seed, model in by_seed.items():
            layer = first_spatial_convolution(model)
            found = layer_spectra(model, x.to(_device(model)), layer, bins=bins)
            columns = {
                "frequency": found.frequencies.numpy(),
                "before": found.before.numpy(),
                "after": found.after.numpy(),
            }
            parts.append(pd.DataFrame({"method": method, "seed": seed, "layer": layer, **columns}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def prepared(item: SegmentationImage, short_side: int | None) -> SegmentationImage:
    """An image as networks see it: scaled, and cut to multiples of the largest stride.

    Args:
        short_side: the shorter side before the cut; None leaves the image as it is.
    """
    height, width = item.labels.shape
    factor = 1.0 if short_side is None else short_side / min(height, width)
    size = (round(factor * width), round(factor * height))
    kept = tuple(slice(max(STRIDE, side // STRIDE * STRIDE)) for side in reversed(size))
    image = Image.fromarray(item.image).resize(size, Image.Resampling.BILINEAR)
    labels = Image.fromarray(item.labels).resize(size, Image.Resampling.NEAREST)
    return SegmentationImage(item.name, np.asarray(image)[kept], np.asarray(labels)[kept])


def first_spatial_convolution(model: nn.Module) -> str:
    """Name of the 3 x 3 convolution of the backbone's first block, of whichever kind.

    Raises:
        ValueError: there is none: the backbone is no ResNet.
    """
    names: list[str] = [name for name, _ in model.named_modules()]
    for name in names:
        if name.endswith("stages.0.layers.0.layer.1.convolution"):
            return name
    raise ValueError(f"{type(model).__name__} has no ResNet's first block")


def _fine_maps(model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    maps = band_maps(model, images)
    kept = {
        layer: own
        for layer, own in maps.items()
        if images.shape[-1] <= LARGEST_CELL * own.shape[-1]
    }
    if not kept:
        raise ValueError(f"every modulation map has cells of more than {LARGEST_CELL} pixels")
    return kept


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
