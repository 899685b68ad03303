"""Networks by their `system` id in the papers' tables: a body, and what replaces its convolutions.

Adding a system is adding a line to `SYSTEMS`; adding a kind of layer is adding one to `LAYERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from repro.models.resnet import initialise_convolutions
from repro.nn import DDF, FDConv, is_in_residual_block, is_spatial


def ddf_from_conv(conv: nn.Conv2d, **options: Any) -> nn.Module:
    """A DDF whose branches start as timm starts its own convolutions."""
    layer = DDF.from_conv(conv, **options)
    initialise_convolutions(layer)
    return layer


# Layer name -> how to make it from the convolution it replaces, with options.
LAYERS: dict[str, Callable[..., nn.Module]] = {
    "ddf": ddf_from_conv,
    "fdconv": FDConv.from_conv,  # goes on from the convolution's own start
}

# Name of a choice of convolutions -> the choice, as `replace_convs` takes it.
PLACES: dict[str, Callable[[str, nn.Conv2d], bool]] = {
    "spatial": is_spatial,
    "residual_blocks": is_in_residual_block,
}


@dataclass(frozen=True)
class System:
    """One network of the tables.

    Attributes:
        body: a name of `repro.models.resnet.BODIES`.
        layer: a name of `LAYERS`, or None for the body as it is.
        where: a name of `PLACES`: which convolutions the layer replaces.
        options: further arguments of the layer.
    """

    body: str
    layer: str | None = None
    where: str = "spatial"
    options: Mapping[str, Any] = field(default_factory=dict)


def _ddf(body: str = "resnet50", **options: Any) -> System:
    return System(body, "ddf", options=options)


def _fdconv(body: str = "resnet50", **options: Any) -> System:
    return System(body, "fdconv", "residual_blocks", options)


SYSTEMS: dict[str, System] = {
    # bases
    "resnet18": System("resnet18"),
    "resnet50": System("resnet50"),
    "resnet101": System("resnet101"),
    # DDF, Tables 3 to 5, and the authors' additive checkpoints
    "ddf_resnet50": _ddf(),
    "ddf_resnet101": _ddf("resnet101"),
    "ddf_add_resnet50": _ddf(kernel_combine="add"),
    "ddf_add_resnet101": _ddf("resnet101", kernel_combine="add"),
    # Table 3(a): one of the two filters alone
    "ddf_spatial_only": _ddf(use_channel=False),
    "ddf_channel_only": _ddf(use_spatial=False),
    # Table 3(b): what normalises the filters
    "ddf_batch_norm": _ddf(norm="batch_norm"),
    "ddf_sigmoid": _ddf(norm="sigmoid"),
    # Table 3(c): squeeze ratio
    "ddf_resnet50_sigma_0p3": _ddf(squeeze_ratio=0.3),
    "ddf_resnet50_sigma_0p4": _ddf(squeeze_ratio=0.4),
    # in no table: our own ablation (30_ablate_ddf)
    "ddf_no_norm": _ddf(norm="none"),
    "ddf_filter_norm_paper": _ddf(norm="filter_norm_paper"),
    "ddf_kernel_5": _ddf(kernel_size=5),
    "ddf_heads_2": _ddf(heads=2),
    # FDConv, Table 1: every convolution of the blocks, 64 groups
    "fdconv_resnet18": _fdconv("resnet18"),
    "fdconv_resnet50": _fdconv(),
    "fdconv_resnet101": _fdconv("resnet101"),
}
