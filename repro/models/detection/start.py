"""How a detector starts: from ImageNet weights, or from scratch with a norm of one's choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from repro.models.detection.build import build_detector
from repro.models.detection.registry import DETECTORS
from repro.names import require_known
from repro.paths import resolve

NORMS = ("batch", "group")
_CHANNELS_PER_GROUP = 8


def start_detector(
    name: str, *, norm: str = "batch", weights: str | Path | None = None, **options: Any
) -> nn.Module:
    """A detector as `build_detector` makes it, with two more choices.

    Args:
        norm: of the body: "batch", as printed, or "group", which does not depend on how many images
            a step has.
        weights: folder of ImageNet weights, see `weights_file`; a relative one lies in the
            repository. None starts from scratch.
        options: of `build_detector`.
    Raises:
        UnknownNameError: no such detector, size or norm.
        FileNotFoundError: the folder has no weights for it.
        ValueError: group norm for weights that were trained with batch norm.
    """
    require_known("norm", norm, NORMS)
    if norm == "group" and weights is not None:
        raise ValueError("weights were trained with batch norm; norm='group' cannot start from any")
    file = None if weights is None else weights_file(name, resolve(weights))
    model: nn.Module = build_detector(name, weights=file, **options)
    if norm == "group":
        to_group_norm(model.get_submodule("backbone.body"))
    return model


def weights_file(name: str, folder: Path) -> Path:
    """The weights that a detector starts from: `<body>.pt`, for a ResNet else `resnet50.pt`.

    FDConv, CondConv, DY-Conv and ODConv can start from the plain network; see
    `repro.models.detection.backbone.load_weights`.

    Raises:
        UnknownNameError: no such detector.
        FileNotFoundError: neither is there.
    """
    detector = DETECTORS[require_known("detector", name, DETECTORS)]
    names = [detector.body, "resnet50"] if detector.is_resnet else [detector.body]
    files = [folder / f"{body}.pt" for body in dict.fromkeys(names)]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        wanted = " or ".join(str(file) for file in files)
        raise FileNotFoundError(f"weights of {name} must lie in {wanted}")
    return found


def to_group_norm(module: nn.Module) -> nn.Module:
    """Replace every batch norm within a module, in place; scales and shifts start at 1 and 0.

    The attentions of FDConv, ODConv and their like are meant: their batch norm sees one value an
    image, so that with two images it knows nothing but which of both is the larger.

    Returns:
        The module itself.
    Source: Wu and He, Group Normalization (arXiv 1803.08494).
    Deviates: groups of at least 8 channels, not 32 groups: a narrow network has as few as 4
        channels, and a group of one pooled value would always be 0.
    """
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, nn.GroupNorm(_groups(child.num_features), child.num_features))
        else:
            to_group_norm(child)
    return module


def _groups(channels: int) -> int:
    """The most groups that hold at least 8 channels each; 1 where there are fewer."""
    most = max(channels // _CHANNELS_PER_GROUP, 1)
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)
