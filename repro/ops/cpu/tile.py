"""Blocks of filters and images in the order in which the DDF kernels on the CPU read them.

The K*K spatial filters of a block are packed: for each vector of pixels its K*K vectors, one behind
another. Taps that lie outside the image are set to zero there, so the kernels need not see borders
or row ends: what such a tap reads instead counts nothing, unless it is not finite.
"""

from __future__ import annotations

import numpy as np

from repro.ops.cpu.jit import kernel
from repro.ops.cpu.plan import Array, Layout
from repro.ops.cpu.vector import lanes, load, load_inside, store, store_first

# Indices are unsigned: Numba wraps signed ones around the end of an array, which costs a select per
# access and half the speed.
index = np.uintp


@kernel
def scratch(size: int, like: Array) -> Array:
    """Memory of the dtype of `like` that starts at a multiple of a vector's size."""
    values = np.empty(size + lanes(like), like.dtype)
    skip = -(values.ctypes.data // values.itemsize) % lanes(like)
    return values[skip : skip + size]


@kernel
def round_up(length: int, like: Array) -> int:
    """Values of the vectors that hold `length` values."""
    return (length + lanes(like) - 1) // lanes(like) * lanes(like)


@kernel
def position(pixel: int, tap: int, taps: int, like: Array) -> int:
    """Where a tap of a pixel lies in a packed block."""
    return (pixel // lanes(like) * taps + tap) * lanes(like) + pixel % lanes(like)


@kernel
def pack(
    packed: Array, planes: Array, first: int, order: Array, shifts: Array, pixels: int, length: int
) -> None:
    """Pack `length` pixels of K*K planes, from index `first` of the first plane on.

    Args:
        order: (K*K,), the plane of each tap. shifts: (K*K,), how far from the pixel it is read.
        pixels: from one plane to the next.
    """
    taps = len(order)
    for i in range(0, length, lanes(packed)):
        for t in range(taps):
            values = load_inside(planes, first + order[t] * pixels + i + shifts[t])
            store(packed, i * taps + t * lanes(packed), values)
    for i in range(length, round_up(length, packed)):
        for t in range(taps):
            packed[position(i, t, taps, packed)] = 0


@kernel
def pack_ones(packed: Array, taps: int, length: int) -> None:
    """As `pack`, of planes of ones."""
    for i in range(round_up(length, packed)):
        for t in range(taps):
            packed[position(i, t, taps, packed)] = 1 if i < length else 0


@kernel
def clear_outside(packed: Array, inside: Array, layout: Layout, top: int, rows: int) -> None:
    """Set to zero what lies outside `inside`, of a block that starts at row `top`."""
    taps = len(inside)
    for t in range(taps):
        first_row, last_row, first_column, last_column = inside[t]
        for row in range(rows):
            first = first_column
            if top + row < first_row or top + row >= last_row:
                first = layout.width_out
            pixel = row * layout.width_out
            for w in range(first):
                packed[position(pixel + w, t, taps, packed)] = 0
            for w in range(last_column, layout.width_out):
                packed[position(pixel + w, t, taps, packed)] = 0


@kernel
def unpack(
    planes: Array, first: int, order: Array, packed: Array, pixels: int, length: int
) -> None:
    """Undo `pack`."""
    taps = len(order)
    for i in range(0, length, lanes(packed)):
        for t in range(taps):
            values = load(packed, i * taps + t * lanes(packed))
            store_first(planes, first + order[t] * pixels + i, values, length - i)


@kernel
def lies_inside(planes: Array, starts: tuple[int, int], layout: Layout, length: int) -> bool:
    """Whether blocks of two planes may be read in place, with their margins.

    Args:
        starts: index of the first value of each, the lower one first.
    """
    start = starts[0] - layout.margin
    stop = starts[1] + round_up(length, planes) + layout.margin
    return start >= 0 and stop <= planes.size


@kernel
def load_margins(tile: Array, start: int, planes: Array, first: int, layout: Layout) -> None:
    """Copy a block and its margins to tile[start:], zeros where the planes end."""
    for i in range(0, layout.phase_size - lanes(tile) + 1, lanes(tile)):
        store(tile, start + i, load_inside(planes, first - layout.margin + i))
    last = layout.phase_size - lanes(tile)
    store(tile, start + last, load_inside(planes, first - layout.margin + last))


@kernel
def load_phases(
    tile: Array, start: int, image: Array, first: int, phases: Array, layout: Layout, top: int
) -> None:
    """Copy the rows that a block reads to its phases, zeros where the image ends.

    Args:
        image, first: the plane that starts at index `first`.
        top: the block's first output row.
    """
    stride = layout.stride
    reach = layout.margin // layout.width_out
    for p in range(len(phases)):
        phase_h, phase_w = phases[p, 0], phases[p, 1]
        columns = (layout.width - phase_w + stride - 1) // stride
        for row in range(layout.rows + 2 * reach):
            h = (top + row - reach) * stride + phase_h
            target = start + p * layout.phase_size + row * layout.width_out
            if h < 0 or h >= layout.height:
                tile[target : target + layout.width_out] = 0
                continue
            tile[target + columns : target + layout.width_out] = 0
            source = index(first + h * layout.width + phase_w)
            if stride == 2:  # a constant stride vectorises
                for w in range(index(columns)):
                    tile[index(target) + w] = image[source + w * index(2)]
            else:
                for w in range(index(columns)):
                    tile[index(target) + w] = image[source + w * index(stride)]


@kernel
def store_phase(
    image: Array,
    first: int,
    tile: Array,
    start: int,
    phase: Array,
    layout: Layout,
    top: int,
    rows: int,
) -> None:
    """Copy a block of one phase from tile[start:], without margins, to its place in the image."""
    stride = layout.stride
    columns = (layout.width - phase[1] + stride - 1) // stride
    for row in range(rows):
        h = (top + row) * stride + phase[0]
        if h >= layout.height:
            return
        target = index(first + h * layout.width + phase[1])
        source = index(start + row * layout.width_out)
        if stride == 2:
            for w in range(index(columns)):
                image[target + w * index(2)] = tile[source + w]
        else:
            for w in range(index(columns)):
                image[target + w * index(stride)] = tile[source + w]
