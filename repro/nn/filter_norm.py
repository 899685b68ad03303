"""What stands between a filter branch and the DDF operation: filter normalisation and its rivals.

Every module here takes and returns (N, filters * K * K, ...): for spatial filters `filters` is the
number of heads and H, W follow; for channel filters it is the number of channels, nothing follows.

DDF (arXiv 2104.14107), section 4, Eq. 3; rivals: Table 3(b).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from repro.names import require_known
from repro.ops.reference.filter_norm import centre, deviation, standardise

FILTER_TYPES = ("spatial", "channel")
NORMS = ("filter_norm", "filter_norm_paper", "batch_norm", "sigmoid", "none")
# Gains of `torch.nn.init.calculate_gain`, by what follows the filtering.
NONLINEARITIES = ("linear", "relu", "sigmoid", "tanh", "selu")


class FilterNorm(nn.Module):
    """Standardise every K x K filter over its own taps, then scale it.

    out = scale * (filter - mean) / std + shift, mean and unbiased std over the K * K taps. The
    paper and the authors' code differ in what is learnt, and `form` chooses:

    - "code" (default; the released accuracies come from it): spatial filters have a fixed scale
      gain / K; channel filters a learnt scale per channel and tap, drawn from a normal
      distribution times gain / K, so its signs are random. Neither has a shift.
    - "paper" (Eq. 3): a learnt scale and a learnt shift per head (spatial) or per channel
      (channel). The paper names no start: they start at gain / K and 0 here.

    Args:
        filters: heads for spatial filters, channels for channel filters.
        kernel_size: K, odd and at least 3 (a single tap has no standard deviation).
        filter_type: "spatial" or "channel".
        nonlinearity: what follows the filtering; it sets the gain (`torch.nn.init.calculate_gain`).
        form: "code" or "paper".
    Shape:
        (N, filters * K * K, ...) to the same shape and dtype; float16 and bfloat16 are normalised
        in float32.
    Raises:
        ValueError: even or too small kernel_size, filters < 1, or an unknown name.
    Source: DDF (arXiv 2104.14107), Eq. 3; the authors' `FilterNorm`.
    Deviates: a variance below 1e-20 counts as 1e-20, so that a constant filter has a finite
        gradient; the authors' code divides by 1e-10 there.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        filter_type: str,
        *,
        nonlinearity: str = "relu",
        form: str = "code",
    ) -> None:
        super().__init__()
        require_known("filter type", filter_type, FILTER_TYPES)
        require_known("form of FilterNorm", form, ("code", "paper"))
        require_known("nonlinearity", nonlinearity, NONLINEARITIES)
        if filters < 1:
            raise ValueError(f"filters must be at least 1, got {filters}")
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(
                f"filter normalisation needs an odd kernel_size of at least 3, got {kernel_size}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.filter_type = filter_type
        self.form = form
        self.base_scale = nn.init.calculate_gain(cast(Any, nonlinearity)) / kernel_size
        if form == "paper":
            self.scale = nn.Parameter(torch.empty(filters, 1))
            self.shift = nn.Parameter(torch.empty(filters, 1))
        elif filter_type == "channel":
            self.scale = nn.Parameter(torch.empty(filters, kernel_size**2))
            self.register_parameter("shift", None)
        else:
            self.register_parameter("scale", None)
            self.register_parameter("shift", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the learnt scale again (form "code"), or set scale and shift to their start."""
        if self.form == "paper":
            nn.init.constant_(self.scale, self.base_scale)
            nn.init.zeros_(self.shift)
        elif self.scale is not None:
            nn.init.normal_(self.scale, std=self.base_scale)

    def forward(self, x: Tensor) -> Tensor:
        taps = self.kernel_size**2
        if x.dim() < 2 or x.shape[1] != self.filters * taps:
            raise ValueError(
                f"expected (N, {self.filters * taps}, ...) for {self.filters} {self.filter_type} "
                f"filters of {self.kernel_size} x {self.kernel_size}, got {tuple(x.shape)}"
            )
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        wide = wide.reshape(x.shape[0], self.filters, taps, *x.shape[2:])  # (N, filters, K*K, ...)
        if self.scale is None:
            out = standardise(wide, self.base_scale, 2)
        else:
            centred, variance = centre(wide, 2)
            axes = (1, *self.scale.shape, *([1] * (x.dim() - 2)))
            out = centred / deviation(variance) * self.scale.view(axes)
            if self.shift is not None:
                out = out + self.shift.view(axes)
        return out.reshape(x.shape).to(x.dtype)

    def extra_repr(self) -> str:
        return (
            f"{self.filters}, kernel_size={self.kernel_size}, "
            f"filter_type={self.filter_type!r}, form={self.form!r}"
        )


class FilterBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of generated filters: statistics per tap over the batch (and pixels).

    Table 3(b)'s rival "Batch-Norm": plain batch normalisation, scale 1 and shift 0 at the start, in
    place of `FilterNorm`.

    Raises:
        ValueError: in training, a tap has a single value (channel filters of a batch of one, or
            spatial filters of one 1 x 1 map): its variance does not exist. Use a larger batch, or
            `eval()`, which takes the running statistics.
    """

    def forward(self, x: Tensor) -> Tensor:
        # (N, taps, ...)
        values_per_tap = x.numel() // x.shape[1]
        if self.training and values_per_tap == 1:
            raise ValueError(
                "norm='batch_norm' needs more than one filter per tap in training, got a batch of "
                f"shape {tuple(x.shape)}; use a larger batch, another norm, or eval()"
            )
        flat = x.flatten(2) if x.dim() > 2 else x
        return super().forward(flat).view(x.shape)


def build_norm(
    norm: str, filters: int, kernel_size: int, filter_type: str, *, nonlinearity: str = "relu"
) -> nn.Module:
    """The module that one of `NORMS` names, for filters of one type.

    Raises:
        UnknownNameError: `norm` is not one of `NORMS`.
    """
    require_known("norm of DDF filters", norm, NORMS)
    if norm == "batch_norm":
        return FilterBatchNorm(filters * kernel_size**2)
    if norm == "sigmoid":
        return nn.Sigmoid()
    if norm == "none":
        return nn.Identity()
    form = "paper" if norm == "filter_norm_paper" else "code"
    return FilterNorm(filters, kernel_size, filter_type, nonlinearity=nonlinearity, form=form)
