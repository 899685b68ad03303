"""Which layers of a transformers backbone give way to FDConv or ODConv.

In a ResNet it is known: every convolution of the blocks (48 in ResNet-50), not the stem, not the
shortcuts. Of a Swin it is not: FDConv's authors published no such network, their conversion tool
names feed-forward layers, and second-hand notes print "+3 M" for Swin-T. `SWIN_PLACES` offers the
candidates and `DEFAULT_PLACE` is the one of the feed-forward candidates that is nearest to +3 M
there. Added to Swin-T, -B and -L with 64 groups, in millions:

    feed_forward               6.03   19.29   42.66    both layers of every block (the tool's)
    feed_forward_fc1           1.00    3.12    6.63    the widening layer of every block
    feed_forward_fc2           5.02   16.17   36.03    the narrowing layer of every block
    feed_forward_first_stages  2.81   13.61   30.01    both layers, without the last stage: default
    feed_forward_last_stage    3.22    5.68   12.65    both layers, only in the last stage
    attention                  1.94    6.01   12.92    projections to queries, keys, values and out
    attention_and_fc1          2.94    9.13   19.55

Four of these round to +3 M, so that the notes do not decide. The last is the nearest of all, but
in attention a layer sees windows, not images, and would make a weight for each window; and the
tool does not name it. The detectors' Swin-T (`repro.models.detection`) has the default, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from repro.models.segmentation.backbones import backbone_config, transformers
from repro.names import require_known
from repro.nn import (
    FDConv,
    FDLinear,
    ODConv2d,
    Replacement,
    is_feed_forward,
    replace_convs,
    replace_layers,
)

_RESNET_BLOCK = re.compile(r"(^|\.)stages\.\d+\.layers\.\d+\.layer\.\d\.convolution$")
_STAGE = re.compile(r"(^|\.)layers\.(\d)\.blocks\.")
_ATTENTION = re.compile(r"\.attention\.[qkvo]_proj$")
_LAST_STAGE = 3


def is_in_block(name: str, conv: nn.Conv2d) -> bool:
    """Whether a convolution lies in a block of transformers' ResNet: not stem, not shortcut."""
    return _RESNET_BLOCK.search(name) is not None


def _stage(name: str) -> int:
    match = _STAGE.search(name)
    return -1 if match is None else int(match.group(2))


def _feed_forward(name: str, layer: nn.Linear) -> bool:
    return is_feed_forward(name, layer)


def _fc1(name: str, layer: nn.Linear) -> bool:
    return name.endswith("mlp.fc1")


def _fc2(name: str, layer: nn.Linear) -> bool:
    return name.endswith("mlp.fc2")


def _attention(name: str, layer: nn.Linear) -> bool:
    return _ATTENTION.search(name) is not None


# Name of a choice of Swin's linear layers -> the choice, as `replace_layers` takes it.
SWIN_PLACES: Mapping[str, Callable[[str, nn.Linear], bool]] = {
    "feed_forward": _feed_forward,
    "feed_forward_fc1": _fc1,
    "feed_forward_fc2": _fc2,
    "feed_forward_first_stages": lambda n, m: is_feed_forward(n, m) and _stage(n) < _LAST_STAGE,
    "feed_forward_last_stage": lambda n, m: is_feed_forward(n, m) and _stage(n) == _LAST_STAGE,
    "attention": _attention,
    "attention_and_fc1": lambda n, m: _attention(n, m) or _fc1(n, m),
}
DEFAULT_PLACE = "feed_forward_first_stages"

# Second-hand notes on FDConv's Table 3 (Mask R-CNN with Swin-T), rounded to a million.
QUOTED_SWIN_T_MILLIONS = 3.0

LAYERS = ("fdconv", "odconv")


def place(backbone: nn.Module, layer: str, *, where: str = DEFAULT_PLACE) -> list[Replacement]:
    """Put a dynamic layer into a ResNet or a Swin of the transformers library, in place.

    With FDConv the network computes what it computed before; ODConv starts afresh.

    Args:
        backbone: the network that makes the feature maps.
        layer: "fdconv" (64 groups) or "odconv" (4 kernels; in a ResNet only).
        where: one of `SWIN_PLACES`; a ResNet has one place.
    Returns:
        One `Replacement` for each layer.
    Raises:
        UnknownNameError: no such layer or place.
        ValueError: ODConv for a backbone that has no residual blocks.
    Source: FDConv (arXiv 2503.18783), its authors' ResNet configurations and conversion tool.
    """
    require_known("layer", layer, LAYERS)
    choice = SWIN_PLACES[require_known("place", where, SWIN_PLACES)]
    has_blocks = any(_RESNET_BLOCK.search(name) for name, _ in backbone.named_modules())
    if layer == "odconv":
        if not has_blocks:
            raise ValueError("odconv replaces convolutions of residual blocks, and there are none")
        return replace_convs(
            backbone, lambda conv: ODConv2d.from_conv(conv, kernels=4), is_in_block
        )
    if has_blocks:
        return replace_convs(backbone, FDConv.from_conv, is_in_block)
    return replace_layers(backbone, FDLinear.from_linear, choice, kind=nn.Linear)


def added_params(backbone: str, where: str) -> int:
    """Parameters that FDConv adds to a full-size Swin, counted without memory for them.

    Args:
        backbone: "swin_t", "swin_b" or "swin_l".
        where: one of `SWIN_PLACES`.
    """
    with torch.device("meta"):
        net: Any = transformers().AutoBackbone.from_config(backbone_config(backbone, "full"))
        report = place(net, "fdconv", where=where)
    return sum(found.params_after - found.params_before for found in report)
