"""DDF on the CPU: forward and backward loops, without unfolding the image into patches.

The form. A block of output rows is worked on in a tile: the input rows it needs, padded with zeros,
every row `pitch` values apart. In such a tile the input of tap (u, v) of output i lies at
i + offset(u, v), for all i at once, so one flat loop over i serves every row, and neither border
nor row end is seen in it. With a stride the tile is split into its stride * stride phases, each
again with rows `pitch` apart; only the offsets change. The flat loop also passes over the
`pitch - W_out` columns per row that belong to no output: they are zero, or not copied out.

Two channels share each load of the spatial filter, which is 1.3 times faster than one at a time. A
task owns everything it writes, so results do not depend on the number of threads.

Zeros stand for what lies outside the image, so one NaN or infinity can spread to neighbours it
should not reach. Each task therefore says whether all it wrote was finite; `repro.ops.cpu.host`
computes the others again, tap by tap.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numba.np.unsafe.ndarray import to_fixed_tuple

from repro.ops.cpu.jit import kernel

# Indices are unsigned: Numba wraps signed ones around the end of an array, which costs a select per
# access and half the speed.
index = np.uintp

Array = np.ndarray[Any, np.dtype[Any]]
Offsets = tuple[np.uintp, ...]
Taps = tuple[float, ...]


class Blocks(NamedTuple):
    """How an image is cut into blocks of output rows, and how a block's tile is laid out."""

    channels: int
    height: int
    width: int
    height_out: int
    width_out: int
    stride: int
    padding: int
    per_image: int  # blocks in an image
    rows: int  # output rows of a block; the last block may have fewer
    halo: int  # rows, and columns, that a tile has more than the block has outputs
    pitch: int  # values from one row of a tile to the next


@kernel
def forward_kernel(
    first: int,
    last: int,
    x: Array,
    channel_filter: Array,
    spatial_filter: Array,
    out: Array,
    finite: Array,
    blocks: Blocks,
    groups: tuple[Offsets, ...],
    add: bool | None,
) -> None:
    """Tasks are blocks of output rows: task = image * blocks.per_image + block.

    Args:
        x, out: (N*C, pixels). channel_filter: (N*C, K*K). spatial_filter: (N*K*K, pixels).
        finite: (tasks,), whether all that a task wrote was finite.
        groups: the taps' offsets, in groups that one pass of the flat loop takes together.
        add: None multiplies the two filters, True adds them; None is resolved while compiling.
    """
    channels = blocks.channels
    taps = channel_filter.shape[1]
    step = flat_length(blocks, blocks.rows)
    spatial = np.zeros((taps, step), x.dtype)
    tiles = np.empty((2, tile_size(blocks)), x.dtype)
    sums = np.empty((2, step), x.dtype)
    for task in range(first, last):
        n, top, rows = locate(task, blocks)
        length = index(flat_length(blocks, rows))
        load_rows(spatial, spatial_filter, n * taps, taps, blocks, top, rows)
        tiles[:] = 0
        total = x.dtype.type(0)
        for c in range(n * channels, (n + 1) * channels, 2):
            pair = min(2, (n + 1) * channels - c)
            load_tiles(tiles, x, c, pair, blocks, top, rows)
            sums[:] = 0
            tap = 0
            for offsets in groups:
                taps0 = take(channel_filter, c, tap, offsets)
                taps1 = take(channel_filter, c + pair - 1, tap, offsets)
                total += apply_taps(
                    sums, spatial, tiles, taps0, taps1, offsets, index(tap), length, add
                )
                tap += len(offsets)
            store_rows(out, sums, c, pair, blocks, top, rows)
        finite[task] = total == 0


@kernel
def apply_taps(
    sums: Array,
    spatial: Array,
    tiles: Array,
    taps0: Taps,
    taps1: Taps,
    offsets: Offsets,
    first_tap: int,
    length: int,
    add: bool | None,
) -> float:
    """Add a group of taps to the outputs of two channels; returns 0 if all are finite, else NaN.

    The loop over taps unrolls, because the length of a tuple is part of its type.
    """
    total: float = sums.dtype.type(0)
    zero = index(0)
    one = index(1)
    for i in range(length):
        acc0 = sums[zero, i]
        acc1 = sums[one, i]
        for t in range(len(offsets)):
            s = spatial[first_tap + index(t), i]
            j = offsets[t] + i
            if add is None:
                acc0 += s * taps0[t] * tiles[zero, j]
                acc1 += s * taps1[t] * tiles[one, j]
            else:
                acc0 += (s + taps0[t]) * tiles[zero, j]
                acc1 += (s + taps1[t]) * tiles[one, j]
        sums[zero, i] = acc0
        sums[one, i] = acc1
        total += (acc0 + acc1) * 0
    return total


