"""Checkpoints of DDF's authors, under our names.

Their networks are timm's ResNets with a `DDFPack` for `conv2`; its branches are `nn.Sequential`s,
so that their entries have numbers for names.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from repro.nn.ddf import DDF
from repro.nn.state_dicts import State, checked, owner

_CHANNEL = {
    "channel_branch.1.": "channel_branch.squeeze.",
    "channel_branch.3.": "channel_branch.excite.",
    "channel_branch.4.std": "channel_branch.norm.scale",
}
_SPATIAL = {"spatial_branch.0.": "spatial_branch.pointwise."}
# Where a convolution of its own comes first (their gen_kernel_size above 1).
_SPATIAL_AFTER_DEPTHWISE = {
    "spatial_branch.0.": "spatial_branch.depthwise.",
    "spatial_branch.1.": "spatial_branch.pointwise.",
}


def from_ddf_authors_state_dict(checkpoint: State | dict[str, Any], model: nn.Module) -> State:
    """A released checkpoint (`ddf_mul_resnet50` and its like), as `model` can load it.

    Args:
        checkpoint: a state dict, or a file's content that holds one under "state_dict"; names may
            start with "module.", as those of a network trained on several GPUs do.
        model: `build("ddf_resnet50")` for mul, `build("ddf_add_resnet50")` for add, or any network
            with `DDF` layers in the same places.
    Raises:
        KeyError: entries are missing, or belong to nothing; the message names them.
        ValueError: an entry has another shape; the message names it.
    Source: the authors' `ddf_resnet.py` and `DDFPack`. The names are of their code; the files
        themselves were not at hand.
    """
    state: State = checkpoint.get("state_dict", checkpoint)  # type: ignore[assignment]
    layers = {name: module for name, module in model.named_modules() if isinstance(module, DDF)}
    wanted = model.state_dict()
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.removeprefix("module.")
        prefix, entry = owner(name, layers)
        if prefix is not None:
            name = f"{prefix}.{_our_name(entry, layers[prefix])}"
            # Their FCs are 1x1 convolutions, their scales one vector.
            shape = wanted[name].shape if name in wanted else tensor.shape
            tensor = tensor.reshape(shape) if tensor.numel() == shape.numel() else tensor
        found[name] = tensor
    return checked(found, wanted)


def _our_name(entry: str, layer: DDF) -> str:
    branch = layer.spatial_branch
    has_depthwise = branch is not None and branch.depthwise is not None
    names = _CHANNEL | (_SPATIAL_AFTER_DEPTHWISE if has_depthwise else _SPATIAL)
    for theirs, ours in names.items():
        if entry.startswith(theirs):
            return ours + entry.removeprefix(theirs)
    return entry
