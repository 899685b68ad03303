"""FDConv: a convolution whose weight is mixed per sample from disjoint groups of frequencies.

Frequency Dynamic Convolution for Dense Image Prediction (arXiv 2503.18783).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn.fourier_weight import FourierWeight
from repro.nn.frequency_band_modulation import FrequencyBandModulation
from repro.nn.per_sample import require_sizes

# The authors modulate frequency bands for these kernels only.
FBM_KERNEL_SIZE = (3, 3)

# Arguments of Conv2d, and attributes of it and of FDConv, beside the bias.
CONV_SETTINGS = (
    "in_channels",
    "out_channels",
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "padding_mode",
)


class FDConv(FourierWeight):
    """A drop-in for `torch.nn.Conv2d`: FDW and KSM make the weight, FBM treats the bands.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode: as in `torch.nn.Conv2d`, same order, same meaning.
        use_fbm: frequency band modulation; None for 3 x 3 kernels only, as in the authors' code.
        fbm_form: "code" (default: cheaper, and what the released results come from) modulates the
            bands of the input, all but the lowest; "paper" those of the output, all of them.
        fbm: further options of `FrequencyBandModulation`.
        options: those of `FourierWeight`: `kernel_num` (64 groups), `param_ratio`, `min_channels`
            (17: with at most 16 input or output channels the layer is a plain convolution, as in
            the authors' code), `temperature`, `use_ksm_global`, `use_ksm_local`, ...
    Shape:
        (N, in_channels, H, W) to (N, out_channels, H_out, W_out), as `torch.nn.Conv2d`.
    Raises:
        ValueError: a size below 1; what `torch.nn.Conv2d` and `FourierWeight` refuse; an input of
            another shape, or smaller, padding included, than the window.
    Source: FDConv (arXiv 2503.18783), sections on FDW, KSM and FBM; numbers and starts that the
        paper leaves open are those of the authors' code.
    Deviates: any kernel size, odd sizes, convolution groups and depth-wise layers work. 64 groups
        are the default (the paper's; the authors' constructor has 4). See `frequency_groups`,
        `FourierWeight`, `GlobalModulation` and `FrequencyBandModulation` for the rest.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        use_fbm: bool | None = None,
        fbm_form: str = "code",
        fbm: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        require_sizes(
            in_channels,
            out_channels,
            groups,
            kernel_size=kernel_size,
            stride=stride,
            dilation=dilation,
        )
        # PyTorch's own layer checks and spells out the arguments; on "meta" it costs nothing.
        like = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            cast(Any, padding_mode),
            device="meta",
        )
        super().__init__(tuple(like.weight.shape), groups, **options)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = (self.weight_shape[2], self.weight_shape[3])
        self.stride = like.stride
        self.padding = like.padding
        self.dilation = like.dilation
        self.padding_mode = padding_mode
        self.border = list(like._reversed_padding_repeated_twice)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        if use_fbm is None:
            use_fbm = self.kernel_size == FBM_KERNEL_SIZE
        self.band_modulation = (
            FrequencyBandModulation(in_channels, form=fbm_form, **(fbm or {}))
            if use_fbm and not self.is_plain
            else None
        )
        self.reset_parameters()

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, **options: Any) -> FDConv:
        """An FDConv that computes what `conv` computes until it is trained.

        Args:
            conv: any `nn.Conv2d`.
            options: further arguments of `FDConv`.
        """
        settings = {name: getattr(conv, name) for name in CONV_SETTINGS}
        layer = cls(**settings, bias=conv.bias is not None, **options)
        layer = layer.to(conv.weight.device, conv.weight.dtype)
        layer.set_weight(conv.weight)
        if layer.bias is not None and conv.bias is not None:
            layer.bias.data.copy_(conv.bias)
        return layer

    def reset_parameters(self) -> None:
        """Start from a weight and bias drawn as `torch.nn.Conv2d` draws them."""
        draw_weight(self, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        if 0 in x.shape[2:]:  # its mean is nothing to predict weights from
            raise ValueError(f"expected a map of at least 1 x 1, got {tuple(x.shape)}")
        self._check_window(x)
        if self.is_plain:
            return self._convolve(x, self.weight[None])
        if x.shape[0] == 0:
            return self._convolve(x, self.static_weight()[None])
        # One for all samples, or one for each: (1 or N, C_out, C_in/groups, K_h, K_w).
        weights = self.static_weight()[None] if self.is_static else self.weights(x.mean((2, 3)))
        if self.band_modulation is None:
            return self._convolve(x, weights)
        if self.band_modulation.form == "code":
            return self._convolve(self.band_modulation(x), weights)
        out: Tensor = self.band_modulation(self._convolve(x, weights, with_bias=False), source=x)
        return out if self.bias is None else out + self.bias.to(out.dtype)[:, None, None]

    def _check_window(self, x: Tensor) -> None:
        sizes = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        left, right, top, bottom = self.border
        padded = [x.shape[2] + top + bottom, x.shape[3] + left + right]
        if padded[0] < sizes[0] or padded[1] < sizes[1]:
            raise ValueError(
                f"the window is {sizes[0]} x {sizes[1]}, the padded input only "
                f"{padded[0]} x {padded[1]}"
            )

    def _convolve(self, x: Tensor, weights: Tensor, with_bias: bool = True) -> Tensor:
        """Convolve each sample with its weight, or all of them with the only one."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self.border, mode=self.padding_mode), 0
        samples, batch = weights.shape[0], x.shape[0]
        bias = self.bias if with_bias else None
        out = F.conv2d(
            # Samples side by side as convolution groups; a single weight leaves the batch alone.
            x.reshape(batch // samples, samples * self.in_channels, *x.shape[2:]),
            weights.flatten(0, 1),
            None if bias is None else bias.repeat(samples),
            self.stride,
            padding,
            self.dilation,
            samples * self.groups,
        )
        return out.reshape(batch, self.out_channels, *out.shape[2:])

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, groups={self.groups}"
        )
        return f"{text}, plain" if self.is_plain else f"{text}, kernel_num={self.kernel_num}"


class FDLinear(FourierWeight):
    """A drop-in for `torch.nn.Linear`, as a 1 x 1 FDConv over the tokens of each sample.

    Args:
        in_features, out_features, bias: as in `torch.nn.Linear`.
        options: those of `FourierWeight`.
    Shape:
        (N, ..., in_features) to (N, ..., out_features); attention comes from the mean over all axes
        between, so that every first index is a sample.
    Raises:
        ValueError: what `FourierWeight` refuses; an input of another shape.
    Source: FDConv (arXiv 2503.18783); its authors treat feed-forward layers as 1 x 1 convolutions.
        Their separate layer for language models (other trunk, other starts) is not this one.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, **options: Any
    ) -> None:
        super().__init__((out_features, in_features, 1, 1), 1, **options)
        self.in_features = in_features
        self.out_features = out_features
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None
        self.reset_parameters()

    @classmethod
    def from_linear(cls, linear: nn.Linear, **options: Any) -> FDLinear:
        """An FDLinear that computes what `linear` computes until it is trained."""
        has_bias = linear.bias is not None
        layer = cls(linear.in_features, linear.out_features, has_bias, **options)
        layer = layer.to(linear.weight.device, linear.weight.dtype)
        layer.set_weight(linear.weight[..., None, None])
        if layer.bias is not None:
            layer.bias.data.copy_(linear.bias)
        return layer

    def reset_parameters(self) -> None:
        """Start from a weight and bias drawn as `torch.nn.Linear` draws them."""
        draw_weight(self, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[-1] != self.in_features:
            raise ValueError(f"expected (N, ..., {self.in_features}), got {tuple(x.shape)}")
        tokens = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), self.in_features)
        if self.is_static or tokens.numel() == 0:
            return F.linear(x, self.static_weight()[..., 0, 0], self.bias)
        weights = self.weights(tokens.mean(1))[..., 0, 0]  # (N, C_out, C_in)
        out = torch.bmm(tokens, weights.to(tokens.dtype).transpose(1, 2))
        if self.bias is not None:
            out = out + self.bias.to(out.dtype)
        return out.reshape(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        text = f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
        return f"{text}, plain" if self.is_plain else f"{text}, kernel_num={self.kernel_num}"


def draw_weight(layer: FourierWeight, bias: Tensor | None) -> None:
    """Give a layer a weight and bias as PyTorch draws those of a convolution or FC."""
    weight = torch.empty(layer.weight_shape)
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
    layer.set_weight(weight)
    if bias is not None:
        bound = 1 / math.sqrt(math.prod(layer.weight_shape[1:]))
        nn.init.uniform_(bias, -bound, bound)
