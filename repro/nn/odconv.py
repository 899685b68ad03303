"""ODConv: attention along all four dimensions of a stack of kernels.

Omni-Dimensional Dynamic Convolution (arXiv 2209.07947).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from repro.nn.per_sample import (
    AnnealedConv2d,
    PooledBatchNorm,
    draw_attention,
    draw_kernels,
    optional_bias,
    require_at_least,
    squeezed,
)


class ODConv2d(AnnealedConv2d):
    """Convolve with sum_i a_kernel_i * a_filter * a_channel * a_spatial * kernel_i.

    The attentions over output filters, input channels and kernel positions are sigmoids, shared by
    the kernels; the one over kernels is a softmax. All see the pooled input through one trunk: FC,
    batch norm, ReLU. A 1x1 kernel has no spatial attention, a depth-wise layer no filter attention,
    a single kernel no kernel attention.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias: as in
            `torch.nn.Conv2d`; the bias is static.
        kernels: n of the paper.
        squeeze_ratio: width of the trunk relative to in_channels; it is 16 at least.
        temperature: divides the input of softmax and sigmoids; see `anneal_temperature`.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out).
    Raises:
        ValueError: kernels < 1, non-positive squeeze_ratio or temperature, and what `DynamicConv2d`
            raises.
    Source: ODConv (arXiv 2209.07947), y = (sum_i a_wi * a_fi * a_ci * a_si * W_i) * x; the authors'
        `ODConv2d`, whose a_f, a_c and a_s are the same for all i.
    Deviates: the attentions over channels and filters multiply the features, which is the same (the
        authors' code does too). A training batch of one: see `PooledBatchNorm`.
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
        kernels: int = 4,
        squeeze_ratio: float = 1 / 16,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        require_at_least("kernels", kernels, 1)
        hidden = squeezed(in_channels, squeeze_ratio, least=16)
        depthwise = in_channels == groups == out_channels
        self.temperature = temperature
        self.trunk = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False), PooledBatchNorm(hidden), nn.ReLU()
        )
        self.channel = nn.Linear(hidden, in_channels)
        self.filter = None if depthwise else nn.Linear(hidden, out_channels)
        self.spatial = None if kernel_size == 1 else nn.Linear(hidden, kernel_size**2)
        self.kernel = None if kernels == 1 else nn.Linear(hidden, kernels)
        self.weight = nn.Parameter(torch.empty(kernels, *self.kernel_shape))
        self.bias = optional_bias(out_channels, wanted=bias)
        draw_kernels(self.weight)
        draw_attention(self)

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        pooled = self.trunk(x.mean((2, 3)))  # (N, hidden)
        x = x * self._gate(self.channel, pooled)[:, :, None, None]
        out = self.convolve(x, self._mixed(pooled))
        if self.filter is not None:
            out = out * self._gate(self.filter, pooled)[:, :, None, None]
        return out if self.bias is None else out + self.bias[:, None, None]

    def _gate(self, head: nn.Linear, pooled: Tensor) -> Tensor:
        scores: Tensor = head(pooled) / self.temperature
        return scores.sigmoid()

    def _mixed(self, pooled: Tensor) -> Tensor:
        N, K = pooled.shape[0], self.kernel_size
        if self.kernel is None:
            mixed = self.weight.expand(N, *self.kernel_shape)
        else:
            attention = (self.kernel(pooled) / self.temperature).softmax(1)  # (N, kernels)
            mixed = (attention @ self.weight.flatten(1)).reshape(N, *self.kernel_shape)
        if self.spatial is None:
            return mixed
        spatial = self._gate(self.spatial, pooled).reshape(N, 1, 1, K, K)
        return mixed * spatial
