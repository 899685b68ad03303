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

from repro.ops.cpu.jit import inlined, kernel, take_task
from repro.ops.cpu.plan import Array, Layout, Taps
from repro.ops.cpu.taps import (
    add_products,
    add_sums,
    gather,
    load_each,
    products,
    repeat,
    spread_each,
    store_each,
    sum_taps,
    take,
)
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
    load_inside,
    spread,
    store,
    store_first,
    store_past_caches,
    sum_lanes,
)

Four = tuple[int, int, int, int]

# Results of this size are not in the caches any more when they are read.
LARGE_BYTES = 32 << 20


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
    group: tuple[int, ...],
    add: bool | None,
) -> None:
    """Tasks are blocks of output rows of a chunk of channels; all arrays are flat.

    Args:
        channel_filter: of N*C channels, taps in the order `taps.order`.
        finite: (tasks,), whether all that a task wrote was finite.
        group: as long as a group of taps; its values do not matter.
        add: None multiplies the two filters, True adds them; None is resolved while compiling.
    """
    task = take_task(counter)
    if task >= tasks:
        return
    slots = len(taps.order)
    pixels_out = layout.height_out * layout.width_out
    size = round_up(layout.rows * layout.width_out, x)
    packed = scratch(slots * size, x)
    inside = packed if add is None else scratch(slots * size, x)
    tiles = scratch(4 * len(taps.phases) * layout.phase_size, x)
    tiles[:] = 0
    in_place = (taps.order, taps.order * 0)
    while task < tasks:
        n, top, rows, start, stop = locate(task, layout)
        begin, length = top * layout.width_out, rows * layout.width_out
        planes = n * len_filter(taps) * pixels_out + begin
        pack(packed, spatial_filter, planes, in_place, group, pixels_out, size, length)
        clear_outside(packed, taps.inside, group, size, layout, top, rows)
        if add is not None:
            pack_ones(inside, slots, group, size, length)
            clear_outside(inside, taps.inside, group, size, layout, top, rows)
        past_caches = may_bypass(out, slots, begin, length, layout, group)
        total = spread(x.dtype.type(0))
        for c in range(n * layout.channels + start, n * layout.channels + stop, 4):
            four = channels_from(c, n * layout.channels + stop)
            source, planes_in = read_four(x, tiles, four, taps.phases, layout, top, length)
            for k in range(0, min(4, four[3] - c + 1), 2):
                planes_out = (four[k] * pixels_out + begin, four[k + 1] * pixels_out + begin)
                for g in range(slots // len(group)):
                    total += filter_group(
                        out,
                        planes_out,
                        source,
                        (planes_in[k], planes_in[k + 1]),
                        packed,
                        inside,
                        g * len(group) * size,
                        channel_filter,
                        (four[k] * slots + g * len(group), four[k + 1] * slots + g * len(group)),
                        take(taps.offsets, g * len(group), group),
                        g == 0,
                        past_caches,
                        length,
                        add,
                    )
        finite[task] = sum_lanes(total) == 0
        task = take_task(counter)


@inlined
def filter_group(
    out: Array,
    planes_out: tuple[int, int],
    source: Array,
    planes_in: tuple[int, int],
    packed: Array,
    inside: Array,
    start: int,
    channel_filter: Array,
    filters: tuple[int, int],
    offsets: tuple[int, ...],
    is_first: bool,
    past_caches: bool,
    length: int,
    add: bool | None,
) -> object:
    """Filter a block of two channels with a group of taps; a vector of zeros, or NaN if not finite.

    Args:
        planes_out, planes_in, filters: index of the two channels' first output, input, tap.
        inside: for "add", packed ones where the taps lie inside the image.
        start: of the group in `packed` and `inside`.
        is_first: whether outputs are written, not added to.
    """
    one, none = spread(out.dtype.type(1)), spread(out.dtype.type(0))
    total = none
    weights0 = spread_each(channel_filter, filters[0], offsets)
    weights1 = spread_each(channel_filter, filters[1], offsets)
    for i in range(0, length, lanes(out)):
        k = start + i * len(offsets)
        spatial = load_each(packed, k, offsets)
        products0 = products(spatial, source, planes_in[0] + i, offsets)
        products1 = products(spatial, source, planes_in[1] + i, offsets)
        if add is None:
            acc0 = sum_taps(products0, weights0)
            acc1 = sum_taps(products1, weights1)
        else:
            is_inside = load_each(inside, k, offsets)
            inputs0 = products(is_inside, source, planes_in[0] + i, offsets)
            inputs1 = products(is_inside, source, planes_in[1] + i, offsets)
            acc0 = sum_taps(products0, one) + sum_taps(inputs0, weights0)
            acc1 = sum_taps(products1, one) + sum_taps(inputs1, weights1)
        if not is_first:
            acc0 += load_inside(out, planes_out[0] + i)
            acc1 += load_inside(out, planes_out[1] + i)
        if past_caches:
            store_past_caches(out, planes_out[0] + i, acc0)
            store_past_caches(out, planes_out[1] + i, acc1)
        elif i + lanes(out) <= length:
            store(out, planes_out[0] + i, acc0)
            store(out, planes_out[1] + i, acc1)
        else:
            store_first(out, planes_out[0] + i, acc0, length - i)
            store_first(out, planes_out[1] + i, acc1, length - i)
        total += (acc0 + acc1) * none
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
    group: tuple[int, ...],
    add: bool | None,
) -> None:
    """Tasks as in `forward_kernel`, and the arguments that are not named here.

    Args:
        grad_x: of x; where stride > 1, zeros.
        grad_channel: (blocks, N*C*slots), what each block of rows contributes, zeros.
        grad_spatial: (chunks, N*K*K*pixels), what each chunk of channels contributes.
    """
    task = take_task(counter)
    if task >= tasks:
        return
    slots = len(taps.order)
    pixels = layout.height * layout.width
    pixels_out = layout.height_out * layout.width_out
    size = round_up(layout.rows * layout.width_out, x)
    # Taps are gathered: packed for the input that they lead to, not for the output they come from.
    packed = scratch(slots * size, x)
    inside = packed if add is None else scratch(slots * size, x)
    spatial_sums = scratch(slots * size, x)
    weights = scratch(4 * slots, x)
    grad_tiles = scratch(4 * layout.phase_size, x)
    tiles = scratch(4 * len(taps.phases) * layout.phase_size, x)
    tiles[:] = 0
    grad_phase = scratch(size, x)
    while task < tasks:
        n, top, rows, start, stop = locate(task, layout)
        begin, length = top * layout.width_out, rows * layout.width_out
        planes = n * len_filter(taps) * pixels_out + begin
        gathered = (taps.order, taps.back_offsets)
        pack(packed, spatial_filter, planes, gathered, group, pixels_out, size, length)
        clear_outside(packed, taps.back_inside, group, size, layout, top, rows)
        if add is not None:
            pack_ones(inside, slots, group, size, length)
            clear_outside(inside, taps.back_inside, group, size, layout, top, rows)
        spatial_sums[:] = 0
        past_caches = may_bypass(grad_x, slots, begin, length, layout, group)
        total = spread(x.dtype.type(0))
        channel_sums = grad_channel[task // layout.chunks % layout.blocks]
        for c in range(n * layout.channels + start, n * layout.channels + stop, 4):
            four = channels_from(c, n * layout.channels + stop)
            source, planes_in = read_four(x, tiles, four, taps.phases, layout, top, length)
            grads, grad_planes = read_gradients(grad_out, grad_tiles, four, layout, begin, length)
            load_weights(weights, channel_filter, four, slots, add)
            for p in range(len(taps.phases)):
                for k in range(four[3] - c + 1):
                    target, place = grad_x, four[k] * pixels + begin
                    if layout.stride > 1:
                        target, place = grad_phase, 0
                    for g in range(taps.phases[p, 2], taps.phases[p, 3]):
                        total += gather_group(
                            target,
                            place,
                            channel_sums,
                            grads,
                            grad_planes[k],
                            source,
                            planes_in[k] + p * layout.phase_size,
                            packed,
                            inside,
                            g * len(group) * size,
                            channel_filter,
                            four[k] * slots + g * len(group),
                            take(taps.back_offsets, g * len(group), group),
                            g == taps.phases[p, 2],
                            past_caches,
                            length,
                            add,
                        )
                    if layout.stride > 1:
                        image = four[k] * pixels
                        store_phase(grad_x, image, grad_phase, taps.phases[p], layout, top, rows)
            for g in range(slots // len(group)):
                differentiate_spatial(
                    spatial_sums,
                    g * len(group) * size,
                    grads,
                    grad_planes,
                    source,
                    planes_in,
                    weights,
                    g * len(group),
                    slots,
                    take(taps.offsets, g * len(group), group),
                    length,
                )
        clear_outside(spatial_sums, taps.inside, group, size, layout, top, rows)
        part = grad_spatial[task % layout.chunks]
        unpack(part, planes, taps.order, spatial_sums, group, pixels_out, size, length)
        first, last = n * layout.channels + start, n * layout.channels + stop
        rest = x.dtype.type(0)
        for i in range(first * slots, last * slots):
            rest += channel_sums[i] * x.dtype.type(0)
        finite[task] = sum_lanes(total) + rest == 0
        task = take_task(counter)


@inlined
def gather_group(
    grad_x: Array,
    place: int,
    channel_sums: Array,
    grads: Array,
    grad_place: int,
    source: Array,
    source_place: int,
    packed: Array,
    inside: Array,
    start: int,
    channel_filter: Array,
    filter_place: int,
    offsets: tuple[int, ...],
    is_first: bool,
    past_caches: bool,
    length: int,
    add: bool | None,
) -> object:
    """What a group of taps contributes to the gradients of a channel of x and of its filter.

    Arguments and result are like those of `filter_group`. A tap's product of spatial filter and
    incoming gradient serves both gradients. With two channels at once the sums of nine taps would
    not fit the registers.
    """
    one, none = spread(grads.dtype.type(1)), spread(grads.dtype.type(0))
    total = none
    weights = spread_each(channel_filter, filter_place, offsets)
    sums = repeat(none, offsets)
    factors = packed if add is None else inside
    for i in range(0, length, lanes(grads)):
        k = start + i * len(offsets)
        j = grad_place + i
        values = load(source, source_place + i)
        acc, sums = gather(factors, k, grads, j, offsets, weights, sums, values)
        if add is not None:
            acc += sum_taps(products(load_each(packed, k, offsets), grads, j, offsets), one)
        if not is_first:
            acc += load_inside(grad_x, place + i)
        if past_caches:
            store_past_caches(grad_x, place + i, acc)
        elif i + lanes(grads) <= length:
            store(grad_x, place + i, acc)
        else:
            store_first(grad_x, place + i, acc, length - i)
        total += acc * none
    add_sums(channel_sums, filter_place, sums)
    return total


@inlined
def differentiate_spatial(
    spatial_sums: Array,
    start: int,
    grads: Array,
    grad_planes: Four,
    source: Array,
    planes_in: Four,
    weights: Array,
    first_tap: int,
    slots: int,
    offsets: tuple[int, ...],
    length: int,
) -> None:
    """Add what a group of taps of four channels contributes to the gradient of the spatial filter.

    Four, so that the sums are loaded and stored half as often as with two.
    """
    for i in range(0, length, lanes(grads)):
        k = start + i * len(offsets)
        sums = load_each(spatial_sums, k, offsets)
        for channel in range(4):
            inputs = products(
                load(grads, grad_planes[channel] + i), source, planes_in[channel] + i, offsets
            )
            channel_taps = spread_each(weights, channel * slots + first_tap, offsets)
            sums = add_products(sums, inputs, channel_taps)
        store_each(spatial_sums, k, sums)


@kernel
def load_weights(
    weights: Array, channel_filter: Array, four: Four, slots: int, add: bool | None
) -> None:
    """What the products of four channels count in the spatial filter's gradient; a repeated, 0."""
    for k in range(4):
        is_new = k == 0 or four[k] != four[k - 1]
        for t in range(slots):
            weight = channel_filter[four[k] * slots + t] if add is None else 1
            weights[k * slots + t] = weight if is_new else 0


@kernel
def read_four(
    x: Array, tiles: Array, four: Four, phases: Array, layout: Layout, top: int, length: int
) -> tuple[Array, Four]:
    """Where to read a block of four channels: in place, or, copied to there, in tiles."""
    pixels = layout.height * layout.width
    begin = top * layout.width_out
    first, last = four[0] * pixels + begin, four[3] * pixels + begin
    if layout.stride == 1 and lies_inside(x, first, last, layout, length):
        planes = (first, four[1] * pixels + begin, four[2] * pixels + begin, last)
        return x, planes
    tile_size = len(phases) * layout.phase_size
    for k in range(4):
        if layout.stride == 1:
            load_margins(tiles, k * tile_size, x, four[k] * pixels + begin, layout)
        else:
            load_phases(tiles, k * tile_size, x, four[k] * pixels, phases, layout, top)
    start = layout.margin
    return tiles, (start, start + tile_size, start + 2 * tile_size, start + 3 * tile_size)


@kernel
def read_gradients(
    grad_out: Array, tiles: Array, four: Four, layout: Layout, begin: int, length: int
) -> tuple[Array, Four]:
    """As `read_four`, of the incoming gradient, which has one phase."""
    pixels = layout.height_out * layout.width_out
    first, last = four[0] * pixels + begin, four[3] * pixels + begin
    if lies_inside(grad_out, first, last, layout, length):
        planes = (first, four[1] * pixels + begin, four[2] * pixels + begin, last)
        return grad_out, planes
    for k in range(4):
        load_margins(tiles, k * layout.phase_size, grad_out, four[k] * pixels + begin, layout)
    start, step = layout.margin, layout.phase_size
    return tiles, (start, start + step, start + 2 * step, start + 3 * step)


@kernel
def channels_from(c: int, stop: int) -> Four:
    """Four channels from c on; where there are fewer, the last one again."""
    return c, min(c + 1, stop - 1), min(c + 2, stop - 1), min(c + 3, stop - 1)


@kernel
def len_filter(taps: Taps) -> int:
    """K*K: the taps without those that only fill groups."""
    count: int = taps.order.max() + 1
    return count


@kernel
def may_bypass(
    out: Array, slots: int, begin: int, length: int, layout: Layout, group: tuple[int, ...]
) -> bool:
    """Whether a block may be stored past the caches, and it pays: written once, aligned, large."""
    pixels = layout.height_out * layout.width_out
    whole = pixels % lanes(out) + begin % lanes(out) + length % lanes(out) == 0
    is_aligned = out.ctypes.data % (lanes(out) * out.itemsize) == 0
    is_large = out.size * out.itemsize >= LARGE_BYTES
    return is_large and whole and is_aligned and layout.stride == 1 and slots == len(group)


@kernel
def locate(task: int, layout: Layout) -> tuple[int, int, int, int, int]:
    """Image, first output row and number of rows, first channel and last, exclusive, of a task."""
    chunk = task % layout.chunks
    block = task // layout.chunks % layout.blocks
    top = block * layout.rows
    fours = (layout.channels + 3) // 4
    return (
        task // layout.chunks // layout.blocks,
        top,
        min(layout.rows, layout.height_out - top),
        4 * (fours * chunk // layout.chunks),
        min(layout.channels, 4 * (fours * (chunk + 1) // layout.chunks)),
    )
