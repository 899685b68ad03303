"""ConvNeXt-T and Swin-T, and dynamic layers in their feed-forward parts: Table 3 of FDConv."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torchvision.models import ConvNeXt, SwinTransformer
from torchvision.models.convnext import CNBlockConfig

from repro.names import require_known
from repro.nn import FDLinear, KWLinear, Warehouse, is_feed_forward, replace_layers

# Which linear layers of a feed-forward part: the one that widens, the one that narrows, or both.
LINEARS: Mapping[str, Callable[[nn.Linear], bool]] = {
    "both": lambda linear: True,
    "first": lambda linear: linear.out_features > linear.in_features,
    "second": lambda linear: linear.out_features < linear.in_features,
}

# Body -> size -> width of each stage and blocks in it. "narrow" stands beside the ResNet of that
# size: a quarter as wide, few blocks.
STAGES: Mapping[str, Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "convnext_t": {
        "full": ((96, 192, 384, 768), (3, 3, 9, 3)),
        "narrow": ((24, 48, 96, 192), (1, 1, 1, 1)),
    },
    "swin_t": {
        "full": ((96, 192, 384, 768), (2, 2, 6, 2)),
        "narrow": ((24, 48, 96, 192), (1, 1, 2, 1)),
    },
}


def build_transformer(name: str, *, size: str, num_classes: int = 1000) -> nn.Module:
    """torchvision's classification network, at its own size or a narrow one.

    Args:
        name: "convnext_t" or "swin_t".
        size: "full" or "narrow" (Swin's windows are then 4 x 4, and nothing is dropped; ConvNeXt's
            blocks start at full scale, since the 1e-6 of the full size takes a long training).
    Raises:
        UnknownNameError: no such network or size.
    """
    sizes = STAGES[require_known("network body", name, STAGES)]
    widths, blocks = sizes[require_known("network size", size, sizes)]
    full = size == "full"
    net: nn.Module
    if name == "convnext_t":
        followers = (*widths[1:], None)
        net = ConvNeXt(
            [CNBlockConfig(*stage) for stage in zip(widths, followers, blocks, strict=True)],
            stochastic_depth_prob=0.1 if full else 0.0,
            layer_scale=1e-6 if full else 1.0,
            num_classes=num_classes,
        )
        return net
    net = SwinTransformer(
        patch_size=[4, 4],
        embed_dim=widths[0],
        depths=list(blocks),
        num_heads=[max(width // 32, 1) for width in widths],
        window_size=[7, 7] if full else [4, 4],
        stochastic_depth_prob=0.2 if full else 0.0,
        num_classes=num_classes,
    )
    return net


def in_feed_forward(
    stages: tuple[int, int] = (0, 4), linears: str = "both"
) -> Callable[[str, nn.Linear], bool]:
    """A choice of linear layers of ConvNeXt or Swin, as `replace_layers` takes it.

    Args:
        stages: first and end, as in a slice.
        linears: a name of `LINEARS`.
    """

    def where(name: str, linear: nn.Linear) -> bool:
        return (
            is_feed_forward(name, linear)
            and stage_of(name) in range(*stages)
            and LINEARS[linears](linear)
        )

    return where


def stage_of(name: str) -> int:
    """0 to 3, of a layer of torchvision's ConvNeXt or Swin: `features.{1,3,5,7}` are the stages."""
    return (int(name.split(".")[1]) - 1) // 2


def place_fdlinear(
    net: nn.Module, *, stages: tuple[int, int] = (0, 4), linears: str = "both", **options: Any
) -> None:
    """Replace linear layers of the feed-forward parts by `FDLinear`; the network stays what it was.

    Args:
        stages, linears: see `in_feed_forward`.
        options: of `FDLinear`.
    """
    replace_layers(
        net,
        lambda linear: FDLinear.from_linear(linear, **options),
        in_feed_forward(stages, linears),
        kind=nn.Linear,
    )


def share_feed_forward_warehouses(net: nn.Module, *, budget: int = 1) -> None:
    """Replace the linear layers of the feed-forward parts by `KWLinear`, a warehouse a stage.

    Source: KernelWarehouse (arXiv 2406.07879); the authors' `KW_ConvNeXt`.
    Deviates: theirs also has every other convolution in warehouses, the depth-wise ones among them,
        which adds 10.8 M parameters; FDConv's Table 3 has about 4 M, and the pointwise layers alone
        are 3.9 M. Their attention has a layer norm there, ours its batch norm.
    """
    where = in_feed_forward()
    linears = {
        module: stage_of(name)
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear) and where(name, module)
    }
    warehouses, next_cell = {}, {}
    for stage in sorted(set(linears.values())):
        kernels = [(m.out_features, m.in_features, 1) for m, of in linears.items() if of == stage]
        warehouses[stage], next_cell[stage] = Warehouse(kernels, budget), 0

    def layer(linear: nn.Linear) -> nn.Module:
        stage = linears[linear]
        first_cell = next_cell[stage]
        new = KWLinear.from_linear(linear, warehouse=warehouses[stage], first_cell=first_cell)
        next_cell[stage] += budget * new.conv.places
        return new

    replace_layers(net, layer, where, kind=nn.Linear)
