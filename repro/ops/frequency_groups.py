"""Which frequency of a layer's weight matrix belongs to which group.

FDConv (arXiv 2503.18783) sorts all frequencies of the matrix by their distance from zero and cuts
the sorted list into groups of equal size: group 0 holds the lowest frequencies.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


def half_columns(columns: int) -> int:
    """Columns of the half spectrum that describes a real matrix with `columns` columns."""
    return columns // 2 + 1


def frequency_groups(
    rows: int, columns: int, kernel_num: int, *, kept: int | None = None
) -> Tensor:
    """The group of every cell of the half spectrum of a rows x columns matrix.

    Args:
        kernel_num: how many groups.
        kept: only this many of the lowest frequencies are shared out; the others get group 0,
            and are expected to be zero. None for all.
    Returns:
        (rows, columns // 2 + 1), int32, values in 0..kernel_num - 1, on the CPU.
    Raises:
        ValueError: there are more groups than frequencies, or less than one.
    Source: FDConv (arXiv 2503.18783), Fourier disjoint weight.
    Deviates: sizes differ by at most one where kernel_num does not divide the number of cells; the
        authors' code refuses. Cells at the same distance are taken in row-major order; the authors'
        sort leaves their order open, and computes distances in float32.
    """
    cells = rows * half_columns(columns) if kept is None else kept
    if not 1 <= kernel_num <= cells:
        raise ValueError(
            f"kernel_num must be between 1 and the {cells} frequencies of a {rows} x {columns} "
            f"matrix, got {kernel_num}"
        )
    groups = np.zeros(rows * half_columns(columns), np.int32)
    groups[frequency_order(rows, columns)[:cells]] = np.arange(cells) * kernel_num // cells
    return torch.tensor(groups, device="cpu").reshape(rows, half_columns(columns))


@lru_cache(maxsize=64)
def frequency_order(rows: int, columns: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Cells of the half spectrum, as row-major indices, from the lowest frequency to the highest.

    Distances are compared as integers, (u * columns)**2 + (v * rows)**2 for the frequency
    (u / rows, v / columns): the order is the same on every machine.
    """
    u = np.arange(rows, dtype=np.int64)
    u = np.minimum(u, rows - u)
    v = np.arange(half_columns(columns), dtype=np.int64)
    distance = (u * columns)[:, None] ** 2 + (v * rows) ** 2
    order = np.argsort(distance, axis=None, kind="stable")
    order.setflags(write=False)  # every caller gets the same array
    return order
