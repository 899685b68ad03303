"""What can double a map on the top-down path of an FPN: Table 6 of DDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from repro.nn import CARAFE, DDFUp


def _deconvolution(channels: int) -> nn.Module:
    layer = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1)
    return _started(layer)


def _pixel_shuffle(channels: int) -> nn.Module:
    widen = _started(nn.Conv2d(channels, 4 * channels, 3, padding=1))
    return nn.Sequential(widen, nn.PixelShuffle(2))


def _carafe(channels: int) -> nn.Module:
    # 64 of 256 channels in CARAFE's own FPN, the same share at other widths.
    return CARAFE(channels, mid_channels=max(channels // 4, 1))


def _started(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Drawn as MMDetection draws the upsamplers of an FPN."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


# Name -> from (N, C, H, W) to (N, C, 2 * H, 2 * W), made for C channels. The sizes that DDF's table
# leaves open are those that come within 3 % of its FLOPs (tests/models/test_detector_costs.py).
UPSAMPLERS: Mapping[str, Callable[[int], nn.Module]] = {
    "nearest": lambda channels: nn.Upsample(scale_factor=2, mode="nearest"),
    "bilinear": lambda channels: nn.Upsample(scale_factor=2, mode="bilinear"),
    "deconv": _deconvolution,
    "pixel_shuffle": _pixel_shuffle,
    "carafe": _carafe,
    "ddf_up": DDFUp,
}
