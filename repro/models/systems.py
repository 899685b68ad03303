"""Networks by name: a body, what replaces its convolutions, and what else is changed.

Adding a system is adding a line to `SYSTEMS`; adding a kind of layer is adding one to `LAYERS`.
`repro.models.rows` says which printed row each one is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from repro.models.changes import append_bam, share_warehouses, stride_in_first, use_dcd_classifier
from repro.models.resnet import initialise_convolutions
from repro.nn import (
    DDF,
    AAConv2d,
    AdaptiveConv2d,
    CondConv2d,
    DCD2d,
    DYConv2d,
    DyNet2d,
    FDConv,
    ODConv2d,
    WeightNet2d,
    is_in_residual_block,
    is_spatial,
)


def ddf_from_conv(conv: nn.Conv2d, **options: Any) -> nn.Module:
    """A DDF whose branches start as timm starts its own convolutions."""
    layer = DDF.from_conv(conv, **options)
    initialise_convolutions(layer)
    return layer


def ddf_and_pointwise(conv: nn.Conv2d, **options: Any) -> nn.Sequential:
    """A DDF on the input's channels, then a 1x1 convolution to the output's.

    For `conv` of a basic block, which may change the channel count; DDF (arXiv 2104.14107) has
    ResNet-18 results and does not say how.
    """
    ddf = DDF(conv.in_channels, conv.kernel_size[0], conv.stride[0], **options)
    pointwise = nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=False)
    layer = nn.Sequential(ddf, pointwise)
    initialise_convolutions(layer)
    return layer


def depthwise(layer: Any) -> Callable[..., nn.Module]:
    """The depth-wise form of a layer, in place of a convolution that keeps its channels."""

    def make(conv: nn.Conv2d, **options: Any) -> nn.Module:
        new: nn.Module = layer.from_conv(conv, groups=conv.in_channels, **options)
        return new

    return make


def attention_augmented(
    conv: nn.Conv2d, *, pooled_at: int | None = None, **options: Any
) -> AAConv2d:
    """An attention-augmented convolution for the map that `conv` has in a ResNet at 224 x 224.

    Args:
        pooled_at: width of the stage whose attention sees averages.
    """
    size = 56 * 64 // conv.out_channels  # 56 x 56 at 64 channels, half the size at twice the width
    pool = conv.out_channels == pooled_at
    max_size = -(-size // 2) if pool else size
    return AAConv2d.from_conv(conv, max_size=max_size, pool=pool, **options)


# Layer name -> how to make it from the convolution it replaces, with options.
LAYERS: dict[str, Callable[..., nn.Module]] = {
    "ddf": ddf_from_conv,
    "ddf_and_pointwise": ddf_and_pointwise,
    "condconv": CondConv2d.from_conv,
    "dwcondconv": depthwise(CondConv2d),
    "dwweightnet": depthwise(WeightNet2d),
    "dyconv": DYConv2d.from_conv,
    "dcd": DCD2d.from_conv,
    "odconv": ODConv2d.from_conv,
    "dynet": DyNet2d.from_conv,
    "adaptive": AdaptiveConv2d.from_conv,
    "attention_augmented": attention_augmented,
    "fdconv": FDConv.from_conv,  # goes on from the convolution's own start
}


def in_stages(name: str, conv: nn.Conv2d) -> bool:
    """Every convolution behind the stem, shortcuts included."""
    return name.startswith("layer")


def windowed_in_blocks(name: str, conv: nn.Conv2d) -> bool:
    """Every K x K convolution of the main path, whether or not it keeps its channels."""
    return is_in_residual_block(name, conv) and min(conv.kernel_size) > 1


# Name of a choice of convolutions -> the choice, as `replace_convs` takes it.
PLACES: dict[str, Callable[[str, nn.Conv2d], bool]] = {
    "spatial": is_spatial,
    "windowed": windowed_in_blocks,
    "residual_blocks": is_in_residual_block,
    "stages": in_stages,
}


@dataclass(frozen=True)
class System:
    """One network of the tables.

    Attributes:
        body: a name of `repro.models.resnet.BODIES`.
        layer: a name of `LAYERS`, or None for the body as it is.
        where: a name of `PLACES`: which convolutions the layer replaces.
        options: further arguments of the layer.
        stages: first and end of the residual stages that `where` may choose from, as in a slice.
        width: factor on the stages' widths.
        body_options: further arguments of timm's `ResNet`.
        change: done to the network before layers are replaced.
    """

    body: str
    layer: str | None = None
    where: str = "spatial"
    options: Mapping[str, Any] = field(default_factory=dict)
    stages: tuple[int, int | None] = (0, None)
    width: float = 1.0
    body_options: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[nn.Module], None] | None = None


def _ddf(body: str = "resnet50", **options: Any) -> System:
    return System(body, "ddf", options=options)


def _fdconv(body: str = "resnet50", **options: Any) -> System:
    return System(body, "fdconv", "residual_blocks", options)


def _gated(body: str, gate: str) -> System:
    """A body with one of timm's gates at the end of every block."""
    return System(body, body_options={"block_args": {"attn_layer": gate}})


