"""FDConv exactly at its start, for tests that compare it with a plain convolution."""

from __future__ import annotations

import torch
from torch import nn

from repro.nn import FrequencyBandModulation
from repro.nn.kernel_spatial_modulation import GlobalModulation, LocalModulation


def neutral(model: nn.Module) -> nn.Module:
    """Set what starts nearly at zero to zero: every factor is 1 then, whatever the input."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LocalModulation):
                module.filter.zero_()
            elif isinstance(module, FrequencyBandModulation):
                module.maps.weight.zero_()
            elif isinstance(module, GlobalModulation):
                for name, head in module.named_children():
                    if name.endswith("_head"):
                        head.weight.zero_()
    return model
