"""What frequencies features hold, before and after a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LayerSpectra:
    """Radial power spectra of a layer's input and output.

    Attributes:
        frequencies: (bins,), cycles per pixel of the layer's input, the middle of each ring.
        before: (bins,), of its input.
        after: (bins,), of its output, in cycles per pixel of the output.
    """

    frequencies: Tensor
    before: Tensor
    after: Tensor


def radial_power_spectrum(features: Tensor, bins: int = 16) -> tuple[Tensor, Tensor]:
    """Mean power of the frequencies in each of `bins` rings between 0 and 1/2 cycle per pixel.

    Each map's mean is taken out first; white noise has its variance in every ring. Frequencies
    beyond 1/2, which only diagonals reach, are left out.

    Args:
        features: (N, C, H, W).
        bins: rings of equal width.
    Returns:
        frequencies (bins,), the middle of each ring; power (bins,) float64, the mean over samples,
        channels and the frequencies in the ring, NaN where a small map has none.
    Raises:
        ValueError: another shape, an empty one, or no bins.
    """
    if features.ndim != 4 or not features.numel() or bins < 1:
        raise ValueError(
            f"features must be (N, C, H, W), not empty, and bins at least 1, got "
            f"{tuple(features.shape)} and {bins}"
        )
    height, width = features.shape[-2:]
    maps = features.detach().double()
    maps = maps - maps.mean((2, 3), keepdim=True)
    spectrum: Tensor = torch.fft.fft2(maps)
    power = spectrum.abs().square().mean((0, 1)) / (height * width)  # (H, W)
    rows = torch.fft.fftfreq(height, dtype=torch.float64, device=maps.device)
    columns = torch.fft.fftfreq(width, dtype=torch.float64, device=maps.device)
    radius = torch.hypot(rows[:, None], columns)
    # A mean that was taken out is no frequency; one half belongs to the last ring.
    chosen = (radius > 0) & (radius <= 0.5)
    ring = (radius[chosen] * 2 * bins).long().clamp_max(bins - 1)
    count = torch.bincount(ring, minlength=bins)
    total = torch.bincount(ring, weights=power[chosen], minlength=bins)
    frequencies = (torch.arange(bins, dtype=torch.float64) + 0.5) / (2 * bins)
    return frequencies, (total / count).cpu()


def layer_spectra(
    model: nn.Module, images: Tensor, layer: str, *, bins: int = 16, relative: bool = True
) -> LayerSpectra:
    """The spectra of one layer's input and output in one pass.

    Args:
        model: in evaluation mode.
        images: (N, 3, H, W), on the model's device.
        layer: its name among `model.named_modules()`; it maps (N, C, H, W) to the like.
        bins: see `radial_power_spectrum`.
        relative: divide each spectrum by its sum, so that its shape shows and not its scale.
    Raises:
        AttributeError: there is no such layer.
        ValueError: it did not run, or its input or output is not (N, C, H, W).
    """
    seen: list[Tensor] = []

    def collect(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        seen[:] = [*args[:1], output]

    handle = model.get_submodule(layer).register_forward_hook(collect)
    try:
        with torch.no_grad():
            model(images)
    finally:
        handle.remove()
    if not seen:
        raise ValueError(f"layer {layer} did not run")
    if not all(isinstance(value, Tensor) for value in seen):
        kinds = " to ".join(type(value).__name__ for value in seen)
        raise ValueError(f"layer {layer} must map a tensor to a tensor, got {kinds}")
    (frequencies, before), (_, after) = (radial_power_spectrum(x, bins) for x in seen)
    if relative:
        before, after = before / before.nansum(), after / after.nansum()
    return LayerSpectra(frequencies, before, after)