@kernel
def backward_kernel(
    first: int,
    last: int,
    grad_out: Array,
    x: Array,
    channel_filter: Array,
    spatial_filter: Array,
    grad_x: Array,
    grad_channel: Array,
    grad_spatial: Array,
    finite: Array,
    blocks: Blocks,
    offsets: Array,
    add: bool | None,
) -> None:
    """Tasks are chunks of an image's channels: task = image * chunks + chunk.

    Args:
        grad_out: (N*C, output pixels). grad_x, grad_channel: like x, channel_filter, zero.
        grad_spatial: (chunks*N*K*K, output pixels), what each chunk of channels contributes.
        offsets: (K*K,), the taps' offsets.
        The others: as in `forward_kernel`.
    """
    channels = blocks.channels
    taps = channel_filter.shape[1]
    chunks = grad_spatial.shape[0] // spatial_filter.shape[0]
    step = flat_length(blocks, blocks.rows)
    spatial = np.zeros((taps, step), x.dtype)
    spatial_sums = np.empty((taps, step), x.dtype)
    tiles = np.empty((2, tile_size(blocks)), x.dtype)
    tile_sums = np.empty((2, tile_size(blocks)), x.dtype)
    grads = np.zeros((2, step), x.dtype)
    for task in range(first, last):
        n = task // chunks
        chunk = task % chunks
        start = n * channels + chunk * channels // chunks
        stop = n * channels + (chunk + 1) * channels // chunks
        total = x.dtype.type(0)
        for block in range(blocks.per_image):
            _, top, rows = locate(block, blocks)
            length = index(flat_length(blocks, rows))
            load_rows(spatial, spatial_filter, n * taps, taps, blocks, top, rows)
            spatial_sums[:] = 0
            tiles[:] = 0
            for c in range(start, stop, 2):
                pair = min(2, stop - c)
                load_tiles(tiles, x, c, pair, blocks, top, rows)
                if pair == 1:
                    grads[1] = 0
                load_rows(grads, grad_out, c, pair, blocks, top, rows)
                tile_sums[:] = 0
                for t in range(taps):
                    tap_grad0, tap_grad1 = differentiate_tap(
                        grads,
                        spatial,
                        spatial_sums,
                        tiles,
                        tile_sums,
                        channel_filter[c, t],
                        channel_filter[c + pair - 1, t],
                        index(t),
                        offsets[t],
                        length,
                        add,
                    )
                    grad_channel[c, t] += tap_grad0
                    if pair == 2:
                        grad_channel[c + 1, t] += tap_grad1
                    taps_of_pair = channel_filter[c, t] + channel_filter[c + pair - 1, t]
                    total += (tap_grad0 + tap_grad1 + taps_of_pair) * 0
                add_tiles(grad_x, tile_sums, c, pair, blocks, top, rows)
            plane = chunk * len(spatial_filter) + n * taps
            store_rows(grad_spatial, spatial_sums, plane, taps, blocks, top, rows)
        finite[task] = total == 0


@kernel
def differentiate_tap(
    grads: Array,
    spatial: Array,
    spatial_sums: Array,
    tiles: Array,
    tile_sums: Array,
    tap0: float,
    tap1: float,
    t: int,
    offset: int,
    length: int,
    add: bool | None,
) -> tuple[float, float]:
    """All three gradients of one tap of two channels; returns those of the channel filters."""
    zero = index(0)
    one = index(1)
    sum0 = grads.dtype.type(0)
    sum1 = grads.dtype.type(0)
    for i in range(length):
        j = offset + i
        s = spatial[t, i]
        grad0 = grads[zero, i]
        grad1 = grads[one, i]
        product0 = grad0 * tiles[zero, j]
        product1 = grad1 * tiles[one, j]
        if add is None:
            spatial_sums[t, i] += product0 * tap0 + product1 * tap1
            sum0 += product0 * s
            sum1 += product1 * s
            tile_sums[zero, j] += s * tap0 * grad0
            tile_sums[one, j] += s * tap1 * grad1
        else:
            spatial_sums[t, i] += product0 + product1
            sum0 += product0
            sum1 += product1
            tile_sums[zero, j] += (s + tap0) * grad0
            tile_sums[one, j] += (s + tap1) * grad1
    return sum0, sum1


