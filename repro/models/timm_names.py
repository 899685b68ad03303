"""Let `timm.create_model` build our networks, by the names that `repro.models.build` takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from timm.models import is_model, register_model
from torch import nn


def register_with_timm(names: Iterable[str], build: Callable[..., nn.Module]) -> None:
    """Register every network that timm does not know by that name.

    `resnet50`, `resnext50_32x4d` and the like stay timm's own: they are the same networks, and timm
    has weights for them.
    """
    for name in names:
        if not is_model(name):
            register_model(_entry_point(name, build))


def _entry_point(name: str, build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def entry_point(
        pretrained: bool = False,
        num_classes: int = 1000,
        in_chans: int = 3,
        size: str = "full",
        **unused: Any,
    ) -> nn.Module:
        if pretrained:
            raise ValueError(f"pretrained must be False: there are no weights for {name!r}")
        given = sorted(key for key, value in unused.items() if value is not None)
        if given:
            raise ValueError(f"{name!r} takes num_classes, in_chans and size, got {given}")
        return build(name, num_classes=num_classes, in_channels=in_chans, size=size)

    # timm files an entry point under its own name and its module's.
    entry_point.__name__ = name
    entry_point.__module__ = __name__
    setattr(sys.modules[__name__], name, entry_point)
    return entry_point
