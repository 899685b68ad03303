"""What the DDF kernels on the CPU do with a group of taps at once: tuples of vectors, unrolled.

Numba makes a switch of a tuple's index, and LLVM does not unroll a loop around nine cases. Here a
loop over taps is a loop in Python, while compiling: weights and sums stay in registers.

A tuple of offsets, one for each tap, says how many taps a group has.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from repro.ops.cpu.vector import (
    Codegen,
    VectorType,
    load_vector,
    spread_value,
    sum_of_lanes,
    value_bytes_of,
    vector_pointer,
)


@intrinsic  # type: ignore[untyped-decorator]
def take(typing_context: Any, array: Any, index: Any, like: Any) -> tuple[Any, Codegen]:
    """array[index], array[index + 1], ... as a tuple, as many as the tuple `like` has."""
    result = types.UniTuple(array.dtype, len(like))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        values = [
            builder.load(builder.gep(data, [_shifted(builder, args[1], t)]))
            for t in range(len(like))
        ]
        return context.make_tuple(builder, result, values)

    return result(array, types.intp, like), codegen


@intrinsic  # type: ignore[untyped-decorator]
def repeat(typing_context: Any, values: Any, offsets: Any) -> tuple[Any, Codegen]:
    """The same vector for each tap."""
    result = types.UniTuple(values, len(offsets))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, result, [args[0]] * len(offsets))

    return result(values, offsets), codegen


@intrinsic  # type: ignore[untyped-decorator]
def spread_each(typing_context: Any, array: Any, index: Any, offsets: Any) -> tuple[Any, Codegen]:
    """For each tap t, a vector that holds array[index + t] in every lane."""
    vector = VectorType(array.dtype)
    result = types.UniTuple(vector, len(offsets))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vectors = []
        for t in range(len(offsets)):
            place = builder.gep(data, [_shifted(builder, args[1], t)])
            value = builder.load(place, align=value_bytes_of(vector))
            vectors.append(spread_value(builder, value, vector.lanes))
        return context.make_tuple(builder, result, vectors)

    return result(array, types.intp, offsets), codegen


@intrinsic  # type: ignore[untyped-decorator]
def load_each(typing_context: Any, packed: Any, index: Any, offsets: Any) -> tuple[Any, Codegen]:
    """For each tap its vector, one behind another from packed[index] on."""
    result = types.UniTuple(VectorType(packed.dtype), len(offsets))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = [
            load_vector(context, builder, signature.args[0], args[0], place)
            for place in _places(builder, args[1], result)
        ]
        return context.make_tuple(builder, result, vectors)

    return result(packed, types.intp, offsets), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_each(typing_context: Any, packed: Any, index: Any, values: Any) -> tuple[Any, Codegen]:
    """Write the vectors of all taps to where `load_each` reads them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for t, place in enumerate(_places(builder, args[1], values)):
            pointer = vector_pointer(
                context, builder, signature.args[0], args[0], place, values.dtype
            )
            value = builder.extract_value(args[2], t)
            builder.store(value, pointer, align=value_bytes_of(values.dtype))
        return context.get_dummy_value()

    return types.void(packed, types.intp, values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_sums(typing_context: Any, totals: Any, index: Any, values: Any) -> tuple[Any, Codegen]:
    """Add to totals[index + t], for each tap, the sum over the lanes of its vector."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        for t in range(len(values)):
            place = builder.gep(data, [_shifted(builder, args[1], t)])
            total = sum_of_lanes(builder, builder.extract_value(args[2], t), values.dtype.lanes)
            builder.store(builder.fadd(builder.load(place), total), place)
        return context.get_dummy_value()

    return types.void(totals, types.intp, values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def products(
    typing_context: Any, factors: Any, source: Any, index: Any, offsets: Any
) -> tuple[Any, Codegen]:
    """For each tap, factors[t] * source[index + offsets[t]:]; one factor, or a tuple of them."""
    result = types.UniTuple(VectorType(source.dtype), len(offsets))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = []
        for t in range(len(offsets)):
            place = builder.add(args[2], builder.extract_value(args[3], t))
            values = load_vector(context, builder, signature.args[1], args[1], place)
            vectors.append(builder.fmul(_factor(builder, factors, args[0], t), values))
        return context.make_tuple(builder, result, vectors)

    return result(factors, source, types.intp, offsets), codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_products(typing_context: Any, sums: Any, a: Any, b: Any) -> tuple[Any, Codegen]:
    """For each tap, sums[t] + a[t] * b[t]; b may be one vector for all."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = []
        for t in range(len(sums)):
            product = builder.fmul(
                builder.extract_value(args[1], t), _factor(builder, b, args[2], t)
            )
            vectors.append(builder.fadd(builder.extract_value(args[0], t), product))
        return context.make_tuple(builder, sums, vectors)

    return sums(sums, a, b), codegen


@intrinsic  # type: ignore[untyped-decorator]
def gather(
    typing_context: Any,
    packed: Any,
    packed_index: Any,
    source: Any,
    index: Any,
    offsets: Any,
    weights: Any,
    sums: Any,
    factor: Any,
) -> tuple[Any, Codegen]:
    """The taps' products, summed by weight, and each added to its own sum.

    With p[t] = packed[packed_index + t * lanes:] * source[index + offsets[t]:]: the sum over t of
    p[t] * weights[t], and the tuple of sums[t] + p[t] * factor. One tap after the other, so that no
    product need be kept: with all of them the registers do not suffice.
    """
    vector = VectorType(packed.dtype)
    result = types.Tuple((vector, sums))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total = None
        vectors = []
        for t, place in enumerate(_places(builder, args[1], sums)):
            spatial = load_vector(context, builder, signature.args[0], args[0], place)
            place = builder.add(args[3], builder.extract_value(args[4], t))
            values = load_vector(context, builder, signature.args[2], args[2], place)
            product = builder.fmul(spatial, values)
            weighted = builder.fmul(product, builder.extract_value(args[5], t))
            total = weighted if total is None else builder.fadd(total, weighted)
            scaled = builder.fmul(product, args[7])
            vectors.append(builder.fadd(builder.extract_value(args[6], t), scaled))
        return context.make_tuple(
            builder, result, [total, context.make_tuple(builder, sums, vectors)]
        )

    signature = result(packed, types.intp, source, types.intp, offsets, weights, sums, factor)
    return signature, codegen


@intrinsic  # type: ignore[untyped-decorator]
def sum_taps(typing_context: Any, values: Any, weights: Any) -> tuple[Any, Codegen]:
    """The sum over the taps of values[t] * weights[t]; weights may be one vector for all."""
    vector = values.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        total = None
        for t in range(len(values)):
            product = builder.fmul(
                builder.extract_value(args[0], t), _factor(builder, weights, args[1], t)
            )
            total = product if total is None else builder.fadd(total, product)
        return total

    return vector(values, weights), codegen


def _factor(builder: Any, factors_type: Any, factors: Any, tap: int) -> Any:
    if isinstance(factors_type, types.BaseTuple):
        return builder.extract_value(factors, tap)
    return factors


def _places(builder: Any, index: Any, vectors: Any) -> list[Any]:
    """Where the vectors of a tuple lie in a packed block, from `index` on."""
    return [_shifted(builder, index, t * vectors.dtype.lanes) for t in range(len(vectors))]


def _shifted(builder: Any, index: Any, distance: int) -> Any:
    return builder.add(index, ir.Constant(index.type, distance))
