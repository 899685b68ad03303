"""What can be measured: a name, the backend that does the work, and how to set it up.

A case is set up for one input x (N, C, H, W), with weights of its own drawn from the global
generator, and is then called without arguments, again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn import DDF, PAC
from repro.ops import ddf

Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        backend: who computes; None stands for what `repro.ops` chooses for the input.
        prepare: from the input to the step that is timed.
    """

    backend: str | None
    prepare: Callable[[Tensor], Step]


def _layer(make: Callable[[int], nn.Module]) -> Callable[[Tensor], Step]:
    """A layer of as many channels as x has, in eval mode, its branches included in the time."""

    def prepare(x: Tensor) -> Step:
        layer = make(x.shape[1]).to(x.device, x.dtype).eval()
        return lambda: layer(x)

    return prepare


def _conv(channels: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 3, padding=1)


def _depthwise(channels: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def _ddf_operator(kernel_size: int = 3, **options: Any) -> Callable[[Tensor], Step]:
    """The DDF operation alone, on given filters."""

    def prepare(x: Tensor) -> Step:
        N, C, H, W = x.shape
        channel_filter = x.new_empty(N, C, kernel_size, kernel_size).normal_()
        spatial_filter = x.new_empty(N, kernel_size**2, H, W).normal_()
        return lambda: ddf(x, channel_filter, spatial_filter, **options)

    return prepare


def _depthwise_operator(x: Tensor) -> Step:
    """A depth-wise convolution without bias: the DDF operation's static counterpart."""
    C = x.shape[1]
    weight = x.new_empty(C, 1, 3, 3).normal_()
    return lambda: F.conv2d(x, weight, padding=1, groups=C)


def _ddf_unfolded(x: Tensor) -> Step:
    """The DDF operation through nine-fold unfolded features, as without a fused operator."""
    N, C, H, W = x.shape
    channel_filter = x.new_empty(N, C, 9, 1).normal_()
    spatial_filter = x.new_empty(N, 1, 9, H * W).normal_()

    def step() -> Tensor:
        patches = F.unfold(x, 3, padding=1).reshape(N, C, 9, H * W)
        return (patches * channel_filter * spatial_filter).sum(2).reshape(x.shape)

    return step


def _copy(x: Tensor) -> Step:
    """Read x once and write it once into memory that is there already: the floor of any filter."""
    out = torch.empty_like(x)
    return lambda: out.copy_(x)


CASES: dict[str, Case] = {
    # Table 2: layers
    "conv": Case("pytorch", _layer(_conv)),
    "dwconv": Case("pytorch", _layer(_depthwise)),
    "pac": Case("unfold", _layer(lambda channels: PAC(channels, channels))),
    "ddf": Case(None, _layer(DDF)),
    # the operators alone
    "copy": Case("pytorch", _copy),
    "depthwise_operator": Case("pytorch", _depthwise_operator),
    "ddf_operator": Case(None, _ddf_operator()),
    "ddf_reference": Case("reference", _ddf_operator(backend="reference")),
    "ddf_unfold": Case("unfold", _ddf_unfolded),
}
