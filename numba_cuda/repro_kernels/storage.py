"""The dtypes that kernels take: what lies in memory, and what it is summed in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from repro_kernels.access import Access, make_load, make_load4_if, make_load_or, make_store


class Storage(NamedTuple):
    """A dtype in memory, what it is accumulated in, and the ways from one to the other."""

    name: str
    memory: type  # NumPy's name of what pointers point to
    accumulator: type
    load: Access  # (pointer, index) -> value
    store: Access  # (pointer, index, value)
    load_or: Access  # (pointer, index, condition, otherwise) -> value, or `otherwise`
    load4: Access  # (pointer, index) -> four adjacent values; the first one aligned to all four
    load4_if: Access | None  # (pointer, index, condition) -> the same, or zeros; none for float64
    store4: Access  # (pointer, index, value, value, value, value), aligned likewise


def _storage(dtype: str, memory: type, accumulator: type) -> Storage:
    return Storage(
        dtype,
        memory,
        accumulator,
        make_load(dtype, 1),
        make_store(dtype, 1),
        make_load_or(dtype),
        make_load(dtype, 4),
        make_load4_if(dtype) if dtype != "float64" else None,
        make_store(dtype, 4),
    )


STORAGES = {
    "float32": _storage("float32", np.float32, np.float32),
    "float64": _storage("float64", np.float64, np.float64),
    "float16": _storage("float16", np.float16, np.float32),
    "bfloat16": _storage("bfloat16", np.int16, np.float32),
}

# Shared memory of a block, and scratch between kernels, are float32 where sums are.
load4_shared = make_load("float32", 4, constant=False)
