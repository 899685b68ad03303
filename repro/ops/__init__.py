"""Functional operators: argument checks, reference, and the choice between CPU and CUDA kernels.

Importing this package imports no kernel: Numba is loaded by the first call that needs it.
"""

from repro.ops.carafe import carafe
from repro.ops.ddf import ddf
from repro.ops.ddf_up import ddf_up
from repro.ops.fourier_disjoint_weight import fourier_disjoint_weight, weight_from_basis
from repro.ops.frequency_groups import frequency_groups
from repro.ops.reference.fourier_disjoint_weight import Modulation

__all__ = [
    "Modulation",
    "carafe",
    "ddf",
    "ddf_up",
    "fourier_disjoint_weight",
    "frequency_groups",
    "weight_from_basis",
]
