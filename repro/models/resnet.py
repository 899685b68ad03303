"""ResNet bodies: timm's, at the papers' size and at sizes that two CPU cores train in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from timm.models.res2net import Bottle2neck
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from repro.names import require_known

SIZES = ("full", "narrow", "small")


@dataclass(frozen=True)
class Body:
    """What tells one ResNet from another.

    Attributes:
        block: timm's residual block.
        layers: blocks per stage.
        channels: width of each stage (a bottleneck's output has four times as many).
    """

    block: type[nn.Module]
    layers: tuple[int, ...]
    channels: tuple[int, ...]


FULL_CHANNELS = (64, 128, 256, 512)
NARROW_CHANNELS = (16, 32, 64, 128)

BODIES: Mapping[str, Mapping[str, Body]] = {
    "full": {
        "resnet18": Body(BasicBlock, (2, 2, 2, 2), FULL_CHANNELS),
        "resnet50": Body(Bottleneck, (3, 4, 6, 3), FULL_CHANNELS),
        "resnet101": Body(Bottleneck, (3, 4, 23, 3), FULL_CHANNELS),
        "res2net50": Body(Bottle2neck, (3, 4, 6, 3), FULL_CHANNELS),
        "res2net101": Body(Bottle2neck, (3, 4, 23, 3), FULL_CHANNELS),
    },
    "narrow": {
        "resnet18": Body(BasicBlock, (1, 1, 1, 1), NARROW_CHANNELS),
        "resnet50": Body(Bottleneck, (1, 1, 1, 1), NARROW_CHANNELS),
        "resnet101": Body(Bottleneck, (1, 1, 2, 1), NARROW_CHANNELS),
        "res2net50": Body(Bottle2neck, (1, 1, 1, 1), NARROW_CHANNELS),
        "res2net101": Body(Bottle2neck, (1, 1, 2, 1), NARROW_CHANNELS),
    },
    "small": {
        "resnet18": Body(BasicBlock, (1, 1, 1), (32, 64, 128)),
        "resnet50": Body(Bottleneck, (1, 2, 2), (16, 32, 64)),
        "resnet101": Body(Bottleneck, (1, 2, 5), (16, 32, 64)),
        "res2net50": Body(Bottle2neck, (1, 2, 2), (16, 32, 64)),
        "res2net101": Body(Bottle2neck, (1, 2, 5), (16, 32, 64)),
    },
}


def build_resnet(
    name: str,
    *,
    num_classes: int,
    in_channels: int,
    size: str,
    width: float = 1.0,
    **options: Any,
) -> ResNet:
    """A ResNet of timm's own blocks.

    Initialisation is that of the authors' library (timm): Kaiming-normal fan-out for convolutions,
    and zero for the scale of each block's last batch norm, so that every block starts as identity.

    Args:
        name: one of the bodies.
        size: "full" (224 x 224 inputs: 7x7 stride-2 stem, max pool, four stages), "narrow" (the
            same with fewer blocks, a quarter as wide: for maps of images of 128 to 256 pixels) or
            "small" (32 x 32 inputs: 3x3 stride-2 stem, no pool, three narrow stages at 16, 8 and 4
            pixels).
        width: factor on the stages' widths; the stem keeps its own.
        options: further arguments of timm's `ResNet`: cardinality, base_width, block_args.
    Raises:
        UnknownNameError: no such body or size.
    """
    require_known("network size", size, SIZES)
    body = BODIES[size][require_known("network body", name, BODIES[size])]
    channels = tuple(round(width * stage) for stage in body.channels)
    shared = {"num_classes": num_classes, "in_chans": in_channels, "channels": channels, **options}
    if size == "full":
        return ResNet(body.block, body.layers, **shared)
    stem = body.channels[0]
    # timm has neither a single narrow stem nor a fourth stage that can be left out: take the deep
    # stem for its width and put ours in its place, and let the fourth stage pass its input on.
    net = ResNet(body.block, body.layers, stem_type="deep", stem_width=stem // 2, **shared)
    window = 7 if size == "narrow" else 3
    net.conv1 = nn.Conv2d(in_channels, stem, window, stride=2, padding=window // 2, bias=False)
    initialise_convolutions(net.conv1)
    if size == "small":
        net.maxpool = nn.Identity()
        net.layer4 = nn.Identity()
    return net


def stages(net: nn.Module) -> list[str]:
    """Names of the residual stages that the network has: a small one has no fourth."""
    return [
        name
        for name, module in net.named_children()
        if name.startswith("layer") and isinstance(module, nn.Sequential)
    ]


def initialise_convolutions(layer: nn.Module) -> None:
    """Draw every convolution and FC weight of `layer` as timm draws a ResNet's convolutions.

    Biases stay as they are. The authors' DDF branches start this way, being part of such a network.
    """
    for module in layer.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
