"""Plain layers and checkpoints to FDConv and back, and checkpoints of FDConv's authors.

At the start of attention and factors an FDConv computes what the plain layer computes, so that a
pretrained network stays one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from repro.nn.fdconv import CONV_SETTINGS, FDConv, FDLinear
from repro.nn.fourier_weight import FourierWeight
from repro.nn.state_dicts import State, checked, owner

# Names inside a layer of the authors' checkpoints, and ours.
_AUTHORS_NAMES = {
    "KSM_Global.fc.": "global_modulation.trunk.",
    "KSM_Global.bn.": "global_modulation.norm.",
    "KSM_Global.relu.scale": "global_modulation.activation.scale",
    "KSM_Global.relu.bias": "global_modulation.activation.shift",
    "KSM_Global.channel_fc.": "global_modulation.channel_head.",
    "KSM_Global.filter_fc.": "global_modulation.filter_head.",
    "KSM_Global.spatial_fc.": "global_modulation.spatial_head.",
    "KSM_Global.kernel_fc.": "global_modulation.kernel_head.",
    "KSM_Local.norm.": "local_modulation.norm.",
    "KSM_Local.conv.weight": "local_modulation.filter",
}
_AUTHORS_MAPS = "FBM.freq_weight_conv_list."
_AUTHORS_BUFFERS = ("indices", "FBM.cached_masks")  # made again by every layer


def to_fdconv(layer: nn.Module, **options: Any) -> FDConv | FDLinear:
    """The FDConv or FDLinear that computes what `layer` computes, until it is trained.

    Args:
        layer: `nn.Conv2d` or `nn.Linear`.
        options: of `FDConv` or `FDLinear`.
    Raises:
        TypeError: `layer` is neither.
    """
    if isinstance(layer, nn.Conv2d):
        conv = FDConv.from_conv(layer, **options)
        conv.train(layer.training)
        return conv
    if isinstance(layer, nn.Linear):
        linear = FDLinear.from_linear(layer, **options)
        linear.train(layer.training)
        return linear
    raise TypeError(f"to_fdconv takes Conv2d or Linear, got {type(layer).__name__}")


def to_plain(layer: FDConv | FDLinear) -> nn.Conv2d | nn.Linear:
    """Undo `to_fdconv`: the plain layer with the weight that attention at its start gives.

    Of a trained layer this leaves out what depends on the input.

    Raises:
        TypeError: `layer` is neither an FDConv nor an FDLinear.
    """
    if not isinstance(layer, FDConv | FDLinear):
        raise TypeError(f"to_plain takes FDConv or FDLinear, got {type(layer).__name__}")
    weight = layer.static_weight().detach()
    settings: dict[str, Any] = {
        "bias": layer.bias is not None,
        "device": weight.device,
        "dtype": weight.dtype,
    }
    plain: nn.Conv2d | nn.Linear
    if isinstance(layer, FDConv):
        settings |= {name: getattr(layer, name) for name in CONV_SETTINGS}
        plain = nn.Conv2d(**settings)
    else:
        plain = nn.Linear(layer.in_features, layer.out_features, **settings)
    plain.weight.data.copy_(weight.reshape(plain.weight.shape))
    if plain.bias is not None and layer.bias is not None:
        plain.bias.data.copy_(layer.bias)
    return plain.train(layer.training)


def to_fdconv_state_dict(state: State, model: nn.Module) -> dict[str, Tensor]:
    """A plain network's checkpoint, as `model`, which has FDConv in some places, can load it.

    What only FDConv has stays as it is in `model`.

    Args:
        state: of the network that `model` was before layers were replaced (torchvision's or timm's
            ResNet, ConvNeXt, Swin: names are theirs).
    Raises:
        KeyError: entries are missing, or belong to nothing; the message names them.
        ValueError: an entry has another shape; the message names it.
    """
    layers = fourier_layers(model)
    wanted = model.state_dict()
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        prefix, _, entry = name.rpartition(".")
        layer = layers.get(prefix)
        if layer is None or entry != "weight":
            found[name] = tensor
            continue
        # A linear layer's weight gets two axes of one.
        weight = tensor[..., None, None] if tensor.dim() == 2 else tensor
        if weight.shape != layer.weight_shape:
            raise ValueError(f"{name} must be {layer.weight_shape}, got {tuple(tensor.shape)}")
        if layer.is_plain:
            found[name] = weight
        else:
            stored = layer.store(weight.to(layer.dft_weight))
            found[f"{prefix}.dft_weight"] = stored.expand_as(layer.dft_weight).contiguous()
    own = {
        f"{prefix}.{name}"
        for prefix, layer in layers.items()
        for name in layer.state_dict()
        if name not in ("dft_weight", "weight", "bias")
    }
    return checked({**{name: wanted[name] for name in own}, **found}, wanted)


def to_plain_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The checkpoint of the plain network that `model` was before layers were replaced.

    Of trained layers it holds the weight that attention at its start gives.
    """
    layers = fourier_layers(model)
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        prefix, entry = owner(name, layers)
        if prefix is None:
            state[name] = tensor
            continue
        if entry in ("dft_weight", "weight"):
            weight = layers[prefix].static_weight().detach()
            is_linear = isinstance(layers[prefix], FDLinear)
            state[f"{prefix}.weight"] = weight[..., 0, 0] if is_linear else weight
        elif entry == "bias":
            state[name] = tensor
    return state


def from_authors_state_dict(state: State, model: nn.Module) -> dict[str, Tensor]:
    """A checkpoint of the authors' FDConv network, as `model` can load it.

    Layers' own entries are `dft_weight` and `bias`, and those of their parts KSM_Global, KSM_Local
    and FBM. Buffers that a layer makes for itself are left out.

    Raises:
        KeyError, ValueError: as `to_fdconv_state_dict`.
    """
    layers = fourier_layers(model)
    wanted = model.state_dict()
    found: dict[str, Tensor] = {}
    maps: dict[str, dict[int, Tensor]] = {}
    for name, tensor in state.items():
        prefix, entry = owner(name, layers)
        if prefix is None or entry in ("dft_weight", "weight", "bias"):
            found[name] = tensor
        elif entry.startswith(_AUTHORS_MAPS):
            band, _, kind = entry.removeprefix(_AUTHORS_MAPS).partition(".")
            maps.setdefault(f"{prefix}.band_modulation.maps.{kind}", {})[int(band)] = tensor
        elif entry not in _AUTHORS_BUFFERS:
            ours = f"{prefix}.{_our_name(entry)}"
            # Their FCs are 1x1 convolutions, their local filters those of a 1-D convolution.
            shape = wanted[ours].shape if ours in wanted else tensor.shape
            found[ours] = tensor.reshape(shape) if tensor.numel() == shape.numel() else tensor
    for name, bands in maps.items():
        stacked = torch.stack([bands[b] for b in sorted(bands)], 1)  # (map groups, bands, ...)
        found[name] = stacked.flatten(0, 1)
    return checked(found, wanted)


def fourier_layers(model: nn.Module) -> dict[str, FourierWeight]:
    """Every FDConv and FDLinear of a network, by its name."""
    return {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, FourierWeight)
    }


def _our_name(entry: str) -> str:
    for theirs, ours in _AUTHORS_NAMES.items():
        if entry.startswith(theirs):
            return ours + entry.removeprefix(theirs)
    return entry
