"""BAM: a channel and a dilated spatial attention, added and applied as a residual gate.

BAM: Bottleneck Attention Module (arXiv 1807.06514).
"""

from __future__ import annotations

from torch import Tensor, nn

from repro.nn.per_sample import PooledBatchNorm, require_at_least


class BAM(nn.Module):
    """x * (1 + sigmoid(channel(x) + spatial(x))).

    Channel: pool, FC, batch norm, ReLU, FC. Spatial: 1x1 convolution, two dilated 3x3 convolutions,
    each with batch norm and ReLU, and a 1x1 convolution to one map.

    Args:
        in_channels: C.
        reduction: r of the paper, of both branches.
        dilation: d of the paper.
    Shape:
        (N, C, H, W) to (N, C, H, W).
    Raises:
        ValueError: a reduction or dilation below 1; fewer channels than the reduction; an input
            without C channels.
    Source: BAM (arXiv 1807.06514), F' = F + F * M(F), M = sigmoid(M_c + M_s), r = 16, d = 4.
    Deviates: batch norms stand before each ReLU, as in the authors' code; the paper has one at the
        end of each branch. The sum is the paper's; the authors' code multiplies the branches.
    """

    def __init__(self, in_channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        require_at_least("reduction", reduction, 1)
        require_at_least("dilation", dilation, 1)
        require_at_least("in_channels", in_channels, reduction)
        mid = in_channels // reduction
        self.in_channels = in_channels
        self.channel = nn.Sequential(
            nn.Linear(in_channels, mid),
            PooledBatchNorm(mid),
            nn.ReLU(),
            nn.Linear(mid, in_channels),
        )
        spatial: list[nn.Module] = [nn.Conv2d(in_channels, mid, 1), nn.BatchNorm2d(mid), nn.ReLU()]
        for _ in range(2):
            conv = nn.Conv2d(mid, mid, 3, padding=dilation, dilation=dilation)
            spatial += [conv, nn.BatchNorm2d(mid), nn.ReLU()]
        self.spatial = nn.Sequential(*spatial, nn.Conv2d(mid, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        channel = self.channel(x.mean((2, 3)))[:, :, None, None]  # (N, C, 1, 1)
        gate = (channel + self.spatial(x)).sigmoid()  # (N, C, H, W)
        out: Tensor = x * (1 + gate)
        return out
