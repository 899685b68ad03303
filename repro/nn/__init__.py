"""Layers: one file per published layer, and the tool that puts them into a network."""

from repro.nn.adaptive import AdaptiveConv2d
from repro.nn.attention_augmented import AAConv2d
from repro.nn.bam import BAM
from repro.nn.carafe import CARAFE
from repro.nn.condconv import CondConv2d
from repro.nn.dcd import DCD2d, DCDClassifier
from repro.nn.ddf import DDF, ChannelBranch, SpatialBranch
from repro.nn.ddf_checkpoints import from_ddf_authors_state_dict
from repro.nn.ddf_up import DDFUp
from repro.nn.dyconv import DYConv2d
from repro.nn.dyfilter import DyFilter
from repro.nn.dynet import DyNet2d
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
from repro.nn.involution import Involution
from repro.nn.kernel_warehouse import KWConv2d, KWLinear, Warehouse
from repro.nn.mixture_conversion import (
    to_mixture,
    to_mixture_state_dict,
    to_plain_conv,
    to_static_state_dict,
)
from repro.nn.odconv import ODConv2d
from repro.nn.pac import PAC, PACTransposed
from repro.nn.per_sample import DynamicConv2d, anneal_temperature
from repro.nn.replace import Replacement, is_spatial, replace_convs, replace_layers
from repro.nn.weightnet import WeightNet2d

__all__ = [
    "BAM",
    "CARAFE",
    "DDF",
    "PAC",
    "AAConv2d",
    "AdaptiveConv2d",
    "ChannelBranch",
    "CondConv2d",
    "DCD2d",
    "DCDClassifier",
    "DDFUp",
    "DYConv2d",
    "DyFilter",
    "DyNet2d",
    "DynamicConv2d",
    "FDConv",
    "FDLinear",
    "FilterBatchNorm",
    "FilterNorm",
    "FrequencyBandModulation",
    "Involution",
    "KWConv2d",
    "KWLinear",
    "ODConv2d",
    "PACTransposed",
    "Replacement",
    "SpatialBranch",
    "Warehouse",
    "WeightNet2d",
    "anneal_temperature",
    "from_authors_state_dict",
    "from_ddf_authors_state_dict",
    "is_feed_forward",
    "is_in_residual_block",
    "is_spatial",
    "place_fdconv",
    "replace_convs",
    "replace_layers",
    "to_fdconv",
    "to_fdconv_state_dict",
    "to_mixture",
    "to_mixture_state_dict",
    "to_plain",
    "to_plain_conv",
    "to_plain_state_dict",
    "to_static_state_dict",
]
