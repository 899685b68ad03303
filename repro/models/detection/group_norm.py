"""Group norm in place of batch norm, for training from scratch with a few images a step."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = ("batch", "group")
_CHANNELS_PER_GROUP = 8


def to_group_norm(module: nn.Module) -> nn.Module:
    """Replace every batch norm within a module, in place; scales and shifts start at 1 and 0.

    The attentions of FDConv, ODConv and their like are meant: their batch norm sees one value an
    image, so that with two images it knows nothing but which of both is the larger.

    Returns:
        The module itself.
    Source: Wu and He, Group Normalization (arXiv 1803.08494).
    Deviates: groups of 8 channels and more where 8 does not divide them, not 32 groups: narrow
        networks have as few as 4 channels, and a group of one pooled value would always be 0.
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
