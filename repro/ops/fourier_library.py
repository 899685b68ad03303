"""`torch.ops.repro.fourier_disjoint_weight` and `torch.ops.repro.weight_from_basis`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from repro.ops.registration import Implementation, define_with_gradient, imported

_FACTORS = "Tensor channel, Tensor filter, Tensor spatial, Tensor local_input, Tensor local_filter"


def call_fourier_disjoint_weight(*args: Any) -> Tensor:
    """`torch.ops.repro.fourier_disjoint_weight`, typed."""
    out: Tensor = torch.ops.repro.fourier_disjoint_weight.default(*args)
    return out


def call_weight_from_basis(*args: Any) -> Tensor:
    """`torch.ops.repro.weight_from_basis`, typed."""
    out: Tensor = torch.ops.repro.weight_from_basis.default(*args)
    return out


def _spectrum_fake(spectrum: Tensor, group_map: Tensor, attention: Tensor, *rest: Any) -> Tensor:
    weight_shape: Sequence[int] = rest[-2]
    return spectrum.new_empty((attention.shape[0], *weight_shape))


def _basis_fake(basis: Tensor, attention: Tensor, *rest: Any) -> Tensor:
    C_out, K_h, K_w, C_in = basis.shape[1:]
    return basis.new_empty((attention.shape[0], C_out, C_in, K_h, K_w))


def _devices(name: str) -> dict[str, tuple[Implementation, Implementation]]:
    modules = {
        "CPU": "repro.ops.cpu.fourier_disjoint_weight_host",
        "CUDA": "repro_kernels.fourier_disjoint_weight_host",
    }
    return {
        key: (imported(module, name), imported(module, f"{name}_backward"))
        for key, module in modules.items()
    }


define_with_gradient(
    "fourier_disjoint_weight",
    f"Tensor spectrum, Tensor group_map, Tensor attention, {_FACTORS}, int[] weight_shape, "
    "int groups",
    _spectrum_fake,
    _devices("fourier_disjoint_weight"),
    constant=("group_map",),
)
define_with_gradient(
    "weight_from_basis",
    f"Tensor basis, Tensor attention, {_FACTORS}, int groups",
    _basis_fake,
    _devices("weight_from_basis"),
)
