"""The learned methods of Table 7 by name, the variants of the ablation, and what they cost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from repro.complexity import count
from repro.models.joint_upsampling.ddf_up_net import DDFUpNet
from repro.models.joint_upsampling.djf import DJF
from repro.models.joint_upsampling.dmsg import DMSG
from repro.models.joint_upsampling.inputs import stage_count
from repro.models.joint_upsampling.pac_net import PACNet, pac_net_lite
from repro.names import require_known


@dataclass(frozen=True)
class Upsampler:
    """One learned method.

    Attributes:
        label: in tables and figures.
        source: where it was published; what is ours says so.
        make: from the factor and `options` to the network.
        options: that make it this method.
        is_variant: it belongs to the ablation, not to Table 7.
        loss: what it is trained with instead of the run's loss; None changes nothing.
        enlarges: it interpolates the depth itself, and must know where the samples lie.
    """

    label: str
    source: str
    make: Callable[..., nn.Module]
    options: Mapping[str, Any] = field(default_factory=dict)
    is_variant: bool = False
    enlarges: bool = False
    loss: str | None = None


_PAC = "Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019 (arXiv 1904.05373)"
_DDF = "Zhou et al., Decoupled Dynamic Filter Networks, CVPR 2021 (arXiv 2104.14107)"


def _variant(label: str, **options: Any) -> Upsampler:
    return Upsampler(f"DDF-Up-Net, {label}", "a variant of ours", DDFUpNet, options, True)


UPSAMPLERS: Mapping[str, Upsampler] = MappingProxyType(
    {
        "dmsg": Upsampler(
            "DMSG",
            "Hui et al., Depth Map Super-Resolution by Deep Multi-Scale Guidance, ECCV 2016",
            DMSG,
            enlarges=True,
        ),
        "djf": Upsampler(
            "DJF", "Li et al., Deep Joint Image Filtering, ECCV 2016", DJF, enlarges=True
        ),
        "djf_plus": Upsampler(
            "DJF+",
            "Li et al., Joint Image Filtering with Deep Convolutional Networks, TPAMI 2019 "
            "(arXiv 1710.04200)",
            DJF,
            {"residual": True},
            enlarges=True,
        ),
        "pac_net": Upsampler("PAC-Net", _PAC, PACNet),
        "pac_net_lite": Upsampler("PAC-Net-lite", _PAC, pac_net_lite),
        "ddf_up_net": Upsampler("DDF-Up-Net", _DDF, DDFUpNet),
        "ddf_up_net_no_guidance": _variant("no guidance", use_guidance=False),
        "ddf_up_net_spatial_only": _variant("spatial filters only", use_channel=False),
        "ddf_up_net_kernel_5": _variant("5x5 filters", kernel_size=5),
        "ddf_up_net_add": _variant("filters added", kernel_combine="add"),
        "ddf_up_net_narrow": _variant("half the width", width=16, guidance_channels=8),
        "ddf_up_net_l1": replace(_variant("trained with L1"), loss="l1"),
    }
)


def learned_names(*, variants: bool = False) -> list[str]:
    """Names of the learned methods, in Table 7's order; with `variants`, the ablation's as well."""
    return [name for name, entry in UPSAMPLERS.items() if variants or not entry.is_variant]


def build_upsampler(
    method: str, factor: int, *, offset: float | None = None, **options: Any
) -> nn.Module:
    """A network for joint upsampling, freshly initialised.

    Args:
        method: a name of `UPSAMPLERS`.
        factor: a power of two, at least 2.
        offset: where the first low-resolution sample lies, in pixels of the output, for networks
            that enlarge the depth; the others learn it. None is (factor - 1) // 2.
        options: of the network's class; they win over the method's own.
    Returns:
        A module from low (N, 1, h, w) and rgb (N, 3, factor * h, factor * w) to
        (N, 1, factor * h, factor * w). `torch.manual_seed` fixes its start.
    Raises:
        UnknownNameError: no such method; the message has the nearest names.
        ValueError: another factor.
    """
    entry = UPSAMPLERS[require_known("learned upsampling method", method, UPSAMPLERS)]
    stage_count(factor)
    where = {"offset": offset} if entry.enlarges else {}
    return entry.make(factor, **{**entry.options, **where, **options})


@functools.cache
def upsampler_costs(
    method: str, factor: int, height: int = 480, width: int = 640
) -> Mapping[str, int]:
    """Exact parameters and operations of one image, without running the network.

    Args:
        height, width: of the output, multiples of `factor`.
    Returns:
        "params", and "macs": multiply-accumulates (the convention "mac" of `repro.complexity`).
    Raises:
        UnknownNameError: no such method.
        ValueError: another factor, or a size that it does not divide.
        NotImplementedError: the network runs an operator that has no counting rule.
    """
    with torch.device("meta"):
        net = build_upsampler(method, factor)
    if height % factor or width % factor:
        raise ValueError(f"{height}x{width} is no multiple of factor {factor}")
    cost = count(net, (1, 1, height // factor, width // factor), (1, 3, height, width))
    if cost.uncounted:
        raise NotImplementedError(f"{method}: no counting rule for {', '.join(cost.uncounted)}")
    return MappingProxyType({"params": cost.params, "macs": cost.macs})
