"""Fourier disjoint weights on the GPU: which calls the kernels take, and what fits into a block.

Plain arithmetic on sizes: this imports no Numba, so that the choice of a backend does not either.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

SHARED_BYTES = 48 * 1024  # of a block, without asking the driver for more
LARGEST_BLOCK = 1024  # threads
WARP = 32

# Of a weight, or of a spectrum: what int32 holds, with room for what blocks exceed it by.
LARGEST_SIZE = 2**30

COLUMN_THREADS = 256  # of a block, wanted; long columns and rows take more
ROW_THREADS = 192
SECTOR_COLUMNS = 4  # complex float32 that fill the 32 bytes a GPU reads at once
STAGE_BYTES = 36 * 1024  # of a piece of a filter's gradient, in shared memory


class Call(NamedTuple):
    """What is known of a call of either operator without looking at a value."""

    batch: int
    copies: int  # of the spectrum
    kernel_num: int  # frequency groups; parallel weights, of a basis, are copies * kernel_num
    weight_shape: tuple[int, int, int, int]  # (C_out, C_in of a group, K_h, K_w)
    groups: int  # of the convolution
    width: int  # of the local filters; 0 for none
    dtype: str  # "float32" or "float64"

    @property
    def rows(self) -> int:
        """Of the real matrix."""
        return self.weight_shape[0] * self.weight_shape[2]

    @property
    def length(self) -> int:
        """Of a row of the real matrix."""
        return self.weight_shape[1] * self.weight_shape[3]

    @property
    def half(self) -> int:
        """Columns of the half spectrum."""
        return self.length // 2 + 1

    @property
    def taps(self) -> int:
        return self.weight_shape[2] * self.weight_shape[3]

    @property
    def size(self) -> int:
        """Values of a sample's weight."""
        return prod(self.weight_shape)

    @property
    def item_bytes(self) -> int:
        return 8 if self.dtype == "float64" else 4

    def vector(self, size: int) -> int:
        """How many values a thread loads at once from rows of `size`."""
        return 4 if self.dtype == "float32" and size % 4 == 0 else 1


def why_not(call: Call, *, transforms: bool) -> str | None:
    """Why the kernels cannot take a call; None if they can.

    Args:
        transforms: whether the call is of `fourier_disjoint_weight`, and not of its basis.
    """
    if max(call.size, 2 * call.copies * call.rows * call.half) > LARGEST_SIZE:
        return f"weights of shape {call.weight_shape} need 64-bit indices"
    if channels_at_once(call.taps, call.item_bytes) == 0:
        return f"filters of {call.taps} taps do not fit into shared memory"
    if not transforms:
        return None
    for name, length in (("rows", call.rows), ("columns", call.length)):
        if not find_radices(length):
            return f"its {length} {name} have a prime factor above 3"
    if columns_at_once(call.rows, call.item_bytes) == 0:
        return f"two columns of {call.rows} {call.dtype} pairs do not fit into shared memory"
    if pairs_at_once(call.length, call.weight_shape[2], call.item_bytes) == 0:
        return (
            f"{call.weight_shape[2]} rows of {call.length} {call.dtype} pairs do not fit into "
            "shared memory"
        )
    return None


def find_radices(length: int) -> tuple[int, ...]:
    """Radices of a DFT, the largest first; () where a prime factor is above 3."""
    twos = (length & -length).bit_length() - 1
    rest, threes = length >> twos, 0
    while rest % 3 == 0:
        rest, threes = rest // 3, threes + 1
    if rest != 1:
        return ()
    eights, twos = divmod(twos, 3)
    radices = [8] * eights
    if twos == 1 and eights:
        radices[-1:] = [4, 4]  # instead of 8, 2: each thread has work in every stage
    elif twos:
        radices.append(2**twos)
    return tuple(radices + [3] * threes) or (1,)


def threads_of(length: int) -> int:
    """Threads that share a transform: each has one butterfly of the largest radix."""
    return length // max(find_radices(length))


def columns_at_once(rows: int, item_bytes: int) -> int:
    """Columns of a block, a power of two; 0 where its shared memory holds less than two."""
    threads = threads_of(rows)
    count = 32
    while count > SECTOR_COLUMNS and count * threads > COLUMN_THREADS:
        count //= 2
    while count > 1 and (
        2 * item_bytes * rows * count > SHARED_BYTES or count * threads > LARGEST_BLOCK
    ):
        count //= 2
    return count if count > 1 else 0


def padded(length: int) -> int:
    """Places of a row in shared memory: every 32 points are followed by a gap.

    Without it, the eight points of neighbouring threads would lie in the same four banks.
    """
    return length + length // 32


def pairs_at_once(length: int, kernel_height: int, item_bytes: int) -> int:
    """Pairs of output channels of a block; 0 where its shared memory does not hold one."""
    threads = kernel_height * threads_of(length)
    pair_bytes = 2 * item_bytes * padded(length) * kernel_height
    if pair_bytes > SHARED_BYTES or threads > LARGEST_BLOCK:
        return 0
    count = 1
    while 2 * count * threads <= ROW_THREADS and 2 * count * pair_bytes <= SHARED_BYTES:
        count *= 2
    return count


def channels_at_once(taps: int, item_bytes: int) -> int:
    """Input channels, and threads, of a block of `modulate_backward`; 0 for too many taps."""
    count = 128
    while count >= WARP and count * taps * item_bytes > STAGE_BYTES:
        count //= 2
    return count if count >= WARP else 0


def outputs_at_once(taps: int) -> int:
    """Output channels that such a block runs through: more where parts are large beside weights."""
    return 32 if taps == 1 else 16


def sums_of(width: int) -> int:
    """Sums over input channels per output channel and tap: one, and the local filter's.

    Filled up to a multiple of eight, which a warp sums at once.
    """
    return (1 + width + 7) // 8 * 8 if width else 1


def runs_at_once(taps: int) -> int:
    """Threads side by side along the input channels of `basis_to_weight`, a power of two."""
    count = 256
    while count > 1 and count * taps > 256:
        count //= 2
    return count


def samples_at_once(item_bytes: int) -> int:
    """Samples that a thread sums; half in float64, which takes two registers per value."""
    return 32 // item_bytes


def bins_at_once(item_bytes: int) -> int:
    """Groups that a block of `unmix_attention` sums: a bin for each per thread, 32 KiB."""
    return 256 // item_bytes
