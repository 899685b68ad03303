"""DDF on the CPU, backward: all three gradients in one pass over the blocks of `repro.ops.cpu.ddf`.

The gradient of x gathers: input j sums spatial[t, i] * channel[t] * grad_out[i] over the outputs
i = j - offset(t) that read it. Its products of spatial filter and incoming gradient, times x, are
the gradient of the channel filter. That of the spatial filter sums over the channels, four at a
time, into a block that stays in the second-level cache.

Nothing is added to by two tasks: what blocks contribute to a channel's filter, and chunks of
channels to a pixel's, is summed afterwards, in an order that follows from the shapes.
"""

from __future__ import annotations

from repro.ops.cpu.jit import inlined, kernel
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
from repro.ops.cpu.tasks import (
    Four,
    channels_from,
    len_filter,
    locate,
    may_bypass,
    read_four,
    read_gradients,
)
from repro.ops.cpu.threads import take_task
from repro.ops.cpu.tile import (
    clear_outside,
    pack,
    pack_ones,
    round_up,
    scratch,
    store_phase,
    unpack,
)
from repro.ops.cpu.vector import (
    keep_first,
    lanes,
    load,
    load_inside,
    spread,
    store,
    store_first,
    store_past_caches,
    sum_lanes,
)


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
            acc = keep_first(acc, length - i)
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
