"""Pretrained weights of a segmenter, or of its backbone alone, from a file or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from repro.models.segmentation.backbones import (
    STAGES,
    from_torchvision_resnet,
    quietly,
    transformers,
)
from repro.nn import to_fdconv_state_dict, to_mixture_state_dict
from repro.nn.fdconv_conversion import fourier_layers
from repro.nn.mixture_conversion import mixtures
from repro.nn.state_dicts import checked

# Keys under which training scripts file a network's state beside their own.
_WRAPPERS = ("state_dict", "model", "module")


def load_weights(model: nn.Module, backbone: nn.Module, path: str | Path) -> str:
    """Load a checkpoint into a segmenter, or into its backbone.

    The file may be of the network as it is, or of the plain network that it was before FDConv or
    ODConv was placed; with names of the transformers library, as the installed version gives them,
    or for a ResNet backbone with those of torchvision or timm.

    Args:
        model: the segmenter.
        backbone: its part that makes the feature maps.
        path: a .pt or .pth file that `torch.save` wrote, a .safetensors file, or a folder that
            transformers wrote (`save_pretrained`, or a copy of a model of its hub): a network of
            the same kind, or any model of the backbone's kind.
    Returns:
        What the file held: "segmenter", "network" (the library's, inside of ours) or "backbone".
    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: this is no checkpoint, or an entry has another shape; the message names it.
        KeyError: entries are missing, or belong to nothing; the message names them.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no weights at {path}")
    inner = getattr(model, "network", None)
    networks = [backbone] if inner is None else [inner, backbone]
    state = read_folder(path, *networks) if path.is_dir() else read_state(path)
    parts: dict[str, tuple[nn.Module, Mapping[str, Tensor]]] = {
        "segmenter": (model, state),
        "backbone": (backbone, from_torchvision_resnet(state)),
    }
    if inner is not None:
        parts["network"] = (inner, state)
    # The file is of the part whose plain names it shares most, by share of the part's own.
    shares = {
        name: len(_plain_names(module) & set(entries)) / len(_plain_names(module))
        for name, (module, entries) in parts.items()
    }
    found = max(shares, key=lambda name: shares[name])
    module, entries = parts[found]
    try:
        module.load_state_dict(_converted(entries, module))
    except (KeyError, ValueError) as error:
        raise type(error)(f"{path} does not fit the {found}: {error.args[0]}") from None
    return found


def read_state(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a checkpoint file.

    Raises:
        ValueError: the file holds something else.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has its own kinds
        raise ValueError(f"{path} is no checkpoint: {error}") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise ValueError(f"{path} holds no mapping from names to tensors")
    return dict(content)


def read_folder(folder: Path, *networks: Any) -> dict[str, Tensor]:
    """Names and tensors of a model that transformers saved, as its installed version names them.

    Args:
        networks: of the library; the first that is of the model's kind tells how to read it.
    Raises:
        ValueError: there is no config.json, the library cannot read it, or no network is of this
            kind.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} is no checkpoint: it has no config.json")
    kinds = {net.config.model_type: type(net) for net in reversed(networks)}
    try:
        kind = transformers().AutoConfig.from_pretrained(folder).model_type
        if kind not in kinds:
            raise ValueError(f"it holds a {kind}, expected one of {', '.join(sorted(kinds))}")
        options = (
            {"out_features": list(STAGES)} if kinds[kind].__name__.endswith("Backbone") else {}
        )
        with quietly():
            found = kinds[kind].from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{folder} cannot be read: {error}") from error
    return dict(found.state_dict())


def _converted(state: Mapping[str, Tensor], module: nn.Module) -> Mapping[str, Tensor]:
    """`state` as `module` can load it, whether or not it is from before layers were placed."""
    wanted = module.state_dict()
    if fourier_layers(module) and not any(name.endswith("dft_weight") for name in state):
        return to_fdconv_state_dict(state, module)
    placed = mixtures(module)
    if placed and not any(name in state for name in _own_names(placed)):
        return to_mixture_state_dict(state, module)
    return checked(state, wanted)


def _own_names(placed: Mapping[str, nn.Module]) -> set[str]:
    """Entries that only a mixture has, not the convolution that was there before."""
    return {
        f"{prefix}.{name}"
        for prefix, layer in placed.items()
        for name in layer.state_dict()
        if name not in ("weight", "bias")
    }


def _plain_names(module: nn.Module) -> set[str]:
    """Entries that the network has with and without placed layers."""
    prefixes = tuple(f"{name}." for name in {**fourier_layers(module), **mixtures(module)})
    return {name for name in module.state_dict() if not (prefixes and name.startswith(prefixes))}