def _grouped(body: str) -> System:
    return System(body, body_options={"cardinality": 32, "base_width": 4})


def _multi_scale(body: str, base_width: int, scale: int) -> System:
    return System(body, body_options={"base_width": base_width, "block_args": {"scale": scale}})


def _attention_augmented(body: str) -> System:
    # The last three stages; 28 x 28 maps (width 128) are averaged to 14 x 14 first, see `AAConv2d`.
    options = {"pooled_at": 128}
    return System(body, "attention_augmented", stages=(1, None), options=options)


_NO_KSM: dict[str, Any] = {"use_ksm_global": False, "use_ksm_local": False}


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
    # The paper does not say how a basic block is built; of the forms tried, this one is nearest in
    # both parameters and operations (tests/models/test_searches.py).
    "ddf_resnet18": System(
        "resnet18", "ddf_and_pointwise", "windowed", options={"squeeze_ratio": 0.5}
    ),
    # DDF, Table 4: other dynamic filters
    "condconv_resnet50": System("resnet50", "condconv", options={"experts": 8}),
    "dwcondconv_resnet50": System("resnet50", "dwcondconv", options={"experts": 8}),
    "dwweightnet_resnet50": System("resnet50", "dwweightnet"),
    # All 3x3 convolutions of the first two stages: of the places tried, the one that gives the
    # printed parameters (tests/models/test_searches.py).
    "adaptive_resnet18": System("resnet18", "adaptive", "windowed", stages=(0, 2)),
    "dynet_resnet18": System("resnet18", "dynet", "residual_blocks", width=0.5),
    "dynet_resnet50": System(
        "resnet50", "dynet", "residual_blocks", width=0.5, change=stride_in_first
    ),
    # DDF, Table 5: attention, and other blocks. SE, CBAM, ResNeXt and Res2Net are timm's own.
    "se_resnet50": _gated("resnet50", "se"),
    "se_resnet101": _gated("resnet101", "se"),
    "bam_resnet50": System("resnet50", change=append_bam),
    "bam_resnet101": System("resnet101", change=append_bam),
    "cbam_resnet50": _gated("resnet50", "cbam"),
    "cbam_resnet101": _gated("resnet101", "cbam"),
    "aa_resnet50": _attention_augmented("resnet50"),
    "aa_resnet101": _attention_augmented("resnet101"),
    "resnext50_32x4d": _grouped("resnet50"),
    "resnext101_32x4d": _grouped("resnet101"),
    "res2net50_14w_8s": _multi_scale("res2net50", 14, 8),
    "res2net50_26w_4s": _multi_scale("res2net50", 26, 4),
    "res2net101_26w_4s": _multi_scale("res2net101", 26, 4),
    # FDConv, Table 1: dynamic convolutions in a ResNet-50. Its CondConv is in the main path of the
    # last stage: that gives the printed increment, all 3x3 convolutions (above) do not.
    "condconv8x_resnet50": System("resnet50", "condconv", "residual_blocks", stages=(-1, None)),
    "dyconv4x_resnet50": System("resnet50", "dyconv", "stages", options={"kernels": 4}),
    "dcd_resnet50": System("resnet50", "dcd", "residual_blocks", change=use_dcd_classifier),
    "odconv4x_resnet50": System("resnet50", "odconv", "residual_blocks", options={"kernels": 4}),
    "kw1x_resnet50": System("resnet50", change=share_warehouses),
    "kw4x_resnet50": System("resnet50", change=partial(share_warehouses, budget=4)),
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
    # in no table: our own ablation (31_ablate_fdconv). One group is no frequency attention at all.
    "fdconv_fdw": _fdconv(**_NO_KSM, use_fbm=False),
    "fdconv_ksm": _fdconv(kernel_num=1, use_fbm=False),
    "fdconv_fbm": _fdconv(kernel_num=1, **_NO_KSM),
    "fdconv_no_fbm": _fdconv(use_fbm=False),
    "fdconv_fbm_paper": _fdconv(fbm_form="paper"),
    "fdconv_kernel_num_1": _fdconv(kernel_num=1),
    "fdconv_kernel_num_4": _fdconv(kernel_num=4),
    "fdconv_kernel_num_16": _fdconv(kernel_num=16),
}
