"""How a call of the CPU kernels is cut into tasks, and where each tap finds its input.

Positions in a plane are flat: pixel (h, w) is h * width_out + w. With stride 1 the input of a tap
lies a fixed distance from the output, in the image as it is in memory. With a stride the image is
split into its phases, one for each remainder of row and column by the stride, each laid out as the
output is; then that holds again within the tap's phase.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from repro.ops.checks import output_size
from repro.ops.cpu.vector import lane_count

Array = np.ndarray[Any, np.dtype[Any]]

# Of a block's spatial filter: larger blocks have fewer edges, but must stay in the second-level
# cache.
BLOCK_BYTES = 128 << 10

# So many tasks, at least, keep all cores of a large machine busy; the number follows from the
# shape alone, never from the number of threads, so that sums keep their order.
TASKS = 16
CHANNELS_PER_CHUNK = 16  # at least, unless there are fewer


class Layout(NamedTuple):
    """Sizes of a call: image, blocks of output rows, chunks of channels, and their tiles."""

    channels: int
    height: int
    width: int
    height_out: int
    width_out: int
    stride: int
    rows: int  # output rows of a block; the last block may have fewer
    blocks: int  # in an image
    chunks: int  # of channels
    margin: int  # values before and behind a block that its taps reach
    phase_size: int  # values of a block and its margins in one phase, room for a whole vector


class Taps(NamedTuple):
    """What is particular to each tap, in groups of taps that are computed together.

    Where taps do not fill their last group, taps follow that count nothing: their number is -1,
    their offset 0.

    Attributes:
        order: (slots,), the tap's number in the filter.
        offsets: (slots,), from an output to the tap's input.
        back_offsets: (slots,), from an input, in its phase, to the tap's output.
        inside: (slots, 4), outputs whose input lies in the image: first and last row, exclusive,
            first and last column.
        back_inside: (slots, 4), the same of inputs whose output exists.
        phases: (phases, 4), row and column of a phase, its first group and its last, exclusive.
    """

    order: Array
    offsets: Array
    back_offsets: Array
    inside: Array
    back_inside: Array
    phases: Array


class Plan(NamedTuple):
    """Layout and taps of a call.

    Attributes:
        group: as long as a group of taps; the size of a tuple is known while compiling.
        is_sorted: whether the groups hold the filter's taps in the filter's own order.
    """

    layout: Layout
    taps: Taps
    group: tuple[int, ...]
    is_sorted: bool


class _Tap(NamedTuple):
    """A tap, and where it lies: in which phase, and how many rows and columns away there."""

    phase: tuple[int, int]
    number: int
    row: int
    column: int


@lru_cache(maxsize=1024)
def plan(
    shape: tuple[int, int, int, int],
    kernel_size: int,
    stride: int,
    dilation: int,
    value_bytes: int,
    *,
    by_phase: bool = False,
) -> Plan:
    """The plan of a call with an input of `shape` (N, C, H, W).

    Args:
        by_phase: whether taps of different phases must not share a group, as in the gradient of x.
    """
    batch, channels, height, width = shape
    height_out, width_out = output_size(height, stride), output_size(width, stride)
    distances = range(-(kernel_size // 2) * dilation, kernel_size // 2 * dilation + 1, dilation)
    phases: dict[tuple[int, int], list[_Tap]] = {}
    for u, dh in enumerate(distances):
        for v, dw in enumerate(distances):
            phase = (dh % stride, dw % stride)
            tap = _Tap(phase, u * kernel_size + v, dh // stride, dw // stride)
            phases.setdefault(phase, []).append(tap)
    all_taps = sorted((tap for taps in phases.values() for tap in taps), key=lambda tap: tap.number)
    together = list(phases.values()) if by_phase else [all_taps]
    group_size = _group_size([len(taps) for taps in together])
    slots: list[_Tap] = []
    groups = []
    for taps in together:
        first = len(slots) // group_size
        slots += taps + [_Tap(taps[0].phase, -1, 0, 0)] * (-len(taps) % group_size)
        groups.append((first, len(slots) // group_size))
    if not by_phase:
        groups *= len(phases)

    rows = _rows(height_out, width_out, len(slots) * value_bytes)
    blocks = output_size(height_out, rows)
    flat = np.array([tap.row * width_out + tap.column for tap in slots])
    margin = output_size(int(abs(flat).max()), width_out) * width_out
    phase_size = 2 * margin + rows * width_out + lane_count(value_bytes)
    phase_number = [list(phases).index(tap.phase) for tap in slots]
    layout = Layout(
        channels=channels,
        height=height,
        width=width,
        height_out=height_out,
        width_out=width_out,
        stride=stride,
        rows=rows,
        blocks=blocks,
        chunks=min(output_size(TASKS, batch * blocks), max(1, channels // CHANNELS_PER_CHUNK)),
        margin=margin,
        phase_size=phase_size,
    )
    table = Taps(
        order=np.array([tap.number for tap in slots]),
        offsets=flat + phase_size * np.array(phase_number),
        back_offsets=-flat,
        inside=np.array(
            [
                _inside(tap.row * stride + tap.phase[0], height, height_out, stride)
                + _inside(tap.column * stride + tap.phase[1], width, width_out, stride)
                for tap in slots
            ]
        ),
        back_inside=np.array(
            [_kept(tap.row, height_out) + _kept(tap.column, width_out) for tap in slots]
        ),
        phases=np.array([(*phase, *ends) for phase, ends in zip(phases, groups, strict=True)]),
    )
    is_sorted = [tap.number for tap in slots] == list(range(len(slots)))
    return Plan(layout, table, (0,) * group_size, is_sorted)


def _group_size(taps_of_phases: list[int]) -> int:
    """How many taps to take at once: at most nine, whose sums fit the registers of AVX-512.

    A slot costs its products; a group costs a load and a store of what is summed.
    """

    def cost(size: int) -> int:
        groups = sum(output_size(taps, size) for taps in taps_of_phases)
        return groups * size + groups

    return min(range(1, 10), key=cost)


def _rows(height_out: int, width_out: int, bytes_per_pixel: int) -> int:
    """Output rows of a block: blocks of about the same size, of at most BLOCK_BYTES or one row."""
    most = max(1, BLOCK_BYTES // (bytes_per_pixel * width_out))
    return output_size(height_out, output_size(height_out, most))


def _inside(distance: int, size: int, size_out: int, stride: int) -> list[int]:
    """First and last output o with 0 <= o * stride + distance < size, the last exclusive."""
    first = min(size_out, max(0, -(distance // stride)))
    return [first, max(first, min(size_out, (size - 1 - distance) // stride + 1))]


def _kept(shift: int, size: int) -> list[int]:
    """First and last i of a phase with 0 <= i - shift < size, the last exclusive."""
    first = min(size, max(0, shift))
    return [first, max(first, min(size, size + shift))]
