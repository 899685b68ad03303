"""Networks of the papers' tables, built by name."""

from __future__ import annotations

from typing import cast

from torch import nn

from repro.models.resnet import build_resnet, stages
from repro.models.systems import LAYERS, PLACES, SYSTEMS, System
from repro.models.timm_names import register_with_timm
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
        size: "full" is the paper's network for 224 x 224 inputs; "narrow" and "small" have the same
            blocks, fewer and narrower, for maps of 128 to 256 pixels and for 32 x 32 inputs on a
            CPU: see `repro.models.resnet.build_resnet`.
    Returns:
        A module from (N, in_channels, H, W) to (N, num_classes). `torch.manual_seed` fixes its
        start; within `torch.device("meta")` it costs no memory.
    Raises:
        UnknownNameError: no such network or size; the message has the nearest names.
    """
    system = SYSTEMS[require_known("method", name, SYSTEMS)]
    return build_system(system, num_classes=num_classes, in_channels=in_channels, size=size)


def build_system(
    system: System, *, num_classes: int = 1000, in_channels: int = 3, size: str = "full"
) -> nn.Module:
    """What `build` returns, for a system that need not have a name."""
    net = build_resnet(
        system.body,
        num_classes=num_classes,
        in_channels=in_channels,
        size=size,
        width=system.width,
        **system.body_options,
    )
    if system.change is not None:
        system.change(net)
    if system.layer is not None:
        place_layers(net, system)
    return cast(nn.Module, net)


def place_layers(net: nn.Module, system: System) -> None:
    """Replace the convolutions that `system` names."""
    make = LAYERS[cast(str, system.layer)]
    chosen = tuple(f"{stage}." for stage in stages(net)[slice(*system.stages)])

    def where(name: str, conv: nn.Conv2d) -> bool:
        return name.startswith(chosen) and PLACES[system.where](name, conv)

    replace_convs(net, lambda conv: make(conv, **system.options), where)


register_with_timm(names(), build)

__all__ = ["SYSTEMS", "System", "build", "build_system", "names", "place_layers"]
