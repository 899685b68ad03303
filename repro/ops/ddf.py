"""The decoupled dynamic filter operator."""

from __future__ import annotations

import torch
from torch import Tensor

from repro.ops.backends import choose
from repro.ops.checks import check_ddf, check_no_overlap, check_out
from repro.ops.library import call_ddf, write_ddf
from repro.ops.reference import ddf_reference

AUTOCAST_DEVICES = ("cpu", "cuda")  # PyTorch raises when asked about others, "meta" among them


def ddf(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    *,
    stride: int = 1,
    dilation: int = 1,
    kernel_combine: str = "mul",
    norm_scale: float | None = None,
    backend: str | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Filter each pixel with the combination of its spatial and its channel filter.

    out[n,c,h,w] = sum over (u,v) of combine(channel_filter, spatial_filter) * x[n, c, hi, wi], with
    hi = h * stride + (u - K//2) * dilation and wi alike; taps outside the image are left out. With
    spatial_filter all ones it is a per-sample depthwise convolution.

    Args:
        x: (N, C, H, W), floating point.
        channel_filter: (N, C, K, K), K odd.
        spatial_filter: (N, K*K, H_out, W_out), H_out = ceil(H / stride); tap (u, v) is u*K + v.
        kernel_combine: "mul" multiplies the two filters' taps, "add" adds them.
        norm_scale: None takes the spatial filters as they are. A positive number standardises each
            pixel's filter over its K*K taps first, K at least 3, and multiplies it by that number:
            what `repro.nn.FilterNorm` does to spatial filters in its form "code".
        backend: "reference", "cpu" or "cuda"; None takes the kernels of x's device, or, where there
            are none, the reference, saying so once. Only the reference has second derivatives.
        out: memory to write the result to, and to return; for calls that autograd does not record.
            A fresh result of a large map can cost more page faults than arithmetic.
    Returns:
        (N, C, H_out, W_out), dtype of x.
    Raises:
        ValueError: shapes or devices disagree, K is even, norm_scale is not positive and finite or
            comes with K = 1, the backend cannot take the call; the message gives what was expected
            and what came. Or `out` shares memory with another argument, or an argument requires
            grad.
        TypeError: dtypes disagree or are not floating point.
    Source: DDF (arXiv 2104.14107), Eq. 2; "add" is in the authors' code only.
    Deviates: H_out rounds up as Conv2d does; the authors' code rounds down and rejects odd H.
    """
    x, channel_filter, spatial_filter = under_autocast(x, channel_filter, spatial_filter)
    check_ddf(x, channel_filter, spatial_filter, stride, dilation, kernel_combine, norm_scale)
    backend = choose("ddf", backend, x)
    args = (x, channel_filter, spatial_filter, stride, dilation, kernel_combine, norm_scale)
    if out is None:
        return ddf_reference(*args) if backend == "reference" else call_ddf(*args)
    tensors = (*args[:3], out)
    needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    check_out(out, x, spatial_filter, needs_grad=needs_grad)
    if backend == "reference":
        check_no_overlap(out, *args[:3])
        return out.copy_(ddf_reference(*args))
    return write_ddf(out, *args)


def under_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Inside torch.autocast, the tensors in its dtype, as for a convolution; float64 stays."""
    device = tensors[0].device.type
    if device not in AUTOCAST_DEVICES or not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(
        tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor
        for tensor in tensors
    )
