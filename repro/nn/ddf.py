"""DDF: decoupled dynamic filtering, a drop-in for a K x K convolution that keeps its channels.

DDF (arXiv 2104.14107), section 4, Fig. 2(b): two small branches predict, from the same input, one
K x K filter per pixel and one per channel; the DDF operation combines and applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from repro.names import require_known
from repro.nn.filter_norm import FilterNorm, build_norm
from repro.ops import ddf

KERNEL_COMBINES = ("mul", "add")


class SpatialBranch(nn.Module):
    """Predict one K x K filter per head and output pixel: 1x1 convolution, then the norm.

    Args:
        in_channels: C of the features the filters are predicted from.
        kernel_size: K, odd.
        stride: of the 1x1 convolution; the map of filters has ceil(H / stride) rows.
        heads: filters per pixel.
        dw_kernel_size: side of a depth-wise convolution before the 1x1 convolution, which then
            carries the stride (DDF-Up without guidance has one); None for none.
        norm, nonlinearity: see `DDF`.
    Shape:
        (N, C, H, W) to (N, heads * K * K, ceil(H / stride), ceil(W / stride)).
    Source: DDF (arXiv 2104.14107), Fig. 2(b).
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        *,
        heads: int = 1,
        dw_kernel_size: int | None = None,
        norm: str = "filter_norm",
        nonlinearity: str = "relu",
    ) -> None:
        super().__init__()
        if dw_kernel_size is None:
            self.depthwise = None
        else:
            require_odd("dw_kernel_size", dw_kernel_size)
            self.depthwise = nn.Conv2d(
                in_channels,
                in_channels,
                dw_kernel_size,
                stride=stride,
                padding=dw_kernel_size // 2,
                groups=in_channels,
            )
            stride = 1
        self.pointwise = nn.Conv2d(in_channels, heads * kernel_size**2, 1, stride=stride)
        self.norm = build_norm(norm, heads, kernel_size, "spatial", nonlinearity=nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.predict(x))  # type: ignore[no-any-return]

    def predict(self, x: Tensor) -> Tensor:
        """The filters before the norm."""
        if self.depthwise is not None:
            x = self.depthwise(x)
        x = self.pointwise(x)  # (N, heads*K*K, H_out, W_out)
        return x

    @property
    def norm_scale(self) -> float | None:
        """What to hand to the DDF operation, with `predict`, so that it does the norm; or None.

        The operation can do it for a `FilterNorm` that learns nothing, and does not where a hook
        waits for the branch's or the norm's output. No size is excepted: in training it pays at all
        that were measured, and forward alone it costs nothing (`ddf_normalised` against
        `ddf_after_filter_norm` in results/benchmark/).
        """
        norm = self.norm
        if not isinstance(norm, FilterNorm) or norm.scale is not None:
            return None
        if _has_hooks(self) or _has_hooks(norm):
            return None
        return norm.base_scale


