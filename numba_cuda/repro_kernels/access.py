"""How kernels read and write memory: one value or four at a time, converted to what they sum in.

Compiled kernels take `access_compiled`; the simulator, which runs no intrinsics, takes
`access_simulated`. Both offer the same functions.
"""

from __future__ import annotations

import numpy as np
from numba import cuda
from numba.cuda.core import config

if config.ENABLE_CUDASIM:
    from repro_kernels.access_simulated import (
        Access,
        advance,
        make_load,
        make_load4_if,
        make_load_or,
        make_store,
    )
else:
    from repro_kernels.access_compiled import (
        Access,
        advance,
        make_load,
        make_load4_if,
        make_load_or,
        make_store,
    )

__all__ = [
    "Access",
    "advance",
    "divide",
    "make_load",
    "make_load4_if",
    "make_load_or",
    "make_store",
]


@cuda.jit(device=True, inline="always")
def divide(a, b):
    """a // b of non-negative int32; signed division would be widened to 64 bits."""
    return np.int32(np.uint32(a) // np.uint32(b))