@kernel
def locate(task: int, blocks: Blocks) -> tuple[int, int, int]:
    """Image, first output row and number of output rows of a task."""
    top = (task % blocks.per_image) * blocks.rows
    return task // blocks.per_image, top, min(blocks.rows, blocks.height_out - top)


@kernel
def tile_size(blocks: Blocks) -> int:
    """Values in one channel's tile, all its phases."""
    return blocks.stride * blocks.stride * (blocks.rows + blocks.halo) * blocks.pitch


@kernel
def flat_length(blocks: Blocks, rows: int) -> int:
    """Turns of the flat loop: up to the last output of the last row."""
    return (rows - 1) * blocks.pitch + blocks.width_out


@kernel
def load_rows(
    target: Array, source: Array, start: int, planes: int, blocks: Blocks, top: int, rows: int
) -> None:
    """Spread the output rows top.. of planes start.. of `source` to tile rows."""
    for p in range(index(planes)):
        q = index(start) + p
        for row in range(rows):
            i = index(row * blocks.pitch)
            j = index((top + row) * blocks.width_out)
            for w in range(index(blocks.width_out)):
                target[p, i + w] = source[q, j + w]


@kernel
def store_rows(
    target: Array, source: Array, start: int, planes: int, blocks: Blocks, top: int, rows: int
) -> None:
    """Undo `load_rows`."""
    for p in range(index(planes)):
        q = index(start) + p
        for row in range(rows):
            i = index((top + row) * blocks.width_out)
            j = index(row * blocks.pitch)
            for w in range(index(blocks.width_out)):
                target[q, i + w] = source[p, j + w]


@kernel
def tile_columns(blocks: Blocks, phase_w: int) -> tuple[int, int, int]:
    """Which columns of a horizontal phase lie inside the image, and the input column of the first.

    Returns:
        (first, count, start): columns first.. hold the inputs start, start + stride, ...
    """
    stride = blocks.stride
    first = max(0, (blocks.padding - phase_w + stride - 1) // stride)
    last = min(blocks.pitch, (blocks.width - 1 + blocks.padding - phase_w + stride) // stride)
    return first, max(0, last - first), first * stride + phase_w - blocks.padding


@kernel
def load_tiles(
    tiles: Array, source: Array, start: int, planes: int, blocks: Blocks, top: int, rows: int
) -> None:
    """Copy the input rows that `rows` outputs need, split into phases; margins stay as they are."""
    stride = index(blocks.stride)
    for phase in range(blocks.stride * blocks.stride):
        column, count, w_start = tile_columns(blocks, phase % blocks.stride)
        for row in range(rows + blocks.halo):
            h = (top + row) * blocks.stride + phase // blocks.stride - blocks.padding
            if h < 0 or h >= blocks.height:
                continue
            i = index((phase * (blocks.rows + blocks.halo) + row) * blocks.pitch + column)
            j = index(h * blocks.width + w_start)
            for p in range(index(planes)):
                q = index(start) + p
                for w in range(index(count)):
                    tiles[p, i + w] = source[q, j + w * stride]


@kernel
def add_tiles(
    target: Array, sums: Array, start: int, planes: int, blocks: Blocks, top: int, rows: int
) -> None:
    """Add tiles to where `load_tiles` reads them."""
    stride = index(blocks.stride)
    for phase in range(blocks.stride * blocks.stride):
        column, count, w_start = tile_columns(blocks, phase % blocks.stride)
        for row in range(rows + blocks.halo):
            h = (top + row) * blocks.stride + phase // blocks.stride - blocks.padding
            if h < 0 or h >= blocks.height:
                continue
            i = index((phase * (blocks.rows + blocks.halo) + row) * blocks.pitch + column)
            j = index(h * blocks.width + w_start)
            for p in range(index(planes)):
                q = index(start) + p
                for w in range(index(count)):
                    target[q, j + w * stride] += sums[p, i + w]


def take(values: Array, row: int, first: int, like: Any) -> Taps:
    """As many of `values[row, first:]` as the tuple `like` has, as a tuple; only in kernels."""
    raise NotImplementedError("compiled by Numba only")


@overload(take)  # type: ignore[untyped-decorator]
def _take(values: Any, row: Any, first: Any, like: Any) -> Any:
    length = len(like)

    def take_tuple(values: Any, row: Any, first: Any, like: Any) -> Any:
        return to_fixed_tuple(values[row, first : first + length], length)

    return take_tuple