class ChannelBranch(nn.Module):
    """Predict one K x K filter per channel: global average pool, FC, ReLU, FC, then the norm.

    Args:
        in_channels: C.
        kernel_size: K, odd.
        squeeze_ratio: the first FC has floor(squeeze_ratio * C) outputs.
        norm, nonlinearity: see `DDF`.
    Shape:
        (N, C, H, W) to (N, C, K, K).
    Raises:
        ValueError: floor(squeeze_ratio * in_channels) is 0: the filters would not see the input.
    Source: DDF (arXiv 2104.14107), Fig. 2(b).
    Deviates: the authors write the two FCs as 1x1 convolutions of a 1x1 map; same parameters.
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: int = 3,
        squeeze_ratio: float = 0.2,
        *,
        norm: str = "filter_norm",
        nonlinearity: str = "relu",
    ) -> None:
        super().__init__()
        mid_channels = int(squeeze_ratio * in_channels)
        if mid_channels < 1:
            raise ValueError(
                "squeeze_ratio * in_channels must be at least 1, "
                f"got {squeeze_ratio} * {in_channels}"
            )
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.squeeze = nn.Linear(in_channels, mid_channels)
        self.activation = nn.ReLU()
        self.excite = nn.Linear(mid_channels, in_channels * kernel_size**2)
        self.norm = build_norm(norm, in_channels, kernel_size, "channel", nonlinearity=nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))  # (N, C)
        x = self.activation(self.squeeze(x))  # (N, mid)
        x = self.excite(x)  # (N, C*K*K)
        x = self.norm(x)
        # Sizes spelled out: a batch of zero leaves nothing to infer one from.
        K = self.kernel_size
        return x.reshape(x.shape[0], self.in_channels, K, K)  # (N, C, K, K)


class DDF(nn.Module):
    """Filter the input with filters predicted from it: one per pixel combined with one per channel.

    Args:
        in_channels: C, of input and output.
        kernel_size: K, odd.
        stride, dilation: as in `torch.nn.Conv2d`; the padding is dilation * (K // 2).
        heads: the channels are split into this many groups, each with its own spatial filters.
        squeeze_ratio: sigma, the width of the channel branch relative to C.
        nonlinearity: what follows the layer; it sets the gain of the filter norm.
        kernel_combine: "mul" (the paper) or "add" (the authors' code only).
        norm: "filter_norm" (the authors' form), "filter_norm_paper" (Eq. 3 as printed; see
            `FilterNorm`), or Table 3(b)'s rivals "batch_norm", "sigmoid", and "none".
        use_spatial, use_channel: with one False, that filter is the identity of the combination
            (ones for "mul", zeros for "add") and its branch does not exist: Table 3(a).
    Shape:
        (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)), any H and W.
    Raises:
        ValueError: even kernel_size, heads that do not divide in_channels, no filter used, an input
            without C channels; and see `FilterNorm`, `FilterBatchNorm`, `ChannelBranch`.
        UnknownNameError: unknown norm, kernel_combine or nonlinearity.
    Source: DDF (arXiv 2104.14107), section 4, Eq. 2 and 3; the authors' `DDFPack`.
    Deviates: any H and W with a stride (the authors' op rounds the size down where their branch
        rounds up, and refuses); more than one head runs (their op refuses).
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        heads: int = 1,
        squeeze_ratio: float = 0.2,
        nonlinearity: str = "relu",
        kernel_combine: str = "mul",
        norm: str = "filter_norm",
        use_spatial: bool = True,
        use_channel: bool = True,
    ) -> None:
        super().__init__()
        require_odd("kernel_size", kernel_size)
        require_known("kernel_combine", kernel_combine, KERNEL_COMBINES)
        if not (use_spatial or use_channel):
            raise ValueError("use_spatial and use_channel are both False: there is no filter left")
        if heads < 1 or in_channels % heads:
            raise ValueError(f"heads must divide in_channels={in_channels}, got {heads}")
        for name, value in {"stride": stride, "dilation": dilation}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.in_channels = in_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.dilation = dilation
        self.heads = heads
        self.kernel_combine = kernel_combine
        names: dict[str, Any] = {"norm": norm, "nonlinearity": nonlinearity}
        self.spatial_branch = (
            SpatialBranch(in_channels, kernel_size, stride, heads=heads, **names)
            if use_spatial
            else None
        )
        self.channel_branch = (
            ChannelBranch(in_channels, kernel_size, squeeze_ratio, **names) if use_channel else None
        )

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, **options: Any) -> DDF:
        """A DDF that can stand where `conv` stands: its channels, kernel size, stride, dilation.

        Args:
            conv: square odd kernel, as many outputs as inputs, "same" padding.
            options: further arguments of `DDF`, which win over the convolution's.
        Raises:
            ValueError: `conv` is not of that kind; the message says in what.
        """
        kernel_size, stride, dilation = conv.kernel_size[0], conv.stride[0], conv.dilation[0]
        same = dilation * (kernel_size // 2)
        if conv.in_channels != conv.out_channels:
            raise ValueError(
                f"DDF keeps the channel count; the convolution has {conv.in_channels} inputs and "
                f"{conv.out_channels} outputs"
            )
        square = all(len(set(pair)) == 1 for pair in (conv.kernel_size, conv.stride, conv.dilation))
        if not square or conv.padding not in ((same, same), "same"):
            raise ValueError(
                f"DDF replaces a square convolution with padding {same}, got kernel_size="
                f"{conv.kernel_size}, stride={conv.stride}, dilation={conv.dilation}, "
                f"padding={conv.padding}"
            )
        settings = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
        return cls(conv.in_channels, **(settings | options))

    def filters(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two filters for `x`, identities included.

        Returns:
            channel_filter (N, C, K, K) and spatial_filter (N, heads * K * K, H_out, W_out).
        """
        self._check(x)
        return self._channel_filter(x), self._spatial_filter(x, self.spatial_branch)

    def _check(self, x: Tensor) -> None:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")

    def _channel_filter(self, x: Tensor) -> Tensor:
        if self.channel_branch is not None:
            return self.channel_branch(x)  # type: ignore[no-any-return]
        return x.new_full((*x.shape[:2], self.kernel_size, self.kernel_size), self._identity)

    def _spatial_filter(self, x: Tensor, predict: Callable[[Tensor], Tensor] | None) -> Tensor:
        if predict is not None:
            return predict(x)
        H_out, W_out = (-(-size // self.stride) for size in x.shape[2:])
        return x.new_full((len(x), self.heads * self.kernel_size**2, H_out, W_out), self._identity)

    @property
    def _identity(self) -> float:
        return 1.0 if self.kernel_combine == "mul" else 0.0

    def forward(self, x: Tensor) -> Tensor:
        self._check(x)
        branch = self.spatial_branch
        norm_scale = branch.norm_scale if branch is not None else None
        predict = branch.predict if branch is not None and norm_scale is not None else branch
        return filter_by_heads(
            x,
            self._channel_filter(x),
            self._spatial_filter(x, predict),
            heads=self.heads,
            stride=self.stride,
            dilation=self.dilation,
            kernel_combine=self.kernel_combine,
            norm_scale=norm_scale,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"dilation={self.dilation}, heads={self.heads}, kernel_combine={self.kernel_combine!r}"
        )


def filter_by_heads(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    *,
    heads: int = 1,
    stride: int = 1,
    dilation: int = 1,
    kernel_combine: str = "mul",
    norm_scale: float | None = None,
) -> Tensor:
    """The DDF operation with several spatial filters per pixel, one for each group of channels.

    Args:
        x: (N, C, H, W).
        channel_filter: (N, C, K, K).
        spatial_filter: (N, heads * K * K, H_out, W_out); head g filters channels g * C / heads on.
        stride, dilation, kernel_combine, norm_scale: see `repro.ops.ddf`.
    Returns:
        (N, C, H_out, W_out).
    """
    N = x.shape[0]
    if heads > 1:
        x, channel_filter, spatial_filter = (  # each (N*heads, .../heads, ...)
            tensor.reshape(N * heads, tensor.shape[1] // heads, *tensor.shape[2:])
            for tensor in (x, channel_filter, spatial_filter)
        )
    out = ddf(
        x,
        channel_filter,
        spatial_filter,
        stride=stride,
        dilation=dilation,
        kernel_combine=kernel_combine,
        norm_scale=norm_scale,
    )
    return out.reshape(N, heads * out.shape[1], *out.shape[2:])


def require_odd(name: str, value: int) -> None:
    """Refuse a kernel that has no centre.

    Raises:
        ValueError: `value` is even or below 1.
    """
    if value < 1 or value % 2 == 0:
        raise ValueError(f"{name} must be odd and at least 1, got {value}")


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
