"""DDF on the CPU: forward and backward loops, without unfolding the image into patches.

The form. Output i of a channel is a sum over the taps t,

    out[i] += spatial[t, i] * channel[t] * x[i + offset(t)].

With flat positions a tap's offset is the same for every i, so one loop over i serves all rows. At
the borders i + offset(t) falls on the wrong side of a row end, or into the next channel; there the
packed spatial filter holds zeros (`repro.ops.cpu.tile`).

- The flat form reads the image where it lies. It takes every block with stride 1, except the few at
  either end of the tensor whose taps would reach beyond it.
- The tile form takes those, and all strides above 1: it copies the block's rows into a tile first,
  one phase of the stride behind another.

Two channels share each load of the spatial filter. A task owns everything it writes, and sums in an
order that follows from the shapes, so results do not depend on the number of threads.

Zeros stand for what lies outside the image, so one NaN or infinity can spread to neighbours it
should not reach. Each task therefore says whether all it wrote was finite; `repro.ops.cpu.host`
computes the others again, tap by tap.
"""

from __future__ import annotations

from repro.ops.cpu.jit import kernel, take_task
from repro.ops.cpu.plan import Array, Layout, Taps
from repro.ops.cpu.tile import (
    clear_outside,
    lies_inside,
    load_margins,
    load_phases,
    pack,
    pack_ones,
    round_up,
    scratch,
    store_phase,
    unpack,
)
from repro.ops.cpu.vector import (
    lanes,
    load,
    spread,
    spread_at,
    store,
    store_first,
    sum_lanes,
)

# Outputs that one sweep over the taps of the backward pass takes: what it reads and writes of two
# channels stays in the first-level cache.
SWEEP_VECTORS = 32


@kernel
def forward_kernel(
    counter: Array,
    tasks: int,
    x: Array,
    channel_filter: Array,
    spatial_filter: Array,
    out: Array,
    finite: Array,
    layout: Layout,
    taps: Taps,
    add: bool | None,
) -> None:
    """Tasks are blocks of output rows of a chunk of channels; all arrays are flat.

    Args:
        channel_filter: of N*C channels, taps in the order `taps.order`.
        finite: (tasks,), whether all that a task wrote was finite.
        add: None multiplies the two filters, True adds them; None is resolved while compiling.
    """
    task = take_task(counter)
    if task >= tasks:
        return
    count = len(taps.order)
    pixels = layout.height * layout.width
    pixels_out = layout.height_out * layout.width_out
    packed = scratch(count * round_up(layout.rows * layout.width_out, x), x)
    inside = packed if add is None else scratch(len(packed), x)
    tile_size = len(taps.phases) * layout.phase_size
    tiles = scratch(2 * tile_size, x)
    tiles[:] = 0
    unshifted = taps.order * 0
    while task < tasks:
        n, top, rows, start, stop = locate(task, layout)
        begin, length = top * layout.width_out, rows * layout.width_out
        planes = n * count * pixels_out + begin
        pack(packed, spatial_filter, planes, taps.order, unshifted, pixels_out, length)
        clear_outside(packed, taps.inside, layout, top, rows)
        if add is not None:
            pack_ones(inside, count, length)
            clear_outside(inside, taps.inside, layout, top, rows)
        total = spread(x.dtype.type(0))
        for c in range(n * layout.channels + start, n * layout.channels + stop, 2):
            last = min(c + 1, n * layout.channels + stop - 1)
            planes_out = (c * pixels_out + begin, last * pixels_out + begin)
            source, planes_in = x, (c * pixels + begin, last * pixels + begin)
            if layout.stride > 1 or not lies_inside(x, planes_in, layout, length):
                source, planes_in = tiles, (layout.margin, tile_size + layout.margin)
                load_pair(tiles, x, c, last, taps.phases, layout, top)
            total += filter_pair(
                out,
                planes_out,
                source,
                planes_in,
                packed,
                inside,
                channel_filter,
                (c * count, last * count),
                taps.offsets,
                (0, count),
                length,
                add,
            )
        finite[task] = sum_lanes(total) == 0
        task = take_task(counter)


