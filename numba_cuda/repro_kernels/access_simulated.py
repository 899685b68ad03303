"""Reads and writes in the simulator: plain Python that refuses what a GPU could not do.

bfloat16 travels as the 16 bits of an int16: the simulator has no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Access = Callable[..., Any]

SUMS = {"float32": np.float32, "float64": np.float64}  # others are summed in float32


def advance(pointer: Any, count: int) -> Any:
    """The pointer, `count` values further on."""
    return pointer[count:]


def as_float32(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.int32) << 16).view(np.float32)


def as_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, ties to even; NaN stays NaN."""
    bits = values.view(np.int32).astype(np.int64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FFF, rounded).astype(np.uint16).view(np.int16)


def check_place(pointer: np.ndarray, index: int, count: int) -> None:
    """Raise IndexError outside of the memory, and where a vector is not aligned to itself."""
    if not 0 <= index <= len(pointer) - count:
        raise IndexError(f"{count} values at {index} of {len(pointer)}")
    size = pointer.itemsize
    if count > 1 and (pointer.ctypes.data + int(index) * size) % (count * size):
        raise IndexError(f"{count} values at {index} are not aligned to {count * size} bytes")


def make_load(dtype: str, count: int, constant: bool = True) -> Access:
    """load(pointer, index): a value, or a tuple of `count` adjacent ones."""
    accumulator = SUMS.get(dtype, np.float32)

    def load(pointer: Any, index: int) -> Any:
        check_place(pointer, index, count)
        values = pointer[index : index + count]
        values = as_float32(values) if dtype == "bfloat16" else values.astype(accumulator)
        return values[0] if count == 1 else tuple(values)

    return load


def make_load_or(dtype: str) -> Access:
    """load_or(pointer, index, condition, otherwise): a value, or `otherwise`."""
    load = make_load(dtype, 1)

    def load_or(pointer: Any, index: int, condition: bool, otherwise: Any) -> Any:
        return load(pointer, index) if condition else otherwise

    return load_or


def make_load4_if(dtype: str) -> Access:
    """load4_if(pointer, index, condition): four adjacent values, or zeros."""
    load4 = make_load(dtype, 4)
    zero = SUMS.get(dtype, np.float32)(0)

    def load4_if(pointer: Any, index: int, condition: bool) -> Any:
        return load4(pointer, index) if condition else (zero,) * 4

    return load4_if


def make_store(dtype: str, count: int) -> Access:
    """store(pointer, index, value, ...) of `count` values to adjacent places."""

    def store(pointer: Any, index: int, *values: Any) -> None:
        check_place(pointer, index, count)
        if dtype == "bfloat16":
            values = tuple(as_bfloat16(np.array(values, np.float32)))
        pointer[index : index + count] = values

    return store
