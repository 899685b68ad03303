"""DDF on the CPU, forward, without unfolding the image into patches.

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

from repro.ops.cpu.jit import inlined, kernel
from repro.ops.cpu.plan import Array, Layout, Taps
from repro.ops.cpu.taps import load_each, products, spread_each, sum_taps, take
from repro.ops.cpu.tasks import channels_from, len_filter, locate, may_bypass, read_four
from repro.ops.cpu.threads import take_task
from repro.ops.cpu.tile import clear_outside, pack, pack_ones, round_up, scratch
from repro.ops.cpu.vector import (
    keep_first,
    lanes,
    load_inside,
    spread,
    store,
    store_first,
    store_past_caches,
    sum_lanes,
)


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
        else:  # what lies behind the block is anything, and must not count as not finite
            acc0 = keep_first(acc0, length - i)
            acc1 = keep_first(acc1, length - i)
            store_first(out, planes_out[0] + i, acc0, length - i)
            store_first(out, planes_out[1] + i, acc1, length - i)
        total += (acc0 + acc1) * none
    return total
