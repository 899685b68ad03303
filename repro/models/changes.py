"""Changes to a whole ResNet, for systems that are more than a layer in place of a convolution."""

from __future__ import annotations

from typing import cast

from torch import nn

from repro.models.resnet import stages
from repro.nn.bam import BAM
from repro.nn.dcd import DCDClassifier
from repro.nn.kernel_warehouse import KWConv2d, Warehouse
from repro.nn.replace import replace_convs


def append_bam(net: nn.Module) -> None:
    """Put a BAM at the end of every stage but the last: the bottlenecks of the network.

    Source: BAM (arXiv 1807.06514).
    """
    for name in stages(net)[:-1]:
        stage = cast(nn.Sequential, net.get_submodule(name))
        stage.append(BAM(_width(stage)))


def use_dcd_classifier(net: nn.Module) -> None:
    """End the network as the authors of DCD end theirs: see `DCDClassifier`."""
    plain = cast(nn.Linear, net.get_submodule("fc"))
    net.add_module("fc", DCDClassifier(plain.in_features, plain.out_features))


def stride_in_first(net: nn.Module) -> None:
    """Let the first 1x1 convolution of a bottleneck carry the stride, as the first ResNets did.

    DyNet gives ResNet-50 3.89 G: the network with the stride there (3.86 G), not timm's (4.09 G).
    """
    for block in net.modules():
        conv1, conv2 = getattr(block, "conv1", None), getattr(block, "conv2", None)
        if isinstance(conv1, nn.Conv2d) and isinstance(conv2, nn.Conv2d):
            conv1.stride, conv2.stride = conv2.stride, (1, 1)


def share_warehouses(net: nn.Module, *, budget: int = 1) -> None:
    """Replace the convolutions by `KWConv2d`, all of a stage on one warehouse.

    The convolutions at which a stage's width changes (the first of its first block, and the
    shortcut's where it strides) belong to the stage before, whose channels they take. Nothing is
    before the first stage, so there these two stay static.

    Source: KernelWarehouse (arXiv 2406.07879), warehouse sharing; the authors' `KW_ResNet`.
    """
    owner = _warehouse_of_each(net)
    home = {cast(nn.Conv2d, net.get_submodule(name)): stage for name, stage in owner.items()}
    warehouses = {}
    for stage in dict.fromkeys(owner.values()):
        kernels = [
            (conv.out_channels, conv.in_channels // conv.groups, conv.kernel_size[0])
            for conv, stage_of_conv in home.items()
            if stage_of_conv == stage
        ]
        warehouses[stage] = Warehouse(kernels, budget)
    next_cell = dict.fromkeys(warehouses, 0)

    def layer(conv: nn.Conv2d) -> nn.Module:
        stage = home[conv]
        first_cell = next_cell[stage]
        new = KWConv2d.from_conv(conv, warehouse=warehouses[stage], first_cell=first_cell)
        next_cell[stage] += budget * new.places
        return new

    replace_convs(net, layer, lambda name, _: name in owner)


def _warehouse_of_each(net: nn.Module) -> dict[str, str]:
    """Name of a convolution -> name of the stage whose warehouse it draws from, in their order."""
    names = stages(net)
    owner = {}
    for before, stage in zip([None, *names], names, strict=False):
        for path, conv in net.get_submodule(stage).named_modules(prefix=stage):
            if not isinstance(conv, nn.Conv2d):
                continue
            _, block, rest = path.split(".", 2)
            handed_over = block == "0" and (rest == "conv1" or rest.startswith("downsample"))
            home = before if handed_over else stage
            if home is not None:
                owner[path] = home
    return owner


def _width(stage: nn.Sequential) -> int:
    """Channels that leave a stage: those of its last batch norm in the main path."""
    block = stage[-1]
    last = block.get_submodule("bn3" if hasattr(block, "bn3") else "bn2")
    return cast(nn.BatchNorm2d, last).num_features
