"""Functional operators: argument checks, reference, and the choice between CPU and CUDA kernels.

Importing this package imports no kernel: Numba is loaded by the first call that needs it.
"""

from repro.ops.ddf import ddf
from repro.ops.ddf_up import ddf_up

__all__ = ["ddf", "ddf_up"]
