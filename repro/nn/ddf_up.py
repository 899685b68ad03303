"""DDF-Up: upsampling by an integer factor with one DDF per sub-pixel.

DDF (arXiv 2104.14107), section 6, Fig. 5.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from repro.names import require_known
from repro.nn.ddf import (
    KERNEL_COMBINES,
    ChannelBranch,
    SpatialBranch,
    require_odd,
)
from repro.ops import ddf_up


class DDFUp(nn.Module):
    """Upsample features by filtering them scale_factor ** 2 times and shuffling the results.

    Branch i has its own spatial and channel branch, filters the same low-resolution input, and
    fills the sub-pixels (i // scale_factor, i % scale_factor). Spatial filters are predicted from
    the input through a depth-wise convolution, or, in joint upsampling, from a guidance.

    Args:
        in_channels: C, of input and output.
        scale_factor: any integer of at least 1.
        kernel_size: K of the filters, odd.
        dw_kernel_size: side of the depth-wise convolution (without guidance only), odd.
        guidance_channels: channels of the guidance; None for upsampling without one.
        dilation, heads, squeeze_ratio, kernel_combine, norm: see `DDF`.
        nonlinearity: what follows the layer; the authors take "linear" here.
        use_channel: with False, the channel filters are the identity of the combination and their
            branches do not exist, as in `DDF`.
    Shape:
        x (N, C, H, W), guidance (N, guidance_channels, H, W) or
        (N, guidance_channels, scale_factor * H, scale_factor * W), to
        (N, C, scale_factor * H, scale_factor * W).
    Raises:
        ValueError: scale_factor < 1; a guidance that is missing, not expected, or of another shape;
            and what `DDF` raises.
    Source: DDF (arXiv 2104.14107), section 6, Fig. 5; the authors' `DDFUpPack`, which cannot run
        (its call passes the head count where the combination belongs).
    Deviates: the depth-wise convolution has its own padding, dw_kernel_size // 2, and stands only
        where there is no guidance, as the paper draws it. A guidance may also come at the output's
        resolution, which the paper names and the authors' code cannot take: branch i then sees the
        guidance at its own sub-pixels, with the same parameters.
    """

    def __init__(
        self,
        in_channels: int,
        scale_factor: int = 2,
        kernel_size: int = 3,
        dw_kernel_size: int = 3,
        guidance_channels: int | None = None,
        dilation: int = 1,
        heads: int = 1,
        squeeze_ratio: float = 0.2,
        nonlinearity: str = "linear",
        kernel_combine: str = "mul",
        norm: str = "filter_norm",
        use_channel: bool = True,
    ) -> None:
        super().__init__()
        require_odd("kernel_size", kernel_size)
        require_known("kernel_combine", kernel_combine, KERNEL_COMBINES)
        if scale_factor < 1 or scale_factor != int(scale_factor):
            raise ValueError(f"scale_factor must be an integer of at least 1, got {scale_factor}")
        if heads < 1 or in_channels % heads:
            raise ValueError(f"heads must divide in_channels={in_channels}, got {heads}")
        self.in_channels = in_channels
        self.scale_factor = int(scale_factor)
        self.kernel_size = kernel_size
        self.guidance_channels = guidance_channels
        self.dilation = dilation
        self.heads = heads
        self.kernel_combine = kernel_combine
        branches = range(self.scale_factor**2)
        names: dict[str, Any] = {"norm": norm, "nonlinearity": nonlinearity}
        self.spatial_branches = nn.ModuleList(
            SpatialBranch(
                guidance_channels or in_channels,
                kernel_size,
                heads=heads,
                dw_kernel_size=None if guidance_channels else dw_kernel_size,
                **names,
            )
            for _ in branches
        )
        self.channel_branches = nn.ModuleList(
            ChannelBranch(in_channels, kernel_size, squeeze_ratio, **names)
            for _ in (branches if use_channel else ())
        )

    def forward(self, x: Tensor, guidance: Tensor | None = None) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected x of (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        N, C, H, W = x.shape
        s, K = self.scale_factor, self.kernel_size
        channel_filter = self._channel_filter(x)  # (N, C, s*s, K, K)
        branches = [cast(SpatialBranch, branch) for branch in self.spatial_branches]
        scales = {branch.norm_scale for branch in branches}  # one, unless some have hooks
        norm_scale = scales.pop() if len(scales) == 1 else None
        predict = [branch if norm_scale is None else branch.predict for branch in branches]
        spatial_filter = torch.stack(
            [
                filters(source).unflatten(1, (self.heads, K * K))
                for source, filters in zip(self._sources(x, guidance), predict, strict=True)
            ],
            2,
        )  # (N, heads, s*s, K*K, H, W)
        out = ddf_up(
            x.reshape(N * self.heads, C // self.heads, H, W),
            channel_filter.reshape(N * self.heads, C // self.heads, s * s, K, K),
            spatial_filter.flatten(0, 1),
            s,
            dilation=self.dilation,
            kernel_combine=self.kernel_combine,
            norm_scale=norm_scale,
        )
        return out.reshape(N, C, s * H, s * W)

    def _channel_filter(self, x: Tensor) -> Tensor:
        if self.channel_branches:
            return torch.stack([branch(x) for branch in self.channel_branches], 2)
        identity = 1.0 if self.kernel_combine == "mul" else 0.0
        K = self.kernel_size
        return x.new_full((*x.shape[:2], self.scale_factor**2, K, K), identity)

    def _sources(self, x: Tensor, guidance: Tensor | None) -> list[Tensor]:
        """What each branch predicts its spatial filters from, all on the grid of `x`."""
        s = self.scale_factor
        if self.guidance_channels is None:
            if guidance is not None:
                raise ValueError(
                    "got a guidance, but this DDFUp was built without guidance_channels"
                )
            return [x] * s**2
        N, _, H, W = x.shape
        low = (N, self.guidance_channels, H, W)
        high = (N, self.guidance_channels, s * H, s * W)
        shape = None if guidance is None else tuple(guidance.shape)
        if guidance is None or shape not in (low, high):
            raise ValueError(f"guidance must be {low} or {high}, got {shape}")
        if shape == low:
            return [guidance] * s**2
        return [guidance[:, :, i // s :: s, i % s :: s] for i in range(s**2)]

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, scale_factor={self.scale_factor}, "
            f"kernel_size={self.kernel_size}, guidance_channels={self.guidance_channels}, "
            f"heads={self.heads}, kernel_combine={self.kernel_combine!r}"
        )
