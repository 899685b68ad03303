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
    """What is particular to each tap, sorted by the phase that its input lies in.

    Attributes:
        order: (K*K,), the tap's number in the filter.
        offsets: (K*K,), from an output to the tap's input.
        back_offsets: (K*K,), from an input, in its phase, to the tap's output.
        inside: (K*K, 4), outputs whose input lies in the image: first and last row, exclusive,
            first and last column.
        back_inside: (K*K, 4), the same of inputs whose output exists.
        phases: (phases, 4), row and column of a phase, its first and last tap.
    """

    order: Array
    offsets: Array
    back_offsets: Array
    inside: Array
    back_inside: Array
    phases: Array


@lru_cache(maxsize=1024)
def plan(
    shape: tuple[int, int, int, int], kernel_size: int, stride: int, dilation: int, value_bytes: int
) -> tuple[Layout, Taps]:
    """Layout and taps for an input of `shape` (N, C, H, W)."""
    batch, channels, height, width = shape
    height_out, width_out = output_size(height, stride), output_size(width, stride)
    rows = _rows(height_out, width_out, kernel_size**2 * value_bytes)
    blocks = output_size(height_out, rows)
    chunks = min(output_size(TASKS, batch * blocks), max(1, channels // CHANNELS_PER_CHUNK))
    shifts = sorted(
        (
            (dh % stride, dw % stride, u * kernel_size + v, dh // stride, dw // stride)
            for u, dh in enumerate(_distances(kernel_size, dilation))
            for v, dw in enumerate(_distances(kernel_size, dilation))
        )
    )
    flat = [h * width_out + w for *_, h, w in shifts]
    margin = output_size(max(map(abs, flat)), width_out) * width_out
    phase_size = 2 * margin + rows * width_out + lane_count(value_bytes)
    phases: list[list[int]] = []
    offsets = []
    for tap, (phase_h, phase_w, *_) in enumerate(shifts):
        if not phases or phases[-1][:2] != [phase_h, phase_w]:
            phases.append([phase_h, phase_w, tap, tap])
        phases[-1][3] += 1
        offsets.append((len(phases) - 1) * phase_size + flat[tap])
    layout = Layout(
        channels=channels,
        height=height,
        width=width,
        height_out=height_out,
        width_out=width_out,
        stride=stride,
        rows=rows,
        blocks=blocks,
        chunks=chunks,
        margin=margin,
        phase_size=phase_size,
    )
    taps = Taps(
        order=np.array([tap for _, _, tap, _, _ in shifts]),
        offsets=np.array(offsets),
        back_offsets=-np.array(flat),
        inside=np.array(
            [
                _inside(h * stride + phase_h, height, height_out, stride)
                + _inside(w * stride + phase_w, width, width_out, stride)
                for phase_h, phase_w, _, h, w in shifts
            ]
        ),
        back_inside=np.array([_kept(h, height_out) + _kept(w, width_out) for *_, h, w in shifts]),
        phases=np.array(phases),
    )
    return layout, taps


def _distances(kernel_size: int, dilation: int) -> range:
    reach = kernel_size // 2 * dilation
    return range(-reach, reach + 1, dilation)


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
