"""Frequency band modulation (FBM): weight a map's frequency bands differently at every pixel.

FDConv (arXiv 2503.18783); bands of max(|u|, |v|), u and v in cycles per pixel, between 0, 1/16,
1/8, 1/4 and 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.names import require_known

FORMS = ("code", "paper")
MASKS = ("exact", "cached")
CACHED_SIZE = 64  # the authors' masks are made for maps of this side


class FrequencyBandModulation(nn.Module):
    """Split features into frequency bands, multiply each with a predicted map, add them up.

    Args:
        in_channels: of the features that the maps are predicted from.
        form: "code" modulates all bands but the lowest, and belongs before a convolution; "paper"
            modulates every band, and belongs behind it.
        k_list: the bands lie between the frequencies 1 / (2 k), k ascending.
        map_groups: maps per band, each for its share of the channels; above 64 (the authors' rule)
            one for every channel of `in_channels`.
        masks: "exact" for every size, or "cached": made for 64 x 64 and resized by nearest
            neighbour, as in the authors' code.
    Shape:
        features (N, C, H, W), source (N, in_channels, ...) to (N, C, H, W).
    Raises:
        UnknownNameError: unknown form or masks.
        ValueError: k_list is not ascending from 2 on; map_groups does not divide in_channels.
    Source: FDConv (arXiv 2503.18783), FBM; the authors' `FrequencyBandModulation`.
    Deviates: in the form "paper" the highest band includes the frequency 1/2, so that the bands
        add up to the features; as printed it ends below. There, maps of another size than the
        features (of a strided convolution) are averaged to theirs.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        form: str = "code",
        k_list: Sequence[int] = (2, 4, 8),
        map_groups: int = 1,
        masks: str = "exact",
    ) -> None:
        super().__init__()
        require_known("form of FBM", form, FORMS)
        require_known("masks of FBM", masks, MASKS)
        if not k_list or list(k_list) != sorted(set(k_list)) or k_list[0] < 2:
            raise ValueError(f"k_list must ascend from at least 2, got {tuple(k_list)}")
        if map_groups > 64:
            map_groups = in_channels
        if map_groups < 1 or in_channels % map_groups:
            raise ValueError(f"map_groups must divide {in_channels} channels, got {map_groups}")
        self.form = form
        self.k_list = tuple(k_list)
        self.map_groups = map_groups
        self.masks = masks
        self.maps_per_group = len(k_list) + (form == "paper")
        # Output g * maps_per_group + b is the map of band b, highest first, for channel group g.
        self.maps = nn.Conv2d(
            in_channels, map_groups * self.maps_per_group, 3, padding=1, groups=map_groups
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every map starts at 1: the output equals the input."""
        nn.init.normal_(self.maps.weight, std=1e-6)
        if self.maps.bias is not None:
            nn.init.zeros_(self.maps.bias)

    def forward(self, features: Tensor, source: Tensor | None = None) -> Tensor:
        """Modulate `features` by maps predicted from `source`, or from themselves."""
        if features.numel() == 0:  # which MKL's FFT refuses
            return features
        maps = self.band_maps(features if source is None else source)
        if maps.shape[-2:] != features.shape[-2:]:
            size = (features.shape[-2], features.shape[-1])
            pooled = F.adaptive_avg_pool2d(maps.flatten(1, 2), size)
            maps = pooled.reshape(*maps.shape[:3], *size)
        out = torch.zeros_like(features)
        groups = (self.map_groups, features.shape[1] // self.map_groups)
        for b, band in enumerate(self.bands(features)):
            if b < self.maps_per_group:
                grouped = torch.unflatten(band, 1, groups)  # (N, groups, C/groups, H, W)
                band = (maps[:, :, b, None] * grouped).flatten(1, 2)
            out = out + band
        return out.to(features.dtype)

    def band_maps(self, source: Tensor) -> Tensor:
        """(N, map_groups, bands, H, W), highest band first, values in 0..2."""
        maps: Tensor = 2 * torch.sigmoid(self.maps(source))
        return torch.unflatten(maps, 1, (self.map_groups, self.maps_per_group))

    def bands(self, features: Tensor) -> list[Tensor]:
        """The bands of (N, C, H, W), highest first: they add up to `features`.

        Transforms run in float32, or in float64 for such features.
        """
        wide = features if features.dtype == torch.float64 else features.float()
        size = (features.shape[-2], features.shape[-1])
        spectrum = torch.fft.rfft2(wide)
        lows = [wide]
        for k in self.k_list:
            mask = self.low_pass(k, size, features.device)
            lows.append(torch.fft.irfft2(spectrum * mask, s=size))
        return [high - low for high, low in pairwise(lows)] + lows[-1:]

    def low_pass(self, k: int, size: tuple[int, int], device: torch.device | None = None) -> Tensor:
        """(H, W // 2 + 1), true where a frequency lies below 1 / (2 k).

        The frequency 1 / (2 k) itself passes in the form "code", and is stopped in "paper".
        """
        if self.masks == "exact":
            return _low_pass(k, size, self.form == "code", device)
        cached = _low_pass(k, (CACHED_SIZE, CACHED_SIZE), self.form == "code", device)
        resized = F.interpolate(cached[None, None].float(), (size[0], size[1] // 2 + 1))
        return resized[0, 0] > 0

    def extra_repr(self) -> str:
        return f"form={self.form!r}, k_list={self.k_list}, map_groups={self.map_groups}"


def _low_pass(
    k: int, size: tuple[int, int], inclusive: bool, device: torch.device | None
) -> Tensor:
    """Compared in integers: frequency u of n lies below 1 / (2 k) where 2 k u < n."""
    H, W = size
    rows = torch.arange(H, device=device)
    u = torch.minimum(rows, H - rows)
    v = torch.arange(W // 2 + 1, device=device)
    if inclusive:
        return (2 * k * u <= H)[:, None] & (2 * k * v <= W)
    return (2 * k * u < H)[:, None] & (2 * k * v < W)