@kernel
def filter_pair(
    out: Array,
    planes_out: tuple[int, int],
    source: Array,
    planes_in: tuple[int, int],
    packed: Array,
    inside: Array,
    channel_filter: Array,
    filters: tuple[int, int],
    offsets: Array,
    some_taps: tuple[int, int],
    length: int,
    add: bool | None,
) -> object:
    """Filter a block of two channels; returns a vector of zeros if all is finite, else NaN.

    Args:
        planes_out, planes_in, filters: index of the two channels' first output, input, tap.
        inside: for "add", packed ones where the taps lie inside the image.
        some_taps: the first tap and the last, exclusive, that take part.
    """
    step = len(offsets) * lanes(out)
    none = spread(out.dtype.type(0))
    total = none
    row = 0
    for i in range(0, length, lanes(out)):
        acc0 = none
        acc1 = none
        for t in range(some_taps[0], some_taps[1]):
            s = load(packed, row + t * lanes(out))
            channel0 = spread_at(channel_filter, filters[0] + t)
            channel1 = spread_at(channel_filter, filters[1] + t)
            j = i + offsets[t]
            if add is None:
                acc0 += s * channel0 * load(source, planes_in[0] + j)
                acc1 += s * channel1 * load(source, planes_in[1] + j)
            else:
                is_inside = load(inside, row + t * lanes(out))
                acc0 += (s + is_inside * channel0) * load(source, planes_in[0] + j)
                acc1 += (s + is_inside * channel1) * load(source, planes_in[1] + j)
        if i + lanes(out) <= length:
            store(out, planes_out[0] + i, acc0)
            store(out, planes_out[1] + i, acc1)
        else:
            store_first(out, planes_out[0] + i, acc0, length - i)
            store_first(out, planes_out[1] + i, acc1, length - i)
        total += (acc0 + acc1) * none
        row += step
    return total


@kernel
def backward_kernel(
    counter: Array,
    tasks: int,
    grad_out: Array,
    x: Array,
    channel_filter: Array,
    spatial_filter: Array,
    grad_x: Array,
    grad_channel: Array,
    grad_spatial: Array,
    finite: Array,
    layout: Layout,
    taps: Taps,
    add: bool | None,
) -> None:
    """Tasks as in `forward_kernel`, and the arguments that are not named here.

    Args:
        grad_x: of x; where stride > 1, zeros.
        grad_channel: (blocks, N*C*K*K), what each block of rows contributes, zeros.
        grad_spatial: (chunks, N*K*K*pixels), what each chunk of channels contributes.
    """
    task = take_task(counter)
    if task >= tasks:
        return
    count = len(taps.order)
    pixels = layout.height * layout.width
    pixels_out = layout.height_out * layout.width_out
    size = round_up(layout.rows * layout.width_out, x)
    # For the gradient of x, taps are gathered: packed where they come from, not where they lie.
    gathered = scratch(count * size, x)
    gathered_inside = gathered if add is None else scratch(count * size, x)
    # For that of the channel filter, the factor beside x and grad_out: for "add" it is one.
    factors = scratch(count * size, x)
    sums = scratch(count * size, x)
    grad_tiles = scratch(2 * layout.phase_size, x)
    tile_size = len(taps.phases) * layout.phase_size
    tiles = scratch(2 * tile_size, x)
    tiles[:] = 0
    grad_phases = scratch(2 * size, x)
    unshifted = taps.order * 0
    while task < tasks:
        n, top, rows, start, stop = locate(task, layout)
        begin, length = top * layout.width_out, rows * layout.width_out
        planes = n * count * pixels_out + begin
        pack(gathered, spatial_filter, planes, taps.order, taps.back_offsets, pixels_out, length)
        clear_outside(gathered, taps.back_inside, layout, top, rows)
        if add is None:
            pack(factors, spatial_filter, planes, taps.order, unshifted, pixels_out, length)
        else:
            pack_ones(factors, count, length)
            pack_ones(gathered_inside, count, length)
            clear_outside(gathered_inside, taps.back_inside, layout, top, rows)
        clear_outside(factors, taps.inside, layout, top, rows)
        sums[:] = 0
        total = spread(x.dtype.type(0))
        block = task // layout.chunks % layout.blocks
        channel_sums = grad_channel[block]
        for c in range(n * layout.channels + start, n * layout.channels + stop, 2):
            last = min(c + 1, n * layout.channels + stop - 1)
            filters = (c * count, last * count)
            grads, grad_planes = grad_out, (c * pixels_out + begin, last * pixels_out + begin)
            if not lies_inside(grad_out, grad_planes, layout, length):
                load_margins(grad_tiles, 0, grad_out, grad_planes[0], layout)
                load_margins(grad_tiles, layout.phase_size, grad_out, grad_planes[1], layout)
                grads, grad_planes = grad_tiles, (layout.margin, layout.phase_size + layout.margin)
            for p in range(len(taps.phases)):
                target, target_planes = grad_x, (c * pixels + begin, last * pixels + begin)
                if layout.stride > 1:
                    target, target_planes = grad_phases, (0, size)
                total += filter_pair(
                    target,
                    target_planes,
                    grads,
                    grad_planes,
                    gathered,
                    gathered_inside,
                    channel_filter,
                    filters,
                    taps.back_offsets,
                    (taps.phases[p, 2], taps.phases[p, 3]),
                    length,
                    add,
                )
                if layout.stride > 1:
                    phase = taps.phases[p]
                    store_phase(grad_x, c * pixels, grad_phases, 0, phase, layout, top, rows)
                    store_phase(grad_x, last * pixels, grad_phases, size, phase, layout, top, rows)
            source, planes_in = x, (c * pixels + begin, last * pixels + begin)
            if layout.stride > 1 or not lies_inside(x, planes_in, layout, length):
                source, planes_in = tiles, (layout.margin, tile_size + layout.margin)
                load_pair(tiles, x, c, last, taps.phases, layout, top)
            differentiate_pair(
                channel_sums,
                sums,
                grads,
                grad_planes,
                source,
                planes_in,
                factors,
                channel_filter,
                filters,
                taps.offsets,
                length,
                add,
            )
        clear_outside(sums, taps.inside, layout, top, rows)
        chunk = task % layout.chunks
        unpack(grad_spatial[chunk], planes, taps.order, sums, pixels_out, length)
        first, last = n * layout.channels + start, n * layout.channels + stop
        rest = x.dtype.type(0)
        for i in range(first * count, last * count):
            rest += channel_sums[i] * 0
        finite[task] = sum_lanes(total) + rest == 0
        task = take_task(counter)


