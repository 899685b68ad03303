"""What Fourier weights are multiplied with, as the kernels compute it: for use in their epilogues.

The sequences that the local filters run over come with width // 2 zeros to their left and at least
as many to their right, so that no access needs a check.
"""

from __future__ import annotations

from math import exp

from numba import cuda
from numpy import int32

from repro_kernels.access import make_load


def make_local_factor(width, storage):
    """2 * sigmoid of a sequence correlated with a local filter; 1 for filters of no width."""
    load = make_load(storage.name, 1)
    real = storage.accumulator

    @cuda.jit(device=True, inline="always")
    def local_factor(sequence, i, local_filter, row):
        """At input channel i of the padded sequence, for filter `row`."""
        z = real(0)
        for j in range(width):
            z -= load(sequence, int32(i + j)) * load(local_filter, int32(row * width + j))
        return real(2) / (real(1) + real(exp(z)))

    @cuda.jit(device=True, inline="always")
    def no_factor(sequence, i, local_filter, row):
        return real(1)

    return local_factor if width else no_factor
