"""Plain convolutions and checkpoints to CondConv, DY-Conv and ODConv, and back.

With their attention at rest these layers mix their kernels in fixed shares, whatever the input and
the temperature: so they can start as a trained convolution, and a pretrained network stays one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from repro.nn.condconv import CondConv2d
from repro.nn.dyconv import DYConv2d
from repro.nn.odconv import ODConv2d
from repro.nn.state_dicts import State, checked, owner

Mixture = CondConv2d | DYConv2d | ODConv2d


def to_mixture(
    conv: nn.Conv2d, layer: type[Mixture] = CondConv2d, *, spread: float = 0.1, **options: Any
) -> Mixture:
    """The layer that computes what `conv` computes, until it is trained.

    Args:
        conv: see `DynamicConv2d.from_conv`.
        layer: `CondConv2d`, `DYConv2d` or `ODConv2d`.
        spread: how far the kernels lie apart, relative to their own size. Equal ones would have
            equal gradients and stay equal; these differ by noise that cancels in their sum.
        options: of the layer: experts, kernels, squeeze_ratio, temperature.
    Raises:
        TypeError: `layer` is none of the three.
        ValueError: spread is negative, and what `from_conv` raises.
    Deviates: the papers train from scratch, and do not say how to go on from a static kernel.
    """
    if layer not in (CondConv2d, DYConv2d, ODConv2d):
        raise TypeError(f"layer must be CondConv2d, DYConv2d or ODConv2d, got {layer}")
    new = layer.from_conv(conv, **options).to(conv.weight.device, conv.weight.dtype)
    start = _start(new, conv.weight.detach(), None if conv.bias is None else conv.bias.detach())
    spread_out(start["weight"], spread)
    new.load_state_dict({**new.state_dict(), **start})
    new.train(conv.training)
    return new


def to_plain_conv(layer: Mixture) -> nn.Conv2d:
    """Undo `to_mixture`: the convolution whose kernel the attention at rest mixes.

    Of a trained layer this leaves out what depends on the input.

    Raises:
        TypeError: `layer` is neither a CondConv2d nor a DYConv2d nor an ODConv2d.
    """
    if not isinstance(layer, Mixture):
        raise TypeError(
            f"layer must be CondConv2d, DYConv2d or ODConv2d, got {type(layer).__name__}"
        )
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    settings: dict[str, Any] = {name: getattr(layer, name) for name in (*names, "groups")}
    plain = nn.Conv2d(**settings, bias=layer.bias is not None)
    plain.to(layer.weight.device, layer.weight.dtype)
    plain.load_state_dict({name: _at_rest(layer, name) for name in plain.state_dict()})
    return plain.train(layer.training)


def to_mixture_state_dict(state: State, model: nn.Module, *, spread: float = 0.1) -> State:
    """A plain network's checkpoint, as `model`, which has such layers in some places, can load it.

    Args:
        state: of the network that `model` was before layers were replaced: torchvision's or timm's.
        model: what only its layers have, the trunk of ODConv for one, stays as it is there.
        spread: see `to_mixture`.
    Raises:
        KeyError: entries are missing, or belong to nothing; the message names them.
        ValueError: an entry has another shape; the message names it.
    """
    layers = mixtures(model)
    wanted = model.state_dict()
    found = {name: value for name, value in wanted.items() if owner(name, layers)[0] is not None}
    for name, tensor in state.items():
        prefix, entry = owner(name, layers)
        if prefix is None or entry not in ("weight", "bias"):
            found[name] = tensor
    for prefix, layer in layers.items():
        missing = [entry for entry in _plain_entries(layer) if f"{prefix}.{entry}" not in state]
        if missing:
            raise KeyError(f"missing: {', '.join(f'{prefix}.{entry}' for entry in missing)}")
        weight, bias = state[f"{prefix}.weight"], state.get(f"{prefix}.bias")
        if weight.shape != layer.kernel_shape:
            raise ValueError(
                f"{prefix}.weight must be {layer.kernel_shape}, got {tuple(weight.shape)}"
            )
        if bias is not None and layer.bias is None:
            raise KeyError(f"belonging to nothing: {prefix}.bias")
        start = _start(layer, weight, bias)
        spread_out(start["weight"], spread)
        found |= {f"{prefix}.{entry}": value for entry, value in start.items()}
    return checked(found, wanted)


def to_static_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The checkpoint of the plain network that `model` was before layers were replaced.

    Of trained layers it holds the kernel that the attention at rest mixes.
    """
    layers = mixtures(model)
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        prefix, entry = owner(name, layers)
        if prefix is None:
            state[name] = tensor
        elif entry in ("weight", "bias"):
            state[name] = _at_rest(layers[prefix], entry)
    return state


def mixtures(model: nn.Module) -> dict[str, Mixture]:
    """Every CondConv2d, DYConv2d and ODConv2d of a network, by its name."""
    return {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Mixture)
    }


def spread_out(kernels: Tensor, spread: float) -> None:
    """Move kernels (E, ...) apart by noise of `spread` times their deviation; their sum stays.

    Raises:
        ValueError: spread is negative.
    """
    if spread < 0:
        raise ValueError(f"spread must not be negative, got {spread}")
    if kernels.shape[0] > 1 and spread > 0:
        noise = torch.randn_like(kernels) * spread * kernels.std()
        kernels += noise - noise.mean(0)


def _share(layer: Mixture) -> float:
    """What one kernel is multiplied by while the attention is at rest, its scores all zero."""
    kernels = layer.weight.shape[0]
    if isinstance(layer, CondConv2d):
        return 0.5  # each sigmoid
    if isinstance(layer, DYConv2d):
        return 1 / kernels
    gates = 1 + (layer.filter is not None) + (layer.spatial is not None)
    return 0.5**gates / kernels


def _heads(layer: Mixture) -> dict[str, nn.Linear]:
    """The linear layers that make scores, by name."""
    if isinstance(layer, CondConv2d):
        return {"route": layer.route}
    names = ("attention.2",) if isinstance(layer, DYConv2d) else _ODCONV_HEADS
    modules = dict(layer.named_modules())
    return {name: head for name in names if isinstance(head := modules.get(name), nn.Linear)}


_ODCONV_HEADS = ("channel", "filter", "spatial", "kernel")


def _plain_entries(layer: Mixture) -> tuple[str, ...]:
    return ("weight",) if layer.bias is None else ("weight", "bias")


def _start(layer: Mixture, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
    """The layer's own entries with which it computes a convolution: equal kernels, zero scores."""
    parts = layer.weight.shape[0]
    share = parts * _share(layer)
    start = {"weight": (weight.to(layer.weight) / share).repeat(parts, 1, 1, 1, 1)}
    if bias is not None and layer.bias is not None:
        static = isinstance(layer, ODConv2d)
        start["bias"] = bias.clone() if static else (bias / share).repeat(parts, 1)
    for name, head in _heads(layer).items():
        start |= {f"{name}.{key}": torch.zeros_like(p) for key, p in head.state_dict().items()}
    return start


def _at_rest(layer: Mixture, entry: str) -> Tensor:
    """The weight or bias that the attention at rest mixes."""
    tensor: Tensor = getattr(layer, entry).detach()
    if entry == "bias" and isinstance(layer, ODConv2d):
        return tensor
    return _share(layer) * tensor.sum(0)