@kernel
def differentiate_pair(
    channel_sums: Array,
    spatial_sums: Array,
    grads: Array,
    grad_planes: tuple[int, int],
    source: Array,
    planes_in: tuple[int, int],
    factors: Array,
    channel_filter: Array,
    filters: tuple[int, int],
    offsets: Array,
    length: int,
    add: bool | None,
) -> None:
    """Add what a block of two channels contributes to the gradients of both filters."""
    taps = len(offsets)
    one, zero = grads.dtype.type(1), grads.dtype.type(0)
    is_pair = one if filters[0] != filters[1] else zero
    none = spread(zero)
    sweep = SWEEP_VECTORS * lanes(grads)
    for start in range(0, length, sweep):
        stop = min(start + sweep, length)
        for t in range(taps):
            if add is None:
                channel0 = spread(channel_filter[filters[0] + t])
                channel1 = spread(channel_filter[filters[1] + t] * is_pair)
            else:
                channel0 = spread(one)
                channel1 = spread(is_pair)
            acc0 = none
            acc1 = none
            for i in range(start, stop, lanes(grads)):
                k = i * taps + t * lanes(grads)
                j = i + offsets[t]
                product0 = load(grads, grad_planes[0] + i) * load(source, planes_in[0] + j)
                product1 = load(grads, grad_planes[1] + i) * load(source, planes_in[1] + j)
                s = load(factors, k)
                store(
                    spatial_sums,
                    k,
                    load(spatial_sums, k) + product0 * channel0 + product1 * channel1,
                )
                acc0 += product0 * s
                acc1 += product1 * s
            channel_sums[filters[0] + t] += sum_lanes(acc0)
            channel_sums[filters[1] + t] += sum_lanes(acc1) * is_pair


@kernel
def load_pair(
    tiles: Array, x: Array, c: int, last: int, phases: Array, layout: Layout, top: int
) -> None:
    """Load the tiles of two channels, one behind the other."""
    pixels = layout.height * layout.width
    tile_size = len(phases) * layout.phase_size
    for k in range(2):
        first = pixels * (last if k else c)
        if layout.stride == 1:
            load_margins(tiles, k * tile_size, x, first + top * layout.width_out, layout)
        else:
            load_phases(tiles, k * tile_size, x, first, phases, layout, top)


@kernel
def locate(task: int, layout: Layout) -> tuple[int, int, int, int, int]:
    """Image, first output row and number of rows, first channel and last, exclusive, of a task."""
    chunk = task % layout.chunks
    block = task // layout.chunks % layout.blocks
    top = block * layout.rows
    pairs = (layout.channels + 1) // 2
    return (
        task // layout.chunks // layout.blocks,
        top,
        min(layout.rows, layout.height_out - top),
        2 * (pairs * chunk // layout.chunks),
        min(layout.channels, 2 * (pairs * (chunk + 1) // layout.chunks)),
    )
