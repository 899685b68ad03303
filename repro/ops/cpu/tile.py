"""Blocks of filters and images in the order in which the DDF kernels on the CPU read them.

The spatial filters of a block are packed by groups of taps (`repro.ops.cpu.plan`): for each vector
of pixels the group's taps, one vector behind another. Taps that lie outside the image are set to
zero there, so the kernels need not see borders or row ends: what such a tap reads instead counts
nothing, unless it is not finite.
"""

from __future__ import annotations

import numpy as np

from repro.ops.cpu.jit import kernel
from repro.ops.cpu.plan import Array, Layout
from repro.ops.cpu.vector import (
    lanes,
    load,
    load_evens,
    load_inside,
    spread,
    store,
    store_first,
)

# Unsigned indices: Numba wraps signed ones around the end of an array, a select for each access.
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
def position(pixel: int, tap: int, group: tuple[int, ...], size: int, like: Array) -> int:
    """Where a tap of a pixel lies in a packed block of `size` pixels."""
    vector = pixel // lanes(like) * lanes(like)
    start = tap // len(group) * len(group) * size + tap % len(group) * lanes(like)
    return start + vector * len(group) + pixel % lanes(like)


@kernel
def pack(
    packed: Array,
    planes: Array,
    first: int,
    taps: tuple[Array, Array],
    group: tuple[int, ...],
    pixels: int,
    size: int,
    length: int,
) -> None:
    """Pack `length` pixels of K*K planes, from index `first` of the first plane on.

    Args:
        taps: the plane of each tap, or -1 for zeros; and how far from the pixel it is read.
        pixels: from one plane to the next.
        size: pixels that a packed block has room for, whole vectors.
    """
    order, shifts = taps
    for t in range(len(order)):
        start = position(0, t, group, size, packed)
        if order[t] < 0:
            for i in range(0, length, lanes(packed)):
                store(packed, start + i * len(group), spread(packed.dtype.type(0)))
            continue
        plane = first + order[t] * pixels + shifts[t]
        for i in range(0, length, lanes(packed)):
            store(packed, start + i * len(group), load_inside(planes, plane + i))
        for i in range(length, round_up(length, packed)):
            packed[position(i, t, group, size, packed)] = 0


@kernel
def pack_ones(packed: Array, taps: int, group: tuple[int, ...], size: int, length: int) -> None:
    """As `pack`, of planes of ones."""
    for t in range(taps):
        for i in range(round_up(length, packed)):
            packed[position(i, t, group, size, packed)] = 1 if i < length else 0


@kernel
def clear_outside(
    packed: Array,
    inside: Array,
    group: tuple[int, ...],
    size: int,
    layout: Layout,
    top: int,
    rows: int,
) -> None:
    """Set to zero what lies outside `inside`, of a block that starts at row `top`."""
    width = layout.width_out
    for t in range(len(inside)):
        first_row = min(rows, max(0, inside[t, 0] - top))
        last_row = max(first_row, min(rows, inside[t, 1] - top))
        clear(packed, t, group, size, 0, first_row * width)
        clear(packed, t, group, size, last_row * width, rows * width)
        first_column, last_column = inside[t, 2], inside[t, 3]
        if last_column - first_column == width:
            continue
        for pixel in range(first_row * width, last_row * width, width):
            for w in range(first_column):
                packed[position(pixel + w, t, group, size, packed)] = 0
            for w in range(last_column, width):
                packed[position(pixel + w, t, group, size, packed)] = 0


@kernel
def clear(
    packed: Array, tap: int, group: tuple[int, ...], size: int, first: int, stop: int
) -> None:
    """Set a tap to zero at the pixels from `first` to `stop`, exclusive."""
    pixel = first
    while pixel < stop:
        place = position(pixel, tap, group, size, packed)
        if pixel % lanes(packed) == 0 and pixel + lanes(packed) <= stop:
            store(packed, place, spread(packed.dtype.type(0)))
            pixel += lanes(packed)
        else:
            packed[place] = 0
            pixel += 1


@kernel
def unpack(
    planes: Array,
    first: int,
    order: Array,
    packed: Array,
    group: tuple[int, ...],
    pixels: int,
    size: int,
    length: int,
) -> None:
    """Undo `pack`."""
    for t in range(len(order)):
        if order[t] < 0:
            continue
        start = position(0, t, group, size, packed)
        plane = first + order[t] * pixels
        for i in range(0, length, lanes(packed)):
            values = load(packed, start + i * len(group))
            store_first(planes, plane + i, values, length - i)


@kernel
def lies_inside(planes: Array, first: int, last: int, layout: Layout, length: int) -> bool:
    """Whether blocks that start at `first` to `last` may be read in place, with their margins."""
    start = first - layout.margin
    stop = last + round_up(length, planes) + layout.margin
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
            source = first + h * layout.width + phase_w
            w = 0
            if stride == 2:  # what is written behind the row is written again with the next one
                while w < columns and source + 2 * (w + lanes(tile)) <= image.size:
                    store(tile, target + w, load_evens(image, source + 2 * w))
                    w += lanes(tile)
            while w < columns:
                tile[target + w] = image[source + w * stride]
                w += 1
            tile[target + columns : target + layout.width_out] = 0


@kernel
def store_phase(
    image: Array,
    first: int,
    tile: Array,
    phase: Array,
    layout: Layout,
    top: int,
    rows: int,
) -> None:
    """Copy a block of one phase, without margins, to its place in the image."""
    stride = layout.stride
    columns = (layout.width - phase[1] + stride - 1) // stride
    for row in range(rows):
        h = (top + row) * stride + phase[0]
        if h >= layout.height:
            return
        target = index(first + h * layout.width + phase[1])
        source = index(row * layout.width_out)
        if stride == 2:
            for w in range(index(columns)):
                image[target + w * index(2)] = tile[source + w]
        else:
            for w in range(index(columns)):
                image[target + w * index(stride)] = tile[source + w]
