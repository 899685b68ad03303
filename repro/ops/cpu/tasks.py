"""Which part of a DDF call a task is, and where it reads and writes."""

from __future__ import annotations

from repro.ops.cpu.jit import kernel
from repro.ops.cpu.plan import Array, Layout, Taps
from repro.ops.cpu.tile import lies_inside, load_margins, load_phases
from repro.ops.cpu.vector import lanes

Four = tuple[int, int, int, int]

# Results of this size are not in the caches any more when they are read.
LARGE_BYTES = 32 << 20


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
