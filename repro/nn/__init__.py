"""Layers: one file per published layer, and the tool that puts them into a network."""

from repro.nn.ddf import DDF, ChannelBranch, SpatialBranch
from repro.nn.ddf_up import DDFUp
from repro.nn.dyfilter import DyFilter
from repro.nn.fdconv import FDConv, FDLinear
from repro.nn.fdconv_conversion import (
    from_authors_state_dict,
    to_fdconv,
    to_fdconv_state_dict,
    to_plain,
    to_plain_state_dict,
)
from repro.nn.fdconv_placement import is_feed_forward, is_in_residual_block, place_fdconv
from repro.nn.filter_norm import FilterBatchNorm, FilterNorm
from repro.nn.frequency_band_modulation import FrequencyBandModulation
from repro.nn.pac import PAC
from repro.nn.replace import Replacement, is_spatial, replace_convs, replace_layers

__all__ = [
    "DDF",
    "PAC",
    "ChannelBranch",
    "DDFUp",
    "DyFilter",
    "FDConv",
    "FDLinear",
    "FilterBatchNorm",
    "FilterNorm",
    "FrequencyBandModulation",
    "Replacement",
    "SpatialBranch",
    "from_authors_state_dict",
    "is_feed_forward",
    "is_in_residual_block",
    "is_spatial",
    "place_fdconv",
    "replace_convs",
    "replace_layers",
    "to_fdconv",
    "to_fdconv_state_dict",
    "to_plain",
    "to_plain_state_dict",
]
