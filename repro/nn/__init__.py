"""Layers: one file per published layer, and the tool that puts them into a network."""

from repro.nn.ddf import DDF, ChannelBranch, SpatialBranch
from repro.nn.ddf_up import DDFUp
from repro.nn.dyfilter import DyFilter
from repro.nn.filter_norm import FilterBatchNorm, FilterNorm
from repro.nn.pac import PAC
from repro.nn.replace import Replacement, is_spatial, replace_convs

__all__ = [
    "DDF",
    "PAC",
    "ChannelBranch",
    "DDFUp",
    "DyFilter",
    "FilterBatchNorm",
    "FilterNorm",
    "Replacement",
    "SpatialBranch",
    "is_spatial",
    "replace_convs",
]
