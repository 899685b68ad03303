"""How tensors of each dtype are read and written: half precision is accumulated in float32.

bfloat16 travels as the 16 bits of an int16, converted here: Numba's own bfloat16 needs a C++
compiler at run time and does not exist in the simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import cuda
from numba.cuda.core import config

if config.ENABLE_CUDASIM:  # the simulator has no libdevice

    def float_as_int(value: Any) -> np.int32:
        """The bits of a float32."""
        return np.float32(value).view(np.int32)

    def int_as_float(bits: Any) -> np.float32:
        """The float32 with these bits."""
        return np.int32(bits).view(np.float32)

else:
    from numba.cuda.libdevice import float_as_int, int_as_float


class Storage(NamedTuple):
    """A dtype in memory, what it is accumulated in, and the way from one to the other."""

    memory: type  # NumPy's name of what pointers point to
    accumulator: type
    load: Callable[..., Any]
    store: Callable[..., Any]


@cuda.jit(device=True, inline="always")
def load_float32(pointer, i):
    return np.float32(pointer[i])


@cuda.jit(device=True, inline="always")
def load_float64(pointer, i):
    return pointer[i]


@cuda.jit(device=True, inline="always")
def store_value(pointer, i, value):
    pointer[i] = value


@cuda.jit(device=True, inline="always")
def load_bfloat16(pointer, i):
    """A bfloat16 is the upper half of a float32."""
    return int_as_float(np.int32(np.int32(pointer[i]) << np.int32(16)))


@cuda.jit(device=True, inline="always")
def store_bfloat16(pointer, i, value):
    """Round to the nearest bfloat16, ties to even; NaN stays NaN."""
    bits = np.int64(float_as_int(value))
    if value != value:
        pointer[i] = np.int16(0x7FC0)
    else:
        pointer[i] = np.int16((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


STORAGES = {
    "float32": Storage(np.float32, np.float32, load_float32, store_value),
    "float64": Storage(np.float64, np.float64, load_float64, store_value),
    "float16": Storage(np.float16, np.float32, load_float32, store_value),
    "bfloat16": Storage(np.int16, np.float32, load_bfloat16, store_bfloat16),
}
