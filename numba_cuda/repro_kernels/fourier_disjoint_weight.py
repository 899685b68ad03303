"""The kernels of Fourier disjoint weights by name: what makes each, which arguments it takes.

Per sample, the operator is two kernels: `mix_columns` (attention times spectrum, DFTs down the
columns) and `rows_to_weight` (real DFTs along the rows, permutation, all factors). From parallel
weights it is one, `basis_to_weight`. No kernel uses atomics: two runs agree to the bit.

None of them has run on a GPU. They are compiled for three generations, and run thread by thread in
the simulator, in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from repro_kernels import fourier_disjoint_weight_basis as basis
from repro_kernels import fourier_disjoint_weight_column as column
from repro_kernels import fourier_disjoint_weight_mix as mix
from repro_kernels import fourier_disjoint_weight_modulation as modulation
from repro_kernels import fourier_disjoint_weight_row as row
from repro_kernels.storage import STORAGES


class Kernel(NamedTuple):
    """How a kernel is made and called.

    Attributes:
        make: from storage and constants to a function for `numba.cuda`.
        tensors: names of its pointers, in order; "group_map" is int32, the others the call's dtype.
        sizes: names of its integers, int32, in order.
    """

    make: Callable[..., Any]
    tensors: tuple[str, ...]
    sizes: tuple[str, ...]


class Variant(NamedTuple):
    """One kernel, compiled for one set of constants: a `steps.Variant`."""

    kernel: str  # a key of KERNELS
    dtype: str  # "float32" or "float64"
    constants: tuple[int, ...]  # what `make` takes after storage, in its order

    @property
    def pointers(self) -> tuple[type, ...]:
        memory = STORAGES[self.dtype].memory
        tensors = KERNELS[self.kernel].tensors
        return tuple(np.int32 if name == "group_map" else memory for name in tensors)

    @property
    def integers(self) -> tuple[type, ...]:
        return (np.int32,) * len(KERNELS[self.kernel].sizes)

    @property
    def launch_bounds(self) -> None:
        """None: the compiler decides how many registers they take."""

    def function(self) -> Callable[..., None]:
        return KERNELS[self.kernel].make(STORAGES[self.dtype], *self.constants)


def _kernel(make: Callable[..., Any], tensors: str, sizes: str) -> Kernel:
    return Kernel(make, tuple(tensors.split()), tuple(sizes.split()))


FACTORS = "channel filter spatial sequence local_filter"

KERNELS = {
    "mix_columns": _kernel(
        column.mix_columns, "spectrum group_map attention roots spectra", "half groups strips"
    ),
    "rows_to_weight": _kernel(
        row.rows_to_weight,
        f"spectra roots {FACTORS} out",
        "outputs per_group channels sequence_stride strips",
    ),
    "basis_to_weight": _kernel(
        basis.basis_to_weight,
        f"basis attention {FACTORS} out",
        "batch number outputs inputs per_group channels sequence_stride chunks tiles",
    ),
    "modulate_backward": _kernel(
        modulation.modulate_backward,
        f"grad_out {FACTORS} weight sums channel_parts sequence_parts",
        "batch outputs inputs per_group channels sequence_stride chunks tiles",
    ),
    "rows_to_spectra": _kernel(row.rows_to_spectra, "weight roots spectra", "outputs strips"),
    "transform_columns": _kernel(column.transform_columns, "roots spectra", "half length strips"),
    "unmix_spectrum": _kernel(
        mix.unmix_spectrum,
        "grad_mixed group_map attention grad_spectrum",
        "batch copies groups cells",
    ),
    "unmix_attention": _kernel(
        mix.unmix_attention,
        "grad_mixed group_map spectrum parts",
        "copies groups cells ranges rows slices",
    ),
    "combine": _kernel(
        basis.combine,
        "attention terms out",
        "rows number row_stride stride size chunks",
    ),
    "multiply": _kernel(basis.multiply, "left right parts", "rows columns size across down slices"),
}
