"""Networks of the papers' tables, built by name."""

from __future__ import annotations

from typing import cast

from torch import nn

from repro.models.resnet import build_resnet
from repro.models.systems import LAYERS, PLACES, SYSTEMS, System
from repro.names import require_known
from repro.nn import replace_convs


def names() -> list[str]:
    """Every name that `build` takes, in the order of the registry."""
    return list(SYSTEMS)


def build(
    name: str, *, num_classes: int = 1000, in_channels: int = 3, size: str = "full"
) -> nn.Module:
    """A network of the tables, freshly initialised.

    Args:
        name: a `system` id of the fact sheets, or one of the extra ablations; see `names()`.
        num_classes: outputs.
        in_channels: 3 for colour, 1 for grey.
        size: "full" is the paper's network for 224 x 224 inputs; "small" has the same blocks with a
            3x3 stem and fewer, narrower stages, for 32 x 32 inputs on a CPU.
    Returns:
        A module from (N, in_channels, H, W) to (N, num_classes). `torch.manual_seed` fixes its
        start; within `torch.device("meta")` it costs no memory.
    Raises:
        UnknownNameError: no such network or size; the message has the nearest names.
    """
    system = SYSTEMS[require_known("method", name, SYSTEMS)]
    net = build_resnet(system.body, num_classes=num_classes, in_channels=in_channels, size=size)
    if system.layer is not None:
        place_layers(net, system)
    return cast(nn.Module, net)


def place_layers(net: nn.Module, system: System) -> None:
    """Replace the convolutions that `system` names."""
    make = LAYERS[cast(str, system.layer)]
    replace_convs(net, lambda conv: make(conv, **system.options), PLACES[system.where])


__all__ = ["SYSTEMS", "System", "build", "names", "place_layers"]
