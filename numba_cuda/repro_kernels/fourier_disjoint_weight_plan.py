"""From the shapes of a call to the kernels that run it, each with its grid and its integers."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from repro_kernels.fourier_disjoint_weight import KERNELS, Variant
from repro_kernels.fourier_disjoint_weight_basis import (
    LEFT,
    RIGHT,
    THREADS,
    runs_at_once,
    samples_at_once,
)
from repro_kernels.fourier_disjoint_weight_column import columns_at_once
from repro_kernels.fourier_disjoint_weight_fft import find_radices, threads_of
from repro_kernels.fourier_disjoint_weight_mix import THREADS as MIX_THREADS
from repro_kernels.fourier_disjoint_weight_mix import bins_at_once
from repro_kernels.fourier_disjoint_weight_modulation import (
    channels_at_once,
    outputs_at_once,
    sums_of,
)
from repro_kernels.fourier_disjoint_weight_row import pairs_at_once
from repro_kernels.plan import BLOCKS_WANTED

LARGEST_INDEX = 2**30  # of a weight or a spectrum; of int32, with room for what blocks exceed it by
LARGEST_BLOCK = 1024


class Call(NamedTuple):
    """What is known of a call of either operator without looking at a value."""

    batch: int
    copies: int  # of the spectrum
    kernel_num: int  # frequency groups; parallel weights, of the basis, are copies * kernel_num
    weight_shape: tuple[int, int, int, int]  # (C_out, C_in of a group, K_h, K_w)
    groups: int  # of the convolution
    width: int  # of the local filters; 0 for none
    dtype: str  # "float32" or "float64"

    @property
    def rows(self) -> int:
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
    def real(self) -> type:
        return np.float64 if self.dtype == "float64" else np.float32

    def vector(self, size: int) -> int:
        """How many values a thread loads at once from rows of `size`."""
        return 4 if self.dtype == "float32" and size % 4 == 0 else 1


class Step(NamedTuple):
    """One launch."""

    variant: Variant
    blocks: int
    threads: int
    tensors: tuple[str, ...]  # names, in the order of the kernel's pointers
    sizes: tuple[int, ...]  # in the kernel's order, int32


class Plan(NamedTuple):
    """The launches of a call, in order, and the shapes of the scratch that they share."""

    steps: tuple[Step, ...]
    scratch: dict[str, tuple[int, ...]]


def why_not(call: Call, *, transforms: bool) -> str | None:
    """Why the kernels cannot take a call; None if they can.

    Args:
        transforms: whether the call is of `fourier_disjoint_weight`, and not of its basis.
    """
    bytes_of = call.real(0).itemsize
    if max(call.size, 2 * call.copies * call.rows * call.half) > LARGEST_INDEX:
        return f"weights of shape {call.weight_shape} need 64-bit indices"
    if call.taps > LARGEST_BLOCK or channels_at_once(call.taps, bytes_of) == 0:
        return f"filters of {call.taps} taps do not fit into shared memory"
    if not transforms:
        return None
    for name, length in (("rows", call.rows), ("columns", call.length)):
        if not find_radices(length):
            return f"the {name}, {length}, have a prime factor above 3"
    if columns_at_once(call.rows, bytes_of) == 0:
        return f"two columns of {call.rows} rows do not fit into shared memory"
    if pairs_at_once(call.length, call.weight_shape[2], bytes_of) == 0:
        return f"two filters with rows of {call.length} do not fit into shared memory"
    return None


def prefers_basis(batch: int, number: int, *, is_kept: bool) -> bool:
    """Whether parallel weights are the cheaper way, by bytes moved; a weight is one unit.

    Per sample: the spectrum once, then a write, a read and a write for each sample. From `number`
    parallel weights: they, and a write for each sample; with a spectrum that has changed, a
    transform for each of them before.
    """
    basis = number + batch if is_kept else 4 * number + batch
    return basis < 1 + 3 * batch


def plan_spectrum_forward(call: Call) -> Plan:
    """`fourier_disjoint_weight`: two launches."""
    steps = (_mix_columns(call), _rows_to_weight(call, modulated=True))
    return Plan(steps, {"spectra": _spectra(call)})


def plan_spectrum_backward(call: Call) -> Plan:
    """All gradients of `fourier_disjoint_weight`; plain weights are made again, not kept."""
    cells = call.rows * call.half
    pairs = call.batch * call.copies
    ranges = -(-call.kernel_num // bins_at_once(call.real))
    slices = _slices(pairs * ranges, -(-cells // MIX_THREADS))
    steps = (
        _mix_columns(call),
        _rows_to_weight(call, modulated=False),
        _modulate_backward(call),
        _rows_to_spectra(call),
        _transform_columns(call),
        _step(
            "unmix_spectrum",
            call,
            (),
            -(-cells // MIX_THREADS),
            MIX_THREADS,
            {"grad_mixed": "spectra"},
            batch=call.batch,
            copies=call.copies,
            groups=call.kernel_num,
            cells=cells,
        ),
        _step(
            "unmix_attention",
            call,
            (),
            slices * pairs * ranges,
            MIX_THREADS,
            {"grad_mixed": "spectra", "parts": "attention_parts"},
            copies=call.copies,
            groups=call.kernel_num,
            cells=cells,
            ranges=ranges,
            rows=pairs,
            slices=slices,
        ),
    )
    scratch = _factor_scratch(call) | {
        "spectra": _spectra(call),
        "attention_parts": (slices, call.batch, call.copies, call.kernel_num),
    }
    return Plan(steps, scratch)


def plan_basis_forward(call: Call) -> Plan:
    """`weight_from_basis`: one launch."""
    C_out, C_in, _, _ = call.weight_shape
    vector = call.vector(C_in)
    runs = runs_at_once(call.taps)
    tiles = -(-C_in // (runs * vector))
    chunks = -(-call.batch // samples_at_once(call.real))
    step = _step(
        "basis_to_weight",
        call,
        (call.taps, vector, call.width),
        C_out * tiles * chunks,
        runs * call.taps,
        batch=call.batch,
        number=call.copies * call.kernel_num,
        inputs=C_in,
        chunks=chunks,
        tiles=tiles,
        **_factor_sizes(call),
    )
    return Plan((step,), {})


def plan_basis_backward(call: Call) -> Plan:
    """All gradients of `weight_from_basis`; plain weights are made again, not kept."""
    number = call.copies * call.kernel_num
    vector = call.vector(call.size)
    across, down = -(-number // RIGHT), -(-call.batch // LEFT)
    slices = _slices(across * down, -(-call.size // (THREADS * vector)))
    steps = (
        _combine(call, "basis", "weight", (call.batch, number, number, 1)),
        _modulate_backward(call),
        _combine(call, "weight", "grad_basis", (number, call.batch, 1, number)),
        _step(
            "multiply",
            call,
            (vector,),
            slices * across * down,
            THREADS,
            {"left": "weight", "right": "basis", "parts": "attention_parts"},
            rows=call.batch,
            columns=number,
            size=call.size,
            across=across,
            down=down,
            slices=slices,
        ),
    )
    parts = {"attention_parts": (slices, call.batch, number)}
    return Plan(steps, _factor_scratch(call) | parts)


def _mix_columns(call: Call) -> Step:
    columns = columns_at_once(call.rows, call.real(0).itemsize)
    strips = -(-call.half // columns)
    return _step(
        "mix_columns",
        call,
        (call.rows, call.copies),
        call.batch * strips,
        columns * threads_of(call.rows),
        {"roots": "row_roots"},
        half=call.half,
        groups=call.kernel_num,
        strips=strips,
    )


def _transform_columns(call: Call) -> Step:
    columns = columns_at_once(call.rows, call.real(0).itemsize)
    strips = -(-call.half // columns)
    return _step(
        "transform_columns",
        call,
        (call.rows,),
        call.batch * strips,
        columns * threads_of(call.rows),
        {"roots": "row_roots"},
        half=call.half,
        length=call.length,
        strips=strips,
    )


def _rows_to_weight(call: Call, *, modulated: bool) -> Step:
    C_out, C_in, K_h, K_w = call.weight_shape
    pairs = pairs_at_once(call.length, K_h, call.real(0).itemsize)
    strips = -(-C_out // (2 * pairs))
    vector = call.vector(C_in * call.taps)
    return _step(
        "rows_to_weight",
        call,
        (K_h, K_w, C_in, vector, call.width if modulated else 0, int(modulated)),
        call.batch * strips,
        pairs * K_h * threads_of(call.length),
        {"roots": "column_roots"} | ({} if modulated else {"out": "weight"}),
        strips=strips,
        **_factor_sizes(call),
    )


def _rows_to_spectra(call: Call) -> Step:
    C_out, C_in, K_h, K_w = call.weight_shape
    pairs = pairs_at_once(call.length, K_h, call.real(0).itemsize)
    strips = -(-C_out // (2 * pairs))
    return _step(
        "rows_to_spectra",
        call,
        (K_h, K_w, C_in),
        call.batch * strips,
        pairs * K_h * threads_of(call.length),
        {"roots": "column_roots"},
        outputs=C_out,
        strips=strips,
    )


def _modulate_backward(call: Call) -> Step:
    C_in = call.weight_shape[1]
    threads = channels_at_once(call.taps, call.real(0).itemsize)
    tiles = -(-C_in // threads)
    chunks = _chunks(call)
    return _step(
        "modulate_backward",
        call,
        (call.taps, call.width),
        call.batch * call.groups * chunks * tiles,
        threads,
        batch=call.batch,
        inputs=C_in,
        chunks=chunks,
        tiles=tiles,
        **_factor_sizes(call),
    )


def _combine(call: Call, terms: str, out: str, sizes: tuple[int, int, int, int]) -> Step:
    rows, number, row_stride, stride = sizes
    vector = call.vector(call.size)
    chunks = -(-rows // samples_at_once(call.real))
    return _step(
        "combine",
        call,
        (vector,),
        -(-call.size // (THREADS * vector)) * chunks,
        THREADS,
        {"terms": terms, "out": out},
        rows=rows,
        number=number,
        row_stride=row_stride,
        stride=stride,
        size=call.size,
        chunks=chunks,
    )


def _factor_sizes(call: Call) -> dict[str, int]:
    C_out, C_in, _, _ = call.weight_shape
    channels = call.groups * C_in
    return {
        "outputs": C_out,
        "per_group": C_out // call.groups,
        "channels": channels,
        "sequence_stride": channels + call.width // 2 * 2,
    }


def _factor_scratch(call: Call) -> dict[str, tuple[int, ...]]:
    C_out, C_in, _, _ = call.weight_shape
    tiles = -(-C_in // channels_at_once(call.taps, call.real(0).itemsize))
    parts = (_chunks(call), call.batch, call.groups * C_in)
    return {
        "weight": (call.batch, C_out, call.taps, C_in),
        "sums": (tiles, call.batch, C_out, call.taps, sums_of(call.width)),
        "channel_parts": parts,
        "sequence_parts": (*parts, call.width),
    }


def _chunks(call: Call) -> int:
    """Pieces that the output channels of a convolution group are cut into."""
    return -(-(call.weight_shape[0] // call.groups) // outputs_at_once(call.taps))


def _spectra(call: Call) -> tuple[int, ...]:
    return (call.batch, call.rows, call.half, 2)


def _slices(blocks: int, most: int) -> int:
    """Pieces of a long sum, so that enough blocks take part."""
    return max(1, min(most, BLOCKS_WANTED // max(blocks, 1)))


def _step(
    kernel: str,
    call: Call,
    constants: tuple[int, ...],
    blocks: int,
    threads: int,
    names: dict[str, str] | None = None,
    **sizes: int,
) -> Step:
    """A launch; `names` maps what the kernel calls its tensors to what the call calls them."""
    made = KERNELS[kernel]
    return Step(
        Variant(kernel, call.dtype, constants),
        blocks,
        threads,
        tuple((names or {}).get(name, name) for name in made.tensors),
        tuple(sizes[name] for name in made.sizes),
    )
