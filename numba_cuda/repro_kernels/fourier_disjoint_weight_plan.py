"""From the shapes of a call to the kernels that run it, each with its grid and its integers."""

from __future__ import annotations

from repro_kernels import blocks as block_sizes
from repro_kernels.fourier_disjoint_weight import KERNELS, Variant
from repro_kernels.fourier_disjoint_weight_basis import LEFT, RIGHT, THREADS
from repro_kernels.fourier_disjoint_weight_limits import (
    Call,
    bins_at_once,
    channels_at_once,
    columns_at_once,
    outputs_at_once,
    pairs_at_once,
    runs_at_once,
    samples_at_once,
    sums_of,
    threads_of,
)
from repro_kernels.fourier_disjoint_weight_mix import THREADS as MIX_THREADS
from repro_kernels.steps import Plan, Step


def plan_spectrum_forward(call: Call) -> Plan:
    """`fourier_disjoint_weight`: two launches."""
    steps = (_mix_columns(call), _rows_to_weight(call, modulated=True))
    return Plan(steps, {"spectra": _spectra(call)})


def plan_spectrum_backward(call: Call) -> Plan:
    """All gradients of `fourier_disjoint_weight`; plain weights are made again, not kept."""
    cells = call.rows * call.half
    pairs = call.batch * call.copies
    ranges = -(-call.kernel_num // bins_at_once(call.item_bytes))
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
    chunks = -(-call.batch // samples_at_once(call.item_bytes))
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
    columns = columns_at_once(call.rows, call.item_bytes)
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
    columns = columns_at_once(call.rows, call.item_bytes)
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
    pairs = pairs_at_once(call.length, K_h, call.item_bytes)
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
    pairs = pairs_at_once(call.length, K_h, call.item_bytes)
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
    threads = channels_at_once(call.taps, call.item_bytes)
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
    chunks = -(-rows // samples_at_once(call.item_bytes))
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
    tiles = -(-C_in // channels_at_once(call.taps, call.item_bytes))
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
    return max(1, min(most, block_sizes.WANTED // max(blocks, 1)))


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
