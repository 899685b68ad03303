"""What can be measured: a name, the backend that does the work, and how to set it up.

A case is set up for one input x (N, C, H, W) and a kernel size, with weights of its own drawn from
the global generator. What it returns is called without arguments, again and again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn import DDF, PAC, FilterNorm
from repro.ops import ddf
from repro.ops.reference.ddf import ddf_unfold

Step = Callable[[], object]

MODES = ("forward", "backward", "forward_backward")


@dataclass(frozen=True)
class Call:
    """A computation, and what its gradients are taken of; nothing, if it has none to take."""

    compute: Callable[[], Tensor]
    inputs: Sequence[Tensor] = ()


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        backend: who computes; None stands for what `repro.ops` chooses for the input.
        prepare: from the input and the kernel size to the call that is timed.
    """

    backend: str | None
    prepare: Callable[[Tensor, int], Call]


def as_step(call: Call, mode: str) -> Step:
    """What is timed: the call without gradients, its gradients alone, or both.

    A call without inputs has no gradients: it stays what it is, to be compared with.
    """
    if mode == "forward" or not call.inputs:
        return torch.no_grad()(call.compute)
    for tensor in call.inputs:
        tensor.requires_grad_()
    if mode == "forward_backward":
        grad_out = torch.randn_like(call.compute())
        return lambda: torch.autograd.grad(call.compute(), call.inputs, grad_out)
    out = call.compute()
    grad_out = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, call.inputs, grad_out, retain_graph=True)


def _layer(make: Callable[..., nn.Module]) -> Callable[[Tensor, int], Call]:
    """A layer of as many channels as x has, in eval mode, its branches included in the time."""

    def prepare(x: Tensor, kernel_size: int) -> Call:
        layer = make(x.shape[1], kernel_size).to(x.device, x.dtype).eval()
        return Call(lambda: layer(x), [x, *layer.parameters()])

    return prepare


def _conv(channels: int, kernel_size: int) -> nn.Module:
    return nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)


def _depthwise(channels: int, kernel_size: int) -> nn.Module:
    padding = kernel_size // 2
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, groups=channels)


def _operator(function: Callable[..., Tensor]) -> Callable[[Tensor, int], Call]:
    """The DDF operation alone, on given filters."""

    def prepare(x: Tensor, kernel_size: int) -> Call:
        N, C, H, W = x.shape
        channel_filter = x.new_empty(N, C, kernel_size, kernel_size).normal_()
        spatial_filter = x.new_empty(N, kernel_size**2, H, W).normal_()
        inputs = [x, channel_filter, spatial_filter]
        return Call(lambda: function(*inputs), inputs)

    return prepare


def _normalised(x: Tensor, kernel_size: int) -> Call:
    """The DDF operation on filters that it standardises itself."""
    scale = FilterNorm(1, kernel_size, "spatial").base_scale
    return _operator(functools.partial(ddf, norm_scale=scale))(x, kernel_size)


def _after_filter_norm(x: Tensor, kernel_size: int) -> Call:
    """The same, standardised before by the layers' norm."""
    norm = FilterNorm(1, kernel_size, "spatial")
    return _operator(lambda x, channel, spatial: ddf(x, channel, norm(spatial)))(x, kernel_size)


def _ddf_out(x: Tensor, kernel_size: int) -> Call:
    """The DDF operation into memory that is there already, as `_copy`; it has no gradients."""
    call = _operator(functools.partial(ddf, out=torch.empty_like(x)))(x, kernel_size)
    return Call(torch.no_grad()(call.compute))


def _depthwise_operator(x: Tensor, kernel_size: int) -> Call:
    """A depth-wise convolution without bias: the DDF operation's static counterpart."""
    C = x.shape[1]
    weight = x.new_empty(C, 1, kernel_size, kernel_size).normal_()
    return Call(lambda: F.conv2d(x, weight, padding=kernel_size // 2, groups=C), [x, weight])


def _conv_operator(x: Tensor, kernel_size: int) -> Call:
    """A dense convolution without bias: C times the products."""
    C = x.shape[1]
    weight = x.new_empty(C, C, kernel_size, kernel_size).normal_()
    return Call(lambda: F.conv2d(x, weight, padding=kernel_size // 2), [x, weight])


def _compiled_reference(x: Tensor, kernel_size: int) -> Call:
    """The reference, compiled for exactly this input."""
    torch.compiler.reset()
    reference = functools.partial(ddf, backend="reference")
    return _operator(torch.compile(reference, dynamic=False))(x, kernel_size)


def _copy(x: Tensor, kernel_size: int) -> Call:
    """Read x once and write it once into memory that is there already: the floor of any filter."""
    out = torch.empty_like(x)
    return Call(lambda: out.copy_(x))


CASES: dict[str, Case] = {
    # Table 2: layers
    "conv": Case("pytorch", _layer(_conv)),
    "dwconv": Case("pytorch", _layer(_depthwise)),
    "pac": Case("unfold", _layer(lambda channels, size: PAC(channels, channels, size))),
    "ddf": Case(None, _layer(DDF)),
    # the operators alone
    "copy": Case("pytorch", _copy),
    "depthwise_operator": Case("pytorch", _depthwise_operator),
    "conv_operator": Case("pytorch", _conv_operator),
    "ddf_operator": Case(None, _operator(ddf)),
    "ddf_out": Case(None, _ddf_out),
    "ddf_normalised": Case(None, _normalised),
    "ddf_after_filter_norm": Case(None, _after_filter_norm),
    "ddf_reference": Case("reference", _operator(functools.partial(ddf, backend="reference"))),
    "ddf_compiled": Case("torch.compile", _compiled_reference),
    "ddf_unfold": Case("unfold", _operator(ddf_unfold)),
}
