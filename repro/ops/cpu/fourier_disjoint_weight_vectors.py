"""What the inverse FFT on the CPU does with vectors: butterflies, transposition, the local factor.

A vector holds one value of several columns, or rows, of a matrix, so that all of them are
transformed at once and no lane looks at another; transposition is what changes columns for rows.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from repro.ops.cpu.vector import (
    Codegen,
    VectorType,
    load_vector,
    spread_value,
    value_bytes_of,
    vector_pointer,
)

# Lets LLVM fuse a product and a sum into one instruction.
FUSE = ("contract",)

Complex = tuple[Any, Any]  # vectors of real and imaginary parts, while compiling


def _make_butterfly(radix: int) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def butterfly(
        typing_context: Any, re: Any, im: Any, place: Any, step: Any, twiddles: Any, first: Any
    ) -> tuple[Any, Codegen]:
        vector = VectorType(re.dtype)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            parts = signature.args[:2]
            factors = context.make_array(signature.args[4])(context, builder, args[4]).data
            places = [args[2]]
            for _ in range(1, radix):
                places.append(builder.add(places[-1], args[3]))
            values = []
            for j, place in enumerate(places):
                value = tuple(
                    load_vector(context, builder, part, array, place)
                    for part, array in zip(parts, args, strict=False)
                )
                if j > 0:
                    value = _times(builder, value, _twiddle(builder, factors, args[5], j, vector))
                values.append(value)
            for place, value in zip(places, _transform(builder, values), strict=True):
                for part, array, component in zip(parts, args, value, strict=False):
                    pointer = vector_pointer(context, builder, part, array, place, vector)
                    builder.store(component, pointer, align=value_bytes_of(vector))
            return context.get_dummy_value()

        return types.void(re, im, types.intp, types.intp, twiddles, types.intp), codegen

    return butterfly


# In place: r vectors, `step` apart from `place` on, each times its twiddle factor, become their
# inverse DFT. The factors of the second to the last lie at twiddles[first:], real and imaginary.
butterfly_2, butterfly_3, butterfly_4, butterfly_8 = map(_make_butterfly, (2, 3, 4, 8))


@intrinsic  # type: ignore[untyped-decorator]
def load_rows(
    typing_context: Any, array: Any, start: Any, step: Any, last: Any, count: Any
) -> tuple[Any, Codegen]:
    """As many vectors as each has lanes: the k-th from array[start + min(k, last) * step] on.

    Only the first `count` values of each are read, at most all; the others are 0.
    """
    vector = VectorType(array.dtype)
    result = types.UniTuple(vector, vector.lanes)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, start, step, last, count = args
        llvm_type = context.get_value_type(vector)
        lane = ir.Constant(ir.VectorType(ir.IntType(64), vector.lanes), list(range(vector.lanes)))
        mask = builder.icmp_signed("<", lane, spread_value(builder, count, vector.lanes))
        name = f"llvm.masked.load.v{vector.lanes}f{vector.dtype.bitwidth}.p0"
        alignment = ir.Constant(ir.IntType(32), value_bytes_of(vector))
        rows = []
        for k in range(vector.lanes):
            number = ir.Constant(last.type, k)
            row = builder.select(builder.icmp_signed("<", last, number), last, number)
            place = builder.add(start, builder.mul(row, step))
            pointer = vector_pointer(context, builder, signature.args[0], values, place, vector)
            function_type = ir.FunctionType(
                llvm_type, [pointer.type, alignment.type, mask.type, llvm_type]
            )
            function = cgutils.get_or_insert_function(builder.module, function_type, name)
            rows.append(builder.call(function, (pointer, alignment, mask, llvm_type(None))))
        return context.make_tuple(builder, result, rows)

    return result(array, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def gather(
    typing_context: Any, array: Any, start: Any, places: Any, first: Any
) -> tuple[Any, Codegen]:
    """The values array[start + p], for each p of places[first:] that a vector has a lane for."""
    vector = VectorType(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data, indices = (
            context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2)
        )
        base = builder.gep(data, [args[1]])
        integers = ir.VectorType(ir.IntType(32), vector.lanes)
        pointer = builder.bitcast(builder.gep(indices, [args[3]]), integers.as_pointer())
        numbers = builder.load(pointer, align=4)
        values = context.get_value_type(vector)(ir.Undefined)
        for k in range(vector.lanes):
            lane = ir.Constant(ir.IntType(32), k)
            number = builder.zext(builder.extract_element(numbers, lane), ir.IntType(64))
            value = builder.load(builder.gep(base, [number]), align=value_bytes_of(vector))
            values = builder.insert_element(values, value, lane)
        return values

    return vector(array, types.intp, places, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_rows(
    typing_context: Any, array: Any, start: Any, step: Any, rows: Any
) -> tuple[Any, Codegen]:
    """Write the k-th vector of a tuple to array[start + k * step:]."""
    vector = rows.dtype

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = args[1]
        for k in range(vector.lanes):
            pointer = vector_pointer(context, builder, signature.args[0], args[0], place, vector)
            value = builder.extract_value(args[3], k)
            builder.store(value, pointer, align=value_bytes_of(vector))
            place = builder.add(place, args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, rows), codegen


@intrinsic  # type: ignore[untyped-decorator]
def transpose(typing_context: Any, rows: Any) -> tuple[Any, Codegen]:
    """A square of vectors, rows for columns: ever smaller blocks change places."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = rows.dtype.lanes
        values = [builder.extract_value(args[0], k) for k in range(lanes)]
        size = lanes // 2
        while size:
            # Lane k of a pair's first row: its own, or that of the second row, a block before.
            upper = [k if k // size % 2 == 0 else lanes + k - size for k in range(lanes)]
            lower = [k + size if k // size % 2 == 0 else lanes + k for k in range(lanes)]
            for k in range(lanes):
                if k // size % 2 == 0:
                    pair = values[k], values[k + size]
                    values[k] = builder.shuffle_vector(*pair, _places(upper))
                    values[k + size] = builder.shuffle_vector(*pair, _places(lower))
            size //= 2
        return context.make_tuple(builder, rows, values)

    return rows(rows), codegen


@intrinsic  # type: ignore[untyped-decorator]
def fused(typing_context: Any, a: Any, b: Any, c: Any) -> tuple[Any, Codegen]:
    """a * b + c, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fma(builder, *args)

    return a(a, a, a), codegen


@intrinsic  # type: ignore[untyped-decorator]
def subtract(typing_context: Any, a: Any, b: Any) -> tuple[Any, Codegen]:
    """a - b."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(*args)

    return a(a, a), codegen


@intrinsic  # type: ignore[untyped-decorator]
def divide(typing_context: Any, a: Any, b: Any) -> tuple[Any, Codegen]:
    """a / b."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fdiv(*args)

    return a(a, a), codegen


@intrinsic  # type: ignore[untyped-decorator]
def exponential_of(typing_context: Any, values: Any) -> tuple[Any, Codegen]:
    """exp of a vector's values, within 2 units in the last place; NaN for NaN."""
    is_single = values.dtype.bitwidth == 32
    low, high = (-87, 88) if is_single else (-708, 709)
    significand, bias, degree = (23, 127, 7) if is_single else (52, 1023, 13)
    # ln(2) in two parts, the first short enough for its products with n to be exact.
    ln_2 = (0.693359375, math.log(2) - 0.693359375)
    # Taylor's coefficients, highest first: the rest is below rounding on |r| <= ln(2) / 2.
    coefficients = [1 / math.factorial(k) for k in range(degree, -1, -1)]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (x,) = args

        def constant(value: float) -> Any:
            return ir.Constant(x.type, [value] * x.type.count)

        # NaN goes through unchanged: it is neither below nor above.
        x = builder.select(builder.fcmp_ordered("<", x, constant(low)), constant(low), x)
        x = builder.select(builder.fcmp_ordered(">", x, constant(high)), constant(high), x)
        # Adding so much rounds to a whole number, which is then in the lowest bits.
        shift = constant(1.5 * 2**significand)
        shifted = _fma(builder, x, constant(1 / math.log(2)), shift)
        n = builder.fsub(shifted, shift)
        r = _fma(builder, n, constant(-ln_2[0]), x)
        r = _fma(builder, n, constant(-ln_2[1]), r)
        p = constant(coefficients[0])
        for coefficient in coefficients[1:]:
            p = _fma(builder, p, r, constant(coefficient))
        integers = ir.VectorType(ir.IntType(values.dtype.bitwidth), values.lanes)
        bits = builder.bitcast(shifted, integers)
        exponent = builder.add(bits, ir.Constant(integers, [bias] * values.lanes))
        moved = builder.shl(exponent, ir.Constant(integers, [significand] * values.lanes))
        return builder.fmul(p, builder.bitcast(moved, x.type))

    return values(values), codegen


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    suffix = f"v{a.type.count}f{32 if isinstance(a.type.element, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(a.type, [a.type] * 3), f"llvm.fma.{suffix}"
    )
    return builder.call(function, (a, b, c))


def _twiddle(builder: Any, factors: Any, first: Any, j: int, vector: Any) -> Complex:
    parts = []
    for k in (2 * j - 2, 2 * j - 1):
        place = builder.gep(factors, [builder.add(first, ir.Constant(first.type, k))])
        value = builder.load(place, align=value_bytes_of(vector))
        parts.append(spread_value(builder, value, vector.lanes))
    return parts[0], parts[1]


def _transform(builder: Any, values: list[Complex]) -> list[Complex]:
    """The inverse DFT (exponents are positive) of 2, 3, 4 or 8 values."""
    if len(values) == 3:
        return _transform_3(builder, values)
    if len(values) == 2:
        a, b = values
        return [_plus(builder, a, b), _minus(builder, a, b)]
    even, odd = _transform(builder, values[::2]), _transform(builder, values[1::2])
    turned = [_turn(builder, value, k, len(values)) for k, value in enumerate(odd)]
    pairs = list(zip(even, turned, strict=True))
    return [_plus(builder, a, b) for a, b in pairs] + [_minus(builder, a, b) for a, b in pairs]


def _transform_3(builder: Any, values: list[Complex]) -> list[Complex]:
    a, b, c = values
    total, difference = _plus(builder, b, c), _minus(builder, b, c)
    middle = _plus(builder, a, _scaled(builder, total, -0.5))
    side = _scaled(builder, difference, math.sqrt(3) / 2)
    turned = (_negative(builder, side[1]), side[0])
    return [
        _plus(builder, a, total),
        _plus(builder, middle, turned),
        _minus(builder, middle, turned),
    ]


def _turn(builder: Any, value: Complex, k: int, size: int) -> Complex:
    """value * exp(2 pi i k / size), of a size of 4 or 8."""
    re, im = value
    eighths = 8 * k // size
    if eighths == 0:
        return value
    if eighths == 2:
        return _negative(builder, im), re
    both = (builder.fsub(re, im, flags=FUSE), builder.fadd(re, im, flags=FUSE))
    if eighths == 3:
        both = (_negative(builder, both[1]), both[0])
    return _scaled(builder, both, math.sqrt(0.5))


def _times(builder: Any, a: Complex, b: Complex) -> Complex:
    re = builder.fsub(
        builder.fmul(a[0], b[0], flags=FUSE), builder.fmul(a[1], b[1], flags=FUSE), flags=FUSE
    )
    im = builder.fadd(
        builder.fmul(a[0], b[1], flags=FUSE), builder.fmul(a[1], b[0], flags=FUSE), flags=FUSE
    )
    return re, im


def _plus(builder: Any, a: Complex, b: Complex) -> Complex:
    return builder.fadd(a[0], b[0], flags=FUSE), builder.fadd(a[1], b[1], flags=FUSE)


def _minus(builder: Any, a: Complex, b: Complex) -> Complex:
    return builder.fsub(a[0], b[0], flags=FUSE), builder.fsub(a[1], b[1], flags=FUSE)


def _scaled(builder: Any, a: Complex, factor: float) -> Complex:
    constant = ir.Constant(a[0].type, [factor] * a[0].type.count)
    return builder.fmul(a[0], constant, flags=FUSE), builder.fmul(a[1], constant, flags=FUSE)


def _negative(builder: Any, a: Any) -> Any:
    return builder.fneg(a)


def _places(values: list[int]) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(values)), values)
