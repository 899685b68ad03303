"""Kernel spatial modulation (KSM): factors for every element of a weight, from pooled features.

FDConv (arXiv 2503.18783): a global branch predicts one factor per input channel, output channel
and tap, and the attention over frequency groups; a local branch predicts one per element.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.names import require_known
from repro.nn.per_sample import require_positive

ACTIVATIONS = ("sigmoid", "tanh")
KERNEL_ACTIVATIONS = (*ACTIVATIONS, "softmax")
NORMS = ("batch_norm", "layer_norm")
FILTER_STARTS = ("one", "random")

# Heads start this small, so that every factor starts at 1.
SMALL = 1e-6


class GlobalFactors(NamedTuple):
    """What `GlobalModulation` predicts; None stands for factors of 1.

    Attributes:
        kernel: (N, count), attention over the groups of all copies.
        channel: (N, C_in). filter: (N, C_out). spatial: (N, taps).
    """

    kernel: Tensor
    channel: Tensor | None
    filter: Tensor | None
    spatial: Tensor | None


class StarReLU(nn.Module):
    """scale * relu(x)**2 + shift, both learnt scalars that start at 1 and 0.

    Source: MetaFormer Baselines (arXiv 2210.13452); FDConv's authors' code takes it for KSM.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.relu(x).square() + self.shift


class PooledBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of pooled features (N, C) that also trains on a batch of one.

    One sample has no variance: it is normalised by the running statistics, and leaves them alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class GlobalModulation(nn.Module):
    """Predict attention over groups and factors per channel, filter and tap.

    FC, norm, StarReLU, then one FC for each kind of factor, and 2 * sigmoid(. / temperature).

    Args:
        in_channels, out_channels, taps: of the weight; taps = K_h * K_w.
        count: groups times copies; with 1 there is nothing to attend to, and attention is 1.
        reduction: the first FC has max(int(in_channels * reduction), 16) outputs.
        temperature: divides the logits of channel, filter and tap factors.
        kernel_temperature: divides the logits of the attention.
        activation: "sigmoid", or "tanh" for 1 + tanh.
        kernel_activation: the same for the attention, or "softmax" over the groups.
        norm: "batch_norm" (the authors' code), or "layer_norm", which needs no batch and no frozen
            statistics.
        filter_start: "one" starts the filter factors at 1, as all others; "random" leaves that head
            at its random start, as the authors' code does.
        only_kernel: predict the attention alone.
        use_filter: False leaves the filter factors out (the authors do for depth-wise layers).
    Shape:
        (N, in_channels) to `GlobalFactors`.
    Raises:
        UnknownNameError: an unknown activation, norm or start.
    Source: FDConv (arXiv 2503.18783), KSM's global branch; the authors' code for trunk and starts.
    Deviates: a batch of one trains (see `PooledBatchNorm`); filter factors start at 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        taps: int,
        count: int,
        *,
        reduction: float = 1 / 16,
        temperature: float = 1.0,
        kernel_temperature: float = 1.0,
        activation: str = "sigmoid",
        kernel_activation: str = "sigmoid",
        norm: str = "batch_norm",
        filter_start: str = "one",
        only_kernel: bool = False,
        use_filter: bool = True,
    ) -> None:
        super().__init__()
        require_known("activation of KSM", activation, ACTIVATIONS)
        require_known("activation of KSM's attention", kernel_activation, KERNEL_ACTIVATIONS)
        require_known("norm of KSM", norm, NORMS)
        require_known("start of KSM's filter factors", filter_start, FILTER_STARTS)
        self.count = count
        require_positive("temperature", temperature)
        require_positive("kernel_temperature", kernel_temperature)
        self.temperature = temperature
        self.kernel_temperature = kernel_temperature
        self.activation_name = activation
        self.kernel_activation_name = kernel_activation
        self.filter_start = filter_start
        width = max(int(in_channels * reduction), 16)
        self.trunk = nn.Linear(in_channels, width, bias=False)
        self.norm = PooledBatchNorm(width) if norm == "batch_norm" else nn.LayerNorm(width)
        self.activation = StarReLU()
        self.kernel_head = nn.Linear(width, count) if count > 1 else None
        self.channel_head = None if only_kernel else nn.Linear(width, in_channels)
        self.filter_head = (
            nn.Linear(width, out_channels) if use_filter and not only_kernel else None
        )
        self.spatial_head = nn.Linear(width, taps) if taps > 1 and not only_kernel else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights again: Kaiming for the trunk, nearly zero for the heads."""
        nn.init.kaiming_normal_(self.trunk.weight, mode="fan_out", nonlinearity="relu")
        for head in (self.kernel_head, self.channel_head, self.filter_head, self.spatial_head):
            if head is None:
                continue
            nn.init.zeros_(head.bias)
            if head is self.filter_head and self.filter_start == "random":
                nn.init.kaiming_normal_(head.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(head.weight, std=SMALL)

    def forward(self, pooled: Tensor) -> GlobalFactors:
        hidden = self.activation(self.norm(self.trunk(pooled)))  # (N, width)
        channel, filter, spatial = (
            None if head is None else self._factor(head(hidden))
            for head in (self.channel_head, self.filter_head, self.spatial_head)
        )
        return GlobalFactors(self._attention(hidden), channel, filter, spatial)

    def _factor(self, logits: Tensor) -> Tensor:
        return _around_one(logits / self.temperature, self.activation_name)

    def _attention(self, hidden: Tensor) -> Tensor:
        if self.kernel_head is None:
            return hidden.new_ones(hidden.shape[0], 1)
        logits: Tensor = self.kernel_head(hidden) / self.kernel_temperature  # (N, count)
        if self.kernel_activation_name == "softmax":
            return logits.softmax(1)
        return _around_one(logits, self.kernel_activation_name) / self.count


class LocalModulation(nn.Module):
    """What a dense factor is made from: pooled features as a sequence, and filters to run over it.

    The factor of weight[o, i, t] is 2 * sigmoid of filter (o, t) correlated with the normalised
    sequence around channel i. It is made where it is used: see `repro.ops.fourier_disjoint_weight`.

    Args:
        in_channels: length of the sequence.
        filters: C_out * K_h * K_w.
        activation: "sigmoid", or "tanh" for 1 + tanh, which is 2 * sigmoid of twice the logits.
    Shape:
        (N, in_channels) to the sequence (N, in_channels) and the filters (filters, width).
    Source: FDConv (arXiv 2503.18783), KSM's local branch, there a 1-D convolution.
    """

    def __init__(self, in_channels: int, filters: int, *, activation: str = "sigmoid") -> None:
        super().__init__()
        require_known("activation of KSM", activation, ACTIVATIONS)
        self.activation_name = activation
        self.norm = nn.LayerNorm(in_channels)
        self.filter = nn.Parameter(torch.empty(filters, local_width(in_channels)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every factor starts at 1."""
        nn.init.constant_(self.filter, SMALL)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        gain = 2 if self.activation_name == "tanh" else 1
        return self.norm(pooled), self.filter * gain


def local_width(in_channels: int) -> int:
    """Width of the local branch's filters, by the authors' rule: 5 for 64..512 channels."""
    return round(math.log2(in_channels) / 2 + 0.5) // 2 * 2 + 1


def _around_one(logits: Tensor, activation: str) -> Tensor:
    """Factors between 0 and 2 that are 1 for logits of 0."""
    return 1 + torch.tanh(logits) if activation == "tanh" else 2 * torch.sigmoid(logits)
