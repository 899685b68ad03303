"""What FDConv and FDLinear share: a spectrum, and per-sample weights made from it.

FDConv (arXiv 2503.18783), Fourier disjoint weight times kernel spatial modulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from repro.nn.kernel_spatial_modulation import GlobalFactors, GlobalModulation, LocalModulation
from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
from repro.ops.frequency_groups import frequency_groups, frequency_order, half_columns
from repro.ops.reference.fourier_disjoint_weight import (
    Modulation,
    disjoint_basis,
    spectrum_to_weight,
    weight_to_spectrum,
)

# Parallel weights that are kept are cheaper than a transform per sample up to so many on the CPU,
# whatever the batch: each sample has to pay for both. In the rows of benchmarks/bench_fdconv.py,
# "basis" is the faster at 4 groups, "per_sample" at 64.
MOST_KEPT_WEIGHTS_ON_CPU = 8
# On a GPU up to so many for each sample, by the weights moved: B + N against 1 + 3 * N for B of
# them and N samples; not measured on one.
KEPT_WEIGHTS_PER_SAMPLE_ON_GPU = 2


class FourierWeight(nn.Module):
    """A learnt half spectrum that gives every sample a weight of its own.

    Args:
        weight_shape: (C_out, C_in / groups, K_h, K_w).
        groups: of the convolution.
        kernel_num: frequency groups; None for C_out // 2, with the temperature
            sqrt(kernel_num * param_ratio).
        param_ratio: spectra kept side by side, each with attention of its own.
        param_reduction: share of the frequencies that is learnt, the lowest; the others are zero.
        min_channels: with fewer input or output channels there is no spectrum: `weight` is learnt
            as in a plain layer. 1 never falls back.
        use_ksm_global: False leaves only the attention over groups of the global branch, and
            nothing of it where there is a single group.
        use_ksm_local: False leaves the local branch out.
        temperature: of the global branch's factors; None for kernel_temperature.
        kernel_temperature: of the attention.
        activation: of both branches of kernel spatial modulation, "sigmoid" or "tanh".
        basis_mib: in evaluation, parallel weights are kept if they need no more memory than this.
        ksm: further options of `GlobalModulation`.
    Raises:
        ValueError: param_ratio < 1, param_reduction outside (0, 1], more groups than frequencies,
            or a temperature that is not positive.
    Deviates: from the authors' code, whose param_ratio of P multiplies the initial weight by P, and
        whose param_reduction below 1 takes random frequencies and leaves the scale out.
    """

    def __init__(
        self,
        weight_shape: Sequence[int],
        groups: int,
        *,
        kernel_num: int | None = 64,
        param_ratio: int = 1,
        param_reduction: float = 1.0,
        min_channels: int = 17,
        use_ksm_global: bool = True,
        use_ksm_local: bool = True,
        temperature: float | None = None,
        kernel_temperature: float = 1.0,
        basis_mib: float = 16.0,
        activation: str = "sigmoid",
        **ksm: Any,
    ) -> None:
        super().__init__()
        if param_ratio < 1:
            raise ValueError(f"param_ratio must be at least 1, got {param_ratio}")
        if not 0 < param_reduction <= 1:
            raise ValueError(f"param_reduction must be in (0, 1], got {param_reduction}")
        C_out, C_in, K_h, K_w = weight_shape
        self.weight_shape = (C_out, C_in, K_h, K_w)
        self.groups = groups
        self.param_ratio = param_ratio
        self.basis_mib = basis_mib
        self._basis: tuple[Any, Tensor] | None = None
        inputs = groups * C_in
        self.is_plain = min(inputs, C_out) < min_channels
        if self.is_plain:
            self.kernel_num = 1
            self.weight = nn.Parameter(torch.empty(self.weight_shape))
            return
        if kernel_num is None:
            kernel_num = C_out // 2
            kernel_temperature = math.sqrt(kernel_num * param_ratio)
        self.kernel_num = kernel_num
        # Stored values are this much smaller than the spectrum of the weight.
        self.storage_scale = max(min(inputs, C_out) // 2, 1)
        self.rows, self.columns = C_out * K_h, C_in * K_w
        cells = self.rows * half_columns(self.columns)
        self.kept = cells if param_reduction == 1 else int(cells * param_reduction)
        stored = (self.rows, half_columns(self.columns)) if self.kept == cells else (self.kept,)
        self.dft_weight = nn.Parameter(torch.empty(param_ratio, *stored, 2))
        self.group_map: Tensor
        self.register_buffer("group_map", self._group_map(), persistent=False)
        self.kept_cells: Tensor | None
        self.register_buffer("kept_cells", self._kept_cells(), persistent=False)
        taps = K_h * K_w
        self.global_modulation = (
            GlobalModulation(
                inputs,
                C_out,
                taps,
                kernel_num * param_ratio,
                temperature=kernel_temperature if temperature is None else temperature,
                kernel_temperature=kernel_temperature,
                only_kernel=not use_ksm_global,
                use_filter=not groups == inputs == C_out,
                activation=activation,
                **ksm,
            )
            if use_ksm_global or kernel_num * param_ratio > 1
            else None
        )
        self.local_modulation = (
            LocalModulation(inputs, C_out * taps, activation=activation) if use_ksm_local else None
        )

    def set_weight(self, weight: Tensor) -> None:
        """Learn on from `weight` (C_out, C_in / groups, K_h, K_w): attention at its start gives it.

        Raises:
            ValueError: `weight` has another shape.
        """
        if weight.shape != self.weight_shape:
            raise ValueError(f"weight must be {self.weight_shape}, got {tuple(weight.shape)}")
        with torch.no_grad():
            if self.is_plain:
                self.weight.copy_(weight)
            else:
                self.dft_weight.copy_(self.store(weight).expand_as(self.dft_weight))

    def store(self, weight: Tensor) -> Tensor:
        """What `dft_weight` holds for `weight`, of one copy: (1, ...)."""
        spectrum = weight_to_spectrum(weight)[None] / (self.storage_scale * self.param_ratio)
        if self.kept_cells is None:
            return spectrum
        return spectrum.flatten(1, 2).index_select(1, self.kept_cells)

    @property
    def is_static(self) -> bool:
        """Whether all samples share one weight: nothing is predicted for any of them."""
        return self.is_plain or (self.global_modulation is None and self.local_modulation is None)

    def static_weight(self) -> Tensor:
        """(C_out, C_in / groups, K_h, K_w): the weight at the start of attention and factors."""
        if self.is_plain:
            return self.weight
        return spectrum_to_weight(self.spectrum().sum(0), self.weight_shape) * self.storage_scale

    def spectrum(self) -> Tensor:
        """(P, C_out * K_h, C_in * K_w // 2 + 1, 2), as stored, zero where nothing is learnt."""
        if self.kept_cells is None:
            return self.dft_weight
        shape = (self.rows, half_columns(self.columns))
        full = self.dft_weight.new_zeros(self.param_ratio, shape[0] * shape[1], 2)
        full = full.index_copy(1, self.kept_cells, self.dft_weight)
        return full.reshape(self.param_ratio, *shape, 2)

    def weights(self, pooled: Tensor) -> Tensor:
        """The weights of every sample.

        Args:
            pooled: (N, C_in), the features' mean.
        Returns:
            (N, C_out, C_in / groups, K_h, K_w)
        """
        if self.global_modulation is None:
            factors = GlobalFactors(pooled.new_ones(pooled.shape[0], 1), None, None, None)
        else:
            factors = self.global_modulation(pooled)
        local = (None, None) if self.local_modulation is None else self.local_modulation(pooled)
        modulation = Modulation(factors.channel, factors.filter, factors.spatial, *local)
        count = self.kernel_num * self.param_ratio
        # Under autocast the heads are in half precision, the spectrum is not.
        dtype = self.dft_weight.dtype
        attention = factors.kernel.to(dtype) * (self.storage_scale * count)
        modulation = Modulation(*(None if f is None else f.to(dtype) for f in modulation))
        if self._takes_basis(pooled.shape[0]):
            return weight_from_basis(self.basis(), attention, modulation, groups=self.groups)
        return fourier_disjoint_weight(
            self.spectrum(),
            self.group_map,
            torch.unflatten(attention, 1, (self.param_ratio, self.kernel_num)),
            self.weight_shape,
            modulation,
            groups=self.groups,
        )

    def basis(self) -> Tensor:
        """(B, C_out, K_h, K_w, C_in / groups): the parallel weights, kept where they may be."""
        if not self._may_keep_basis():
            return self._make_basis()
        parameter = self.dft_weight
        key = (parameter.data_ptr(), parameter._version, parameter.device, parameter.dtype)
        if self._basis is None or self._basis[0] != key:
            self._basis = (key, self._make_basis())
        return self._basis[1]

    def forget_basis(self) -> None:
        """Drop the kept parallel weights: after writing to `dft_weight.data`, which no one sees."""
        self._basis = None

    def train(self, mode: bool = True) -> FourierWeight:
        """As of `nn.Module`; the parallel weights kept for evaluation are dropped."""
        self._basis = None
        return super().train(mode)

    def reset_buffers(self) -> None:
        """Make the buffers again, which no state dict holds: after `to_empty`, for one."""
        if not self.is_plain:
            self.group_map.copy_(self._group_map())
            kept_cells = self._kept_cells()
            if self.kept_cells is not None and kept_cells is not None:
                self.kept_cells.copy_(kept_cells)

    def _group_map(self) -> Tensor:
        if torch.empty(0).is_meta:  # within torch.device("meta"): sizes are all that counts
            return torch.empty(self.rows, half_columns(self.columns), dtype=torch.int32)
        return frequency_groups(self.rows, self.columns, self.kernel_num, kept=self.kept)

    def _kept_cells(self) -> Tensor | None:
        if self.kept == self.rows * half_columns(self.columns):
            return None
        if torch.empty(0).is_meta:
            return torch.empty(self.kept, dtype=torch.int64)
        return torch.tensor(frequency_order(self.rows, self.columns)[: self.kept], device="cpu")

    def _make_basis(self) -> Tensor:
        basis = disjoint_basis(self.spectrum(), self.group_map, self.weight_shape, self.kernel_num)
        return basis.permute(0, 1, 3, 4, 2).contiguous()

    def _takes_basis(self, batch: int) -> bool:
        """Whether parallel weights are cheaper, kept ones or made anew, than a transform each."""
        count = self.kernel_num * self.param_ratio
        if self._may_keep_basis():
            if self.dft_weight.device.type == "cuda":
                return count <= KEPT_WEIGHTS_PER_SAMPLE_ON_GPU * batch
            return count <= MOST_KEPT_WEIGHTS_ON_CPU
        # Making them anew pays for itself in the backward pass only.
        has_gradients = torch.is_grad_enabled() and self.dft_weight.requires_grad
        return count < batch and (has_gradients or self.dft_weight.device.type == "cuda")

    def _may_keep_basis(self) -> bool:
        parameter = self.dft_weight
        count = self.kernel_num * self.param_ratio
        size = count * math.prod(self.weight_shape) * parameter.element_size()
        return (
            not self.training
            and not torch.compiler.is_compiling()
            and not (torch.is_grad_enabled() and parameter.requires_grad)
            and not parameter.is_inference()  # such tensors do not say when they change
            and size <= self.basis_mib * 2**20
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_basis": None}  # copies and pickles make their own
