"""Where FDConv's authors put it: the blocks of a ResNet, the feed-forward layers of others."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from repro.nn.fdconv import FDConv, FDLinear
from repro.nn.replace import Replacement, replace_convs, replace_layers

# Names as timm and torchvision give them.
_IN_RESNET_BLOCK = re.compile(r"(^|\.)layer\d+\.\d+\.conv[123]$")
_FEED_FORWARD = re.compile(
    r"(^|\.)mlp\.(fc1|fc2)$"  # timm, all families; DeiT, SegFormer
    r"|(^|\.)mlp\.[03]$"  # torchvision Swin
    r"|(^|\.)features\.\d+\.\d+\.block\.[35]$"  # torchvision ConvNeXt
)


def is_in_residual_block(name: str, conv: nn.Conv2d) -> bool:
    """Whether a convolution lies in a ResNet's block: not the stem, not a shortcut.

    48 in ResNet-50: 1x1 and 3x3, strided ones included.
    """
    return _IN_RESNET_BLOCK.search(name) is not None


def is_feed_forward(name: str, layer: nn.Module) -> bool:
    """Whether a linear layer, or a 1x1 convolution, is one of the two of a feed-forward part.

    In ConvNeXt, Swin and ViT of timm or torchvision.
    """
    return _FEED_FORWARD.search(name) is not None


def place_fdconv(model: nn.Module, **options: Any) -> list[Replacement]:
    """Put FDConv where its authors do, in place: the network computes what it computed before.

    In a ResNet, every convolution of the blocks; in ConvNeXt, Swin and ViT, the feed-forward
    layers, as `FDLinear` or, where they are 1x1 convolutions, as `FDConv`.

    Args:
        model: of timm or torchvision, or one that names its layers as these do.
        options: those of `FDConv`; of which linear layers take those of `FourierWeight`.
    Returns:
        One `Replacement` for each layer.
    Raises:
        ValueError: there is neither such a convolution nor such a linear layer.
    Source: FDConv (arXiv 2503.18783) for ResNet; for the others the authors' conversion tool, which
        names feed-forward layers. Which layers the paper's Swin and ConvNeXt rows replace is not
        known: with 64 groups this adds 6.0 and 9.0 M parameters, the paper's rows about 3 M.
    """
    linear_options = {k: v for k, v in options.items() if k not in ("use_fbm", "fbm_form", "fbm")}
    layers = dict(model.named_modules())
    report = []
    if any(_IN_RESNET_BLOCK.search(n) for n, m in layers.items() if isinstance(m, nn.Conv2d)):
        return replace_convs(
            model, lambda conv: FDConv.from_conv(conv, **options), is_in_residual_block
        )
    found = [m for n, m in layers.items() if is_feed_forward(n, m)]
    if any(isinstance(m, nn.Conv2d) for m in found):
        report += replace_convs(
            model, lambda conv: FDConv.from_conv(conv, **options), is_feed_forward
        )
    if any(isinstance(m, nn.Linear) for m in found):
        report += replace_layers(
            model,
            lambda linear: FDLinear.from_linear(linear, **linear_options),
            is_feed_forward,
            kind=nn.Linear,
        )
    if not report:
        raise ValueError(
            f"{type(model).__name__} has neither residual blocks nor feed-forward layers under the "
            "names that timm and torchvision give them: use replace_convs"
        )
    return report
