"""DCD: a static kernel, scaled per channel, plus a low-rank dynamic residual.

Revisiting Dynamic Convolution via Matrix Decomposition (arXiv 2103.08756).
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn.per_sample import (
    DynamicConv2d,
    PooledBatchNorm,
    draw_kernels,
    optional_bias,
    require_at_least,
)


class HardGate(nn.Module):
    """x * hard_sigmoid2(W x), a gate between 0 and 2: the authors' small SE module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * hard_sigmoid2(self.weight(x))


class DCD2d(DynamicConv2d):
    """Convolve with diag(scale(x)) W0, and add P Phi(x) Q^T of the input, Phi small and dynamic.

    Q takes in_channels to L = floor(sqrt(in_channels)) channels, Phi (L x L) fuses them, P takes
    them to out_channels. Scale and Phi come from the pooled input through one gated FC.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as in
            `torch.nn.Conv2d`; the bias is static. Groups are not defined.
        squeeze: the FC has in_channels // squeeze outputs.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: groups other than 1; fewer input channels than `squeeze`; a padding that is not
            "same" (the residual sees one pixel per output); and what `DynamicConv2d` raises.
    Source: DCD (arXiv 2103.08756), W(x) = Lambda(x) W0 + P Phi(x) Q^T, and the authors' `conv_dy`,
        which has what the equation has not: batch norms after Q and after Phi, and the identity
        added to Phi.
    Deviates: from the authors' code in nothing but the bias. In a K x K layer Q sees only the
        centre of the window, as there.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        squeeze: int = 16,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if groups != 1:
            raise ValueError(f"groups must be 1, DCD defines no other, got {groups}")
        if 2 * padding != dilation * (kernel_size - 1):
            raise ValueError(
                f"padding must be dilation * (kernel_size - 1) / 2 = "
                f"{dilation * (kernel_size - 1) / 2:g}, got {padding}"
            )
        require_at_least("squeeze", squeeze, 1)
        require_at_least("in_channels", in_channels, squeeze)
        self.rank = math.isqrt(in_channels)
        hidden = in_channels // squeeze
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False
        )
        self.q = nn.Conv2d(in_channels, self.rank, 1, stride, bias=False)
        self.q_norm = nn.BatchNorm2d(self.rank)
        self.phi_norm = nn.BatchNorm2d(self.rank)
        self.p = nn.Conv2d(self.rank, out_channels, 1, bias=False)
        self.trunk = nn.Sequential(nn.Linear(in_channels, hidden, bias=False), HardGate(hidden))
        self.phi = nn.Linear(hidden, self.rank**2, bias=False)
        self.scale = nn.Linear(hidden, out_channels, bias=False)
        self.bias = optional_bias(out_channels, wanted=bias)
        for conv in (self.conv, self.q, self.p):
            draw_kernels(conv.weight[None])

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        pooled = self.trunk(x.mean((2, 3)))  # (N, hidden)
        phi = self.phi(pooled).reshape(-1, self.rank, self.rank)
        scale = hard_sigmoid2(self.scale(pooled))[:, :, None, None]
        squeezed = self.q_norm(self.q(x))  # (N, L, H_out, W_out)
        fused = (phi @ squeezed.flatten(2)).reshape(squeezed.shape)
        residual = self.p(self.phi_norm(fused) + squeezed)
        out: Tensor = scale * self.conv(x) + residual
        return out if self.bias is None else out + self.bias[:, None, None]


class DCDClassifier(nn.Module):
    """A linear classifier with the same decomposition: the authors' networks end with one.

    Args:
        in_features, out_features: as in `torch.nn.Linear`.
        rank: L.
        hidden: outputs of the gated FC.
    Shape:
        (N, in_features) to (N, out_features).
    Source: the authors' code, `DYCls`.
    """

    def __init__(
        self, in_features: int, out_features: int, rank: int = 32, hidden: int = 32
    ) -> None:
        super().__init__()
        require_at_least("rank", rank, 1)
        require_at_least("hidden", hidden, 1)
        self.rank = rank
        self.linear = nn.Linear(in_features, out_features)
        self.q = nn.Linear(in_features, rank, bias=False)
        self.q_norm = PooledBatchNorm(rank)
        self.phi_norm = PooledBatchNorm(rank)
        self.p = nn.Linear(rank, out_features, bias=False)
        self.trunk = nn.Sequential(nn.Linear(in_features, hidden, bias=False), HardGate(hidden))
        self.phi = nn.Linear(hidden, rank**2, bias=False)
        self.scale = nn.Linear(hidden, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.trunk(x)  # (N, hidden)
        phi = self.phi(pooled).reshape(-1, self.rank, self.rank)
        squeezed = self.q_norm(self.q(x))  # (N, L)
        fused = self.phi_norm((phi @ squeezed[:, :, None]).squeeze(2))
        scaled = hard_sigmoid2(self.scale(pooled)) * self.linear(x)
        out: Tensor = scaled + self.p(fused + squeezed)
        return out


def hard_sigmoid2(x: Tensor) -> Tensor:
    """relu6(x + 3) / 3: from 0 to 2, 1 at zero."""
    return F.relu6(x + 3) / 3
