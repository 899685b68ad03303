"""Attention-augmented convolution: some output channels come from self-attention over the image.

Attention Augmented Convolutional Networks (arXiv 1904.09925).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repro.nn.per_sample import DynamicConv2d, optional_bias, require_at_least, require_positive


class AAConv2d(DynamicConv2d):
    """Concatenate a convolution with multi-head self-attention over all positions.

    The attention has learnt relative positions along rows and columns, shared by the heads.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as in
            `torch.nn.Conv2d`; the padding must be "same". Groups are not defined.
        max_size: the largest height or width of the attention's map: of the output, halved (rounded
            up) with `pool`. It sizes the relative positions.
        heads: N_h.
        key_ratio: kappa: keys (and queries) relative to out_channels; at least 20 for each head.
        value_ratio: upsilon: channels that come from attention, relative to out_channels, rounded
            to the nearest multiple of `heads`, at least one for each.
        pool: attend over 2 x 2 averages of the input, and resize the result bilinearly.
    Shape:
        (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    Raises:
        ValueError: groups other than 1; a ratio that is not positive or leaves the convolution no
            channel; a map larger than max_size; and what `DynamicConv2d` raises.
    Source: Attention Augmented Convolutional Networks (arXiv 1904.09925), concat[Conv(X), MHA(X)],
        softmax((Q K^T + S_rel^H + S_rel^W) / sqrt(d_k^h)) V; on ImageNet 8 heads, kappa = 2
        upsilon = 0.2, 20 keys a head at least, 3x3 convolutions of the last three stages.
    Deviates: the rounding of the value channels, and pooling at 28 x 28, are not in what the paper
        says of ResNet; they are the choice, of those tried (up, down, nearest; pooled never, at 28,
        everywhere), that gives all four printed costs of AA-ResNet50 and 101 in DDF's Table 5.
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
        *,
        max_size: int,
        heads: int = 8,
        key_ratio: float = 0.2,
        value_ratio: float = 0.1,
        pool: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if groups != 1:
            raise ValueError(f"groups must be 1, attention defines no other, got {groups}")
        if 2 * padding != dilation * (kernel_size - 1):
            raise ValueError(
                f"padding must be dilation * (kernel_size - 1) / 2 = "
                f"{dilation * (kernel_size - 1) / 2:g}, got {padding}"
            )
        require_at_least("max_size", max_size, 1)
        require_at_least("heads", heads, 1)
        require_positive("key_ratio", key_ratio)
        require_positive("value_ratio", value_ratio)
        self.key_channels = heads * max(20, round(key_ratio * out_channels / heads))
        self.value_channels = heads * max(1, round(value_ratio * out_channels / heads))
        if self.value_channels >= out_channels:
            raise ValueError(
                f"attention would take {self.value_channels} of {out_channels} channels (heads="
                f"{heads}, value_ratio={value_ratio}) and leave the convolution none"
            )
        self.max_size = max_size
        self.heads = heads
        self.pool = pool
        self.conv = nn.Conv2d(
            in_channels,
            out_channels - self.value_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            bias=False,
        )
        mixed = 2 * self.key_channels + self.value_channels
        self.query_key_value = nn.Conv2d(in_channels, mixed, 1, stride, bias=False)
        self.project = nn.Conv2d(self.value_channels, self.value_channels, 1, bias=False)
        per_head = self.key_channels // heads
        scale = per_head**-0.5
        # Row o of a table is the position o - (max_size - 1) away.
        self.relative_rows = nn.Parameter(scale * torch.randn(2 * max_size - 1, per_head))
        self.relative_columns = nn.Parameter(scale * torch.randn(2 * max_size - 1, per_head))
        self.bias = optional_bias(out_channels, wanted=bias)
        for conv in (self.conv, self.query_key_value, self.project):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        convolved = self.conv(x)  # (N, C_out - values, H_out, W_out)
        if self.pool:
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        attended = self.project(self.attend(self.query_key_value(x)))
        if self.pool:
            size = list(convolved.shape[2:])
            attended = F.interpolate(attended, size, mode="bilinear", align_corners=False)
        out = torch.cat([convolved, attended], 1)
        return out if self.bias is None else out + self.bias[:, None, None]

    def attend(self, mixed: Tensor) -> Tensor:
        """Multi-head attention: (N, 2 * keys + values, H, W) to (N, values, H, W)."""
        N, _, H, W = mixed.shape
        if max(H, W) > self.max_size:
            raise ValueError(
                f"the attention's map is {H} x {W}, max_size={self.max_size} allows no more"
            )
        channels = [self.key_channels, self.key_channels, self.value_channels]
        query, key, value = (
            part.reshape(N, self.heads, -1, H * W).transpose(2, 3)  # (N, heads, H*W, per head)
            for part in torch.split(mixed, channels, 1)
        )
        query = query * (self.key_channels // self.heads) ** -0.5
        logits = query @ key.transpose(2, 3)  # (N, heads, H*W, H*W)
        by_pixel = query.reshape(N, self.heads, H, W, -1)
        rows = torch.einsum("nahwd,hid->nahwi", by_pixel, self._table(self.relative_rows, H))
        columns = torch.einsum("nahwd,wjd->nahwj", by_pixel, self._table(self.relative_columns, W))
        position = rows[..., :, None] + columns[..., None, :]  # (N, heads, H, W, H, W)
        weights = (logits + position.reshape(logits.shape)).softmax(3)
        attended: Tensor = weights @ value  # (N, heads, H*W, per head)
        return attended.transpose(2, 3).reshape(N, self.value_channels, H, W)

    def _table(self, relative: Tensor, size: int) -> Tensor:
        """(size, size, per head): entry (i, j) is what stands j - i away."""
        offsets = torch.arange(size, device=relative.device)
        offsets = offsets[None, :] - offsets[:, None] + self.max_size - 1
        return relative.index_select(0, offsets.flatten()).reshape(size, size, -1)
