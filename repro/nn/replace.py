"""Put another layer where a network has convolutions, and say which ones were replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


@dataclass(frozen=True)
class Replacement:
    """One layer that gave way: its name in the network, what stood there, what stands now."""

    name: str
    old: str
    new: str
    params_before: int
    params_after: int


def replace_convs(
    model: nn.Module,
    layer: Callable[[nn.Conv2d], nn.Module],
    where: Callable[[str, nn.Conv2d], bool],
) -> list[Replacement]:
    """Replace, in place, every convolution of `model` that `where` picks.

    A convolution that the network uses under several names is replaced by one shared layer. The new
    layer goes to the device and dtype of the old one and takes its training mode.

    Args:
        model: searched through; must not itself be a convolution.
        layer: makes the replacement, given the convolution (`DDF.from_conv`, for one).
        where: given the name and the convolution, says whether it is to go.
    Returns:
        One `Replacement` for each name, in the order of `model.named_modules()`.
    Raises:
        ValueError: `model` is itself a convolution, or `where` picked none; the message lists some
            that there are.
    """
    return replace_layers(model, layer, where, kind=nn.Conv2d)


def replace_layers(
    model: nn.Module,
    layer: Callable[[Layer], nn.Module],
    where: Callable[[str, Layer], bool],
    *,
    kind: type[Layer],
) -> list[Replacement]:
    """`replace_convs` for layers of any kind that has a weight: `nn.Linear`, for one."""
    what = "convolution" if kind is nn.Conv2d else kind.__name__
    if isinstance(model, kind):
        raise ValueError(f"the model is itself a {what}: call the layer on it instead")
    found = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, kind)
    ]
    chosen = [(name, old) for name, old in found if where(name, old)]
    if not chosen:
        some = "; ".join(f"{name}: {old}" for name, old in found[:3])
        raise ValueError(f"where picked none of {len(found)} {what}s ({some} ...)")
    made: dict[nn.Module, nn.Module] = {}
    report = []
    for name, old in chosen:
        if old not in made:
            made[old] = _like(old, layer(old))
        new = made[old]
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, new)
        report.append(Replacement(name, str(old), _first_line(new), _params(old), _params(new)))
    return report


def is_spatial(name: str, conv: nn.Conv2d) -> bool:
    """Whether a convolution looks at neighbours and keeps its channels: what DDF can replace.

    In a bottleneck ResNet, the 3x3 convolution of each block and nothing else (DDF, Fig. 4).
    """
    return min(conv.kernel_size) > 1 and conv.in_channels == conv.out_channels and conv.groups == 1


def _like(old: nn.Module, new: nn.Module) -> nn.Module:
    weight = next(old.parameters())
    return new.to(weight.device, weight.dtype).train(old.training)


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _first_line(module: nn.Module) -> str:
    """`DDF(64, kernel_size=3, ...)`, without the lines of its parts."""
    return f"{type(module).__name__}({module.extra_repr()})"
