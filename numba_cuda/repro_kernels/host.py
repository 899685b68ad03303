"""DDF on PyTorch tensors on a GPU: which kernel, how many blocks, which tensors."""

from __future__ import annotations

from torch import Tensor

from repro_kernels.compile import Variant
from repro_kernels.ddf import CHANNELS, THREADS
from repro_kernels.launch import launch


def ddf_forward(
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> Tensor:
    """`torch.ops.repro.ddf` on CUDA: (N, C, H_out, W_out)."""
    out = x.new_empty((*x.shape[:2], *spatial_filter.shape[2:]))
    tensors = {
        "x": x.contiguous(),
        "channel_filter": channel_filter.contiguous(),
        "spatial_filter": spatial_filter.contiguous(),
        "out": out,
    }
    _run("forward", tensors, x, channel_filter, spatial_filter, stride, dilation, kernel_combine)
    return out


def ddf_backward(
    grad_out: Tensor,
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """`torch.ops.repro.ddf_backward` on CUDA: gradients of the three tensors, each in its shape."""
    given = {
        "grad_out": grad_out.contiguous(),
        "x": x.contiguous(),
        "channel_filter": channel_filter.contiguous(),
        "spatial_filter": spatial_filter.contiguous(),
    }
    grads = (
        x.new_empty(x.shape),
        channel_filter.new_empty(channel_filter.shape),
        spatial_filter.new_empty(spatial_filter.shape),
    )
    reads = {
        "backward_x": ("grad_out", "channel_filter", "spatial_filter"),
        "backward_channel": ("grad_out", "x", "spatial_filter"),
        "backward_spatial": ("grad_out", "x", "channel_filter"),
    }
    for (kernel, names), grad in zip(reads.items(), grads, strict=True):
        tensors = {name: given[name] for name in names} | {"grad": grad}
        _run(kernel, tensors, x, channel_filter, spatial_filter, stride, dilation, kernel_combine)
    return grads


def count_blocks(kernel: str, shape: tuple[int, ...], kernel_size: int, pixels_out: int) -> int:
    """Blocks of THREADS threads that cover a call with features of `shape`."""
    batch, channels, height, width = shape
    chunks = -(-channels // CHANNELS)
    if kernel == "backward_channel":
        return batch * channels * kernel_size
    threads = {
        "forward": batch * chunks * pixels_out,
        "backward_x": batch * chunks * height * width,
        "backward_spatial": batch * kernel_size * pixels_out,
    }[kernel]
    return -(-threads // THREADS)


def _run(
    kernel: str,
    tensors: dict[str, Tensor],
    x: Tensor,
    channel_filter: Tensor,
    spatial_filter: Tensor,
    stride: int,
    dilation: int,
    kernel_combine: str,
) -> None:
    height_out, width_out = spatial_filter.shape[2:]
    kernel_size = channel_filter.shape[-1]
    blocks = count_blocks(kernel, tuple(x.shape), kernel_size, height_out * width_out)
    if blocks == 0:
        return
    variant = Variant(kernel, kernel_size, kernel_combine, str(x.dtype).removeprefix("torch."))
    launch(variant, blocks, THREADS, tensors, (*x.shape, height_out, width_out, stride, dilation))
