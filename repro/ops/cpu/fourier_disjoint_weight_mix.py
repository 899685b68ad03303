"""Fourier disjoint weights on the CPU: frequencies times the attention of their groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from repro.ops.cpu.jit import kernel
from repro.ops.cpu.threads import take_task

# Indices are unsigned: Numba wraps signed ones around the end of an array, which costs a select per
# access.
index = np.uintp

Array = np.ndarray[Any, np.dtype[Any]]


@kernel
def mix_kernel(
    counter: Array, tasks: int, spectrum: Array, group_map: Array, attention: Array, mixed: Array
) -> None:
    """Scale every frequency by its group's attention; tasks are rows of the spectrum.

    Args:
        spectrum: (P, rows, columns, 2). group_map: (rows, columns). attention: (N, P, G).
        mixed: (N, rows, columns, 2), written.
    """
    copies, _, columns, _ = spectrum.shape
    zero = index(0)
    one = index(1)
    task = take_task(counter)
    while task < tasks:
        row = index(task)
        for n in range(index(len(attention))):
            for v in range(index(columns)):
                g = index(group_map[row, v])
                scale = attention[n, zero, g]
                mixed[n, row, v, zero] = scale * spectrum[zero, row, v, zero]
                mixed[n, row, v, one] = scale * spectrum[zero, row, v, one]
            for p in range(one, index(copies)):
                for v in range(index(columns)):
                    scale = attention[n, p, index(group_map[row, v])]
                    mixed[n, row, v, zero] += scale * spectrum[p, row, v, zero]
                    mixed[n, row, v, one] += scale * spectrum[p, row, v, one]
        task = take_task(counter)


@kernel
def mix_backward_kernel(
    counter: Array,
    tasks: int,
    grad_mixed: Array,
    spectrum: Array,
    group_map: Array,
    attention: Array,
    column_scale: Array,
    grad_spectrum: Array,
    grad_attention: Array,
) -> None:
    """Gradients of `mix_kernel`'s arguments; tasks are chunks of rows.

    Args:
        grad_mixed: (N, rows, columns, 2), times column_scale (columns,) the gradient of `mixed`.
        grad_spectrum: like spectrum, added to.
        grad_attention: (tasks, N, P, G), what each chunk contributes, added to.
    """
    copies, rows, columns, _ = spectrum.shape
    products = np.empty(columns, spectrum.dtype)
    zero = index(0)
    one = index(1)
    task = take_task(counter)
    while task < tasks:
        for row in range(task * rows // tasks, (task + 1) * rows // tasks):
            for n in range(index(len(attention))):
                for p in range(index(copies)):
                    for v in range(index(columns)):
                        real = grad_mixed[n, row, v, zero] * column_scale[v]
                        imaginary = grad_mixed[n, row, v, one] * column_scale[v]
                        scale = attention[n, p, index(group_map[row, v])]
                        grad_spectrum[p, row, v, zero] += scale * real
                        grad_spectrum[p, row, v, one] += scale * imaginary
                        products[v] = (
                            real * spectrum[p, row, v, zero] + imaginary * spectrum[p, row, v, one]
                        )
                    # Apart from the loop above, which vectorises without it.
                    for v in range(index(columns)):
                        grad_attention[task, n, p, index(group_map[row, v])] += products[v]
        task = take_task(counter)
