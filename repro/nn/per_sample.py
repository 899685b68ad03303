"""What the dynamic convolutions share: a kernel for every sample, and how it is applied.

Each layer predicts its kernels from globally pooled features and then convolves every sample with
its own: `convolve_per_sample` does that as one grouped convolution.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DynamicConv2d(nn.Module):
    """The arguments of `torch.nn.Conv2d`, checked and kept: base of the layers that replace one.

    A subclass makes its parameters and writes `forward`. It draws its own start.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups: as in
            `torch.nn.Conv2d`, one integer for both directions, zero padding.
    Raises:
        ValueError: a size below its least value; groups that do not divide both channel counts.
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
    ) -> None:
        super().__init__()
        require_sizes(
            in_channels,
            out_channels,
            groups,
            kernel_size=kernel_size,
            stride=stride,
            dilation=dilation,
        )
        require_at_least("padding", padding, 0)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, **options: Any) -> Self:
        """A layer that can stand where `conv` stands, with its channels, kernel, stride and bias.

        Args:
            conv: square kernel, stride and dilation; zero padding, the same on every side.
            options: further arguments of the layer, which win over the convolution's.
        Raises:
            ValueError: `conv` is not of that kind.
        """
        pairs = (conv.kernel_size, conv.stride, conv.dilation, conv.padding)
        if isinstance(conv.padding, str) or any(len(set(pair)) > 1 for pair in pairs):
            raise ValueError(
                f"{cls.__name__} replaces a square convolution, got kernel_size={conv.kernel_size},"
                f" stride={conv.stride}, dilation={conv.dilation}, padding={conv.padding}"
            )
        if conv.padding_mode != "zeros":
            raise ValueError(
                f"{cls.__name__} pads with zeros, the convolution with {conv.padding_mode!r}"
            )
        settings: dict[str, Any] = {
            "stride": conv.stride[0],
            "padding": conv.padding[0],
            "dilation": conv.dilation[0],
            "groups": conv.groups,
            "bias": conv.bias is not None,
        }
        return cls(conv.in_channels, conv.out_channels, conv.kernel_size[0], **(settings | options))

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """(out_channels, in_channels / groups, K, K): the shape of one kernel."""
        K = self.kernel_size
        return (self.out_channels, self.in_channels // self.groups, K, K)

    def check_input(self, x: Tensor) -> None:
        """Refuse what the layer cannot filter.

        Raises:
            ValueError: not (N, in_channels, H, W), or smaller, padding included, than the window.
        """
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, H, W), got {tuple(x.shape)}")
        window = self.dilation * (self.kernel_size - 1) + 1
        if min(x.shape[2:]) + 2 * self.padding < window:
            raise ValueError(
                f"the window is {window} wide, the padded input only "
                f"{x.shape[2] + 2 * self.padding} x {x.shape[3] + 2 * self.padding}"
            )

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve every sample with its own kernel, by the layer's stride, padding and so on."""
        return convolve_per_sample(
            x,
            weight,
            bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"groups={self.groups}"
        )


class AnnealedConv2d(DynamicConv2d):
    """A dynamic convolution whose attention has a temperature: see `anneal_temperature`."""

    # At the start and at the end of annealing.
    temperatures: ClassVar[tuple[float, float]] = (30.0, 1.0)

    @property
    def temperature(self) -> float:
        """What the attention's scores are divided by, unless the layer says otherwise."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self.check_temperature(value)
        self._temperature = value

    def check_temperature(self, value: float) -> None:
        """Refuse a temperature that the attention cannot have.

        Raises:
            ValueError: the value is not positive.
        """
        require_positive("temperature", value)


def convolve_per_sample(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve sample n with kernel n: the samples become groups of one convolution.

    Args:
        x: (N, C, H, W).
        weight: (N, C_out, C / groups, K, K).
        bias: (N, C_out) or (C_out,).
    Returns:
        (N, C_out, H_out, W_out).
    """
    N, C, H, W = x.shape
    out = F.conv2d(
        x.reshape(1, N * C, H, W),
        weight.flatten(0, 1),
        None,
        stride,
        padding,
        dilation,
        N * groups,
    )
    out = out.reshape(N, weight.shape[1], *out.shape[2:])
    return out if bias is None else out + bias[..., None, None]


def mix(coefficients: Tensor, parts: Tensor) -> Tensor:
    """Weighted sums of `parts`: (N, E) and (E, ...) to (N, ...)."""
    mixed = coefficients @ parts.flatten(1)
    return mixed.reshape(coefficients.shape[0], *parts.shape[1:])


class PooledBatchNorm(nn.BatchNorm1d):
    """Batch norm of pooled features (N, C), for layers whose published form has one.

    Deviates: a training batch of one has no variance; its running statistics stand in, and stay.
        `torch.nn.BatchNorm1d` raises there.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(x)


def draw_kernels(kernels: Tensor) -> None:
    """Draw each kernel of a stack (E, C_out, C_in / groups, K, K) as timm draws a ResNet's."""
    nn.init.normal_(kernels, std=kernel_std(kernels.shape[1], kernels.shape[3]))


def kernel_std(out_channels: int, kernel_size: int) -> float:
    """Standard deviation of a kernel's start: Kaiming's for the fan out and ReLU."""
    return math.sqrt(2 / (out_channels * kernel_size**2))


def draw_attention(attention: nn.Module) -> None:
    """Draw the layers of an attention as ODConv and KernelWarehouse do: Kaiming, biases zero."""
    for module in attention.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def anneal_temperature(model: nn.Module, progress: float) -> None:
    """Set every layer's temperature on its line from start to end.

    Args:
        model: layers without a temperature are left alone.
        progress: 0 at the start of annealing, 1 at its end and after. DY-Conv anneals over its
            first 10 epochs.
    Raises:
        ValueError: progress outside 0 to 1.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress must be between 0 and 1, got {progress}")
    for module in model.modules():
        if isinstance(module, AnnealedConv2d):
            start, end = module.temperatures
            module.temperature = start + (end - start) * progress


def require_positive(name: str, value: float) -> None:
    """Refuse a temperature or ratio of zero or less.

    Raises:
        ValueError: `value` is not positive.
    """
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value}")


def require_sizes(
    in_channels: int, out_channels: int, groups: int, **windows: int | tuple[int, ...]
) -> None:
    """Refuse what no convolution can be made of; PyTorch takes a kernel or a stride of 0.

    Args:
        windows: kernel_size, stride and dilation, for both directions or for each.
    Raises:
        ValueError: a size below 1, or groups that do not divide both channel counts.
    """
    channels = {"in_channels": in_channels, "out_channels": out_channels}
    for name, value in {**channels, **windows, "groups": groups}.items():
        require_at_least(name, min(value) if isinstance(value, tuple) else value, 1)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups must divide in_channels={in_channels} and out_channels={out_channels}, "
            f"got {groups}"
        )


def require_at_least(name: str, value: int, least: int) -> None:
    """Refuse a count that is too small.

    Raises:
        ValueError: `value` is below `least`.
    """
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def squeezed(in_channels: int, ratio: float, least: int = 1) -> int:
    """Width of an attention's hidden layer: floor(ratio * in_channels), at least `least`.

    Raises:
        ValueError: the ratio is not positive.
    """
    require_positive("squeeze_ratio", ratio)
    return max(int(in_channels * ratio), least)


def optional_bias(*shape: int, wanted: bool) -> nn.Parameter | None:
    """A bias that starts at zero, or none."""
    return nn.Parameter(torch.zeros(*shape)) if wanted else None
