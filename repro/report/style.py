"""How every figure of this project looks: one colour and one marker a method, in all of them.

Colours are Okabe and Ito's, told apart with any colour vision; the marker says the same once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

BLACK, GREY, ORANGE, SKY, GREEN = "#000000", "#7f7f7f", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILION, PURPLE, YELLOW = "#0072b2", "#d55e00", "#cc79a7", "#c9b800"


@dataclass(frozen=True)
class Look:
    """What a method is drawn with, and what it is called in a legend."""

    colour: str
    marker: str
    label: str


# Grey and black are what a method is compared with; a blue circle is DDF as the paper proposes it,
# a vermilion one FDConv.
_LOOKS: Mapping[str, Look] = {
    "resnet18": Look(GREY, "v", "ResNet-18"),
    "resnet50": Look(GREY, "s", "ResNet-50"),
    "resnet101": Look(GREY, "D", "ResNet-101"),
    "conv": Look(GREY, "s", "Conv"),
    "dwconv": Look(ORANGE, "^", "DwConv"),
    "dyfilter": Look(PURPLE, "D", "DyFilter"),
    "pac": Look(GREEN, "v", "PAC"),
    "ddf": Look(BLUE, "o", "DDF"),
    "ddf_unfold": Look(SKY, "X", "DDF, unfolded"),
    "ddf_resnet18": Look(BLUE, "v", "DDF-ResNet18"),
    "ddf_resnet50": Look(BLUE, "o", "DDF-ResNet50"),
    "ddf_resnet101": Look(BLUE, "D", "DDF-ResNet101"),
    "ddf_spatial_only": Look(ORANGE, "^", "spatial only"),
    "ddf_channel_only": Look(GREEN, "v", "channel only"),
    "ddf_batch_norm": Look(VERMILION, "s", "batch norm"),
    "ddf_sigmoid": Look(PURPLE, "D", "sigmoid"),
    "ddf_resnet50_sigma_0p3": Look(SKY, "P", "σ = 0.3"),
    "ddf_resnet50_sigma_0p4": Look(YELLOW, "X", "σ = 0.4"),
    "ddf_add_resnet50": Look(ORANGE, "P", "add"),
    "ddf_no_norm": Look(BLACK, "x", "no norm"),
    "ddf_kernel_5": Look(GREEN, "p", "k = 5"),
    "ddf_heads_2": Look(PURPLE, "h", "two heads"),
    "adaptive_resnet18": Look(PURPLE, "v", "Adaptive-ResNet18"),
    "dynet_resnet18": Look(GREEN, "v", "DyNet-ResNet18"),
    "dynet_resnet50": Look(GREEN, "o", "DyNet"),
    "condconv_resnet50": Look(ORANGE, "o", "CondConv (8x)"),
    "condconv8x_resnet50": Look(ORANGE, "s", "CondConv (8x), last stage"),
    "dwcondconv_resnet50": Look(ORANGE, "^", "DwCondConv"),
    "dwweightnet_resnet50": Look(PURPLE, "^", "DwWeightNet"),
    "dyconv4x_resnet50": Look(YELLOW, "o", "DY-Conv (4x)"),
    "dcd_resnet50": Look(GREEN, "h", "DCD"),
    "odconv4x_resnet50": Look(PURPLE, "o", "ODConv (4x)"),
    "kw1x_resnet50": Look(SKY, "o", "KernelWarehouse (1x)"),
    "kw4x_resnet50": Look(SKY, "X", "KernelWarehouse (4x)"),
    "se_resnet50": Look(GREEN, "^", "SE-ResNet50"),
    "se_resnet101": Look(GREEN, "v", "SE-ResNet101"),
    "bam_resnet50": Look(SKY, "P", "BAM-ResNet50"),
    "bam_resnet101": Look(SKY, "X", "BAM-ResNet101"),
    "cbam_resnet50": Look(PURPLE, "D", "CBAM-ResNet50"),
    "cbam_resnet101": Look(PURPLE, "d", "CBAM-ResNet101"),
    "aa_resnet50": Look(YELLOW, "X", "AA-ResNet50"),
    "aa_resnet101": Look(YELLOW, ">", "AA-ResNet101"),
    "resnext50_32x4d": Look(ORANGE, "p", "ResNeXt50 (32x4d)"),
    "resnext101_32x4d": Look(ORANGE, "h", "ResNeXt101 (32x4d)"),
    "res2net50_14w_8s": Look(BLACK, "h", "Res2Net50 (14w-8s)"),
    "res2net101_26w_4s": Look(BLACK, "H", "Res2Net101 (26w-4s)"),
    "fdconv_resnet18": Look(VERMILION, "v", "FDConv-ResNet18"),
    "fdconv_resnet50": Look(VERMILION, "o", "FDConv-ResNet50"),
    "fdconv_resnet101": Look(VERMILION, "D", "FDConv-ResNet101"),
    "fdconv_fdw": Look(ORANGE, "^", "FDW only"),
    "fdconv_ksm": Look(GREEN, "v", "KSM only"),
    "fdconv_fbm": Look(PURPLE, "D", "FBM only"),
    "fdconv_no_fbm": Look(BLUE, "P", "FDW and KSM"),
    "fdconv_fbm_paper": Look(SKY, "X", "FBM on the output"),
    "fdconv_kernel_num_1": Look(BLACK, "x", "1 group"),
    "fdconv_kernel_num_4": Look(YELLOW, "p", "4 groups"),
    "fdconv_kernel_num_16": Look(SKY, "h", "16 groups"),
    "upernet_r50": Look(GREY, "s", "UPerNet R50"),
    "upernet_r50_odconv_4x": Look(PURPLE, "o", "UPerNet R50 + ODConv (4x)"),
    "upernet_r50_fdconv": Look(VERMILION, "o", "UPerNet R50 + FDConv"),
    "mask2former_r50": Look(GREY, "^", "Mask2Former R50"),
    "mask2former_r50_fdconv": Look(VERMILION, "^", "Mask2Former R50 + FDConv"),
    "mask2former_swin_b": Look(BLACK, "v", "Mask2Former Swin-B"),
    "mask2former_swin_b_fdconv": Look(ORANGE, "v", "Mask2Former Swin-B + FDConv"),
    "mask2former_swin_l_22k": Look(BLACK, "p", "Mask2Former Swin-L"),
    "mask2former_swin_l_22k_fdconv": Look(ORANGE, "p", "Mask2Former Swin-L + FDConv"),
    "maskdino_swin_l_22k": Look(BLACK, "D", "MaskDINO Swin-L"),
    "maskdino_swin_l_22k_fdconv": Look(ORANGE, "D", "MaskDINO Swin-L + FDConv"),
    "bilinear": Look(GREY, "v", "Bilinear"),
    "bicubic": Look(BLACK, "s", "Bicubic"),
    "mrf": Look(BLACK, "d", "MRF"),
    "gf": Look(YELLOW, "X", "GF"),
    "ham": Look(PURPLE, "^", "Ham et al."),
    "fbs": Look(SKY, "P", "FBS"),
    "jbu": Look(ORANGE, "D", "JBU"),
    "dmsg": Look(YELLOW, "o", "DMSG"),
    "djf": Look(PURPLE, "o", "DJF"),
    "djf_plus": Look(VERMILION, "s", "DJF+"),
    "pac_net_lite": Look(GREEN, "v", "PAC-Net lite"),
    "pac_net": Look(GREEN, "o", "PAC-Net"),
    "ddf_up_net": Look(BLUE, "o", "DDF-Up-Net"),
    "ddf_up_net_no_guidance": Look(GREY, "^", "no guidance"),
    "ddf_up_net_spatial_only": Look(ORANGE, "^", "spatial only"),
    "ddf_up_net_kernel_5": Look(GREEN, "p", "k = 5"),
    "ddf_up_net_add": Look(ORANGE, "P", "add"),
    "ddf_up_net_narrow": Look(SKY, "h", "half the width"),
    "nearest": Look(GREY, "s", "Nearest"),
    "deconv": Look(ORANGE, "^", "Deconv"),
    "pixel_shuffle": Look(PURPLE, "D", "Pixel shuffle"),
    "carafe": Look(GREEN, "v", "CARAFE"),
    "ddf_up": Look(BLUE, "o", "DDF-Up"),
    "faster_rcnn_r50": Look(GREY, "s", "Faster R-CNN"),
    "faster_rcnn_condconv_8x": Look(ORANGE, "s", "+ CondConv (8x)"),
    "faster_rcnn_dyconv_4x": Look(YELLOW, "o", "+ DY-Conv (4x)"),
    "faster_rcnn_dcd": Look(GREEN, "h", "+ DCD"),
    "faster_rcnn_odconv_4x": Look(PURPLE, "o", "+ ODConv (4x)"),
    "faster_rcnn_fdconv": Look(VERMILION, "o", "+ FDConv"),
    "mask_rcnn_r50": Look(GREY, "s", "Mask R-CNN"),
    "mask_rcnn_dyconv_4x": Look(YELLOW, "o", "+ DY-Conv (4x)"),
    "mask_rcnn_odconv_4x": Look(PURPLE, "o", "+ ODConv (4x)"),
    "mask_rcnn_kw_1x": Look(SKY, "o", "+ KW (1x)"),
    "mask_rcnn_kw_4x": Look(SKY, "X", "+ KW (4x)"),
    "mask_rcnn_fdconv": Look(VERMILION, "o", "+ FDConv"),
    "mask_rcnn_convnext_t": Look(GREY, "v", "Mask R-CNN ConvNeXt-T"),
    "mask_rcnn_convnext_t_kw": Look(SKY, "v", "ConvNeXt-T + KW"),
    "mask_rcnn_convnext_t_fdconv": Look(VERMILION, "v", "ConvNeXt-T + FDConv"),
    "mask_rcnn_swin_t": Look(GREY, "D", "Mask R-CNN Swin-T"),
    "mask_rcnn_swin_t_fdconv": Look(VERMILION, "D", "Swin-T + FDConv"),
    "ddf_up_net_l1": Look(PURPLE, "v", "L1 loss"),
}

# Text sizes suit a figure seven inches wide, read at the width of a page.
_RC: dict[Any, Any] = {  # matplotlib types the keys as literals
    "figure.figsize": (7.0, 3.8),
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "image.cmap": "viridis",
    "svg.hashsalt": "repro",  # otherwise the ids in an SVG are random
}


def look(method: str) -> Look:
    """Colour, marker and label of a method; one outside the papers gets grey and its own name."""
    return _LOOKS.get(method, Look(GREY, "*", method.replace("_", " ")))


def known_methods() -> tuple[str, ...]:
    """Methods with a look of their own."""
    return tuple(_LOOKS)


def use() -> None:
    """Set the style for the whole process; notebooks call it once."""
    mpl.rcParams.update(_RC)


def plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers, six to the decade so that none overlap."""
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


@contextmanager
def applied() -> Iterator[None]:
    """The style inside a `with` block; the library leaves the caller's settings alone."""
    with mpl.rc_context(_RC):
        yield
