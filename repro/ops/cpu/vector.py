"""Vectors of values in Numba kernels: one type, and what is loaded, stored and computed with it.

LLVM vectorises a plain loop over arrays only if it can show, by tests at run time, that what is
written overlaps nothing that is read. With nine taps of two channels those tests weigh heavily on a
small map, and a loop with many more taps is not vectorised at all. Vectors that are loaded and
stored by name need no such tests. LLVM splits them where the machine's registers are smaller, so
kernels are written for one width only.

Nothing here checks bounds. Arrays are flat and contiguous; an index counts values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

VECTOR_BYTES = 64  # 16 float32 or 8 float64: a cache line

Codegen = Callable[[Any, Any, Any, Any], Any]


def lane_count(value_bytes: int) -> int:
    """Values in a vector, outside of kernels."""
    return VECTOR_BYTES // value_bytes


class VectorType(types.Type):
    """Numba's type of a vector of float32 or float64."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.lanes = lane_count(dtype.bitwidth // 8)
        super().__init__(name=f"Vector({dtype} x {self.lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, data_models: Any, vector: Any) -> None:
        value = data_models.lookup(vector.dtype).get_value_type()
        super().__init__(data_models, vector, ir.VectorType(value, vector.lanes))


@intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, array: Any, index: Any) -> tuple[Any, Codegen]:
    """The values array[index:], as many as a vector has."""
    vector = VectorType(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return load_vector(context, builder, signature.args[0], args[0], args[1])

    return vector(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def load_inside(typing_context: Any, array: Any, index: Any) -> tuple[Any, Codegen]:
    """As `load`, but 0 for values that lie before or after the array, which are not touched."""
    vector = VectorType(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        llvm_type = context.get_value_type(vector)
        pointer = vector_pointer(context, builder, signature.args[0], args[0], args[1], vector)
        size = context.make_array(signature.args[0])(context, builder, args[0]).nitems
        position = builder.add(_lanes(vector), spread_value(builder, args[1], vector.lanes))
        # Unsigned, so that a position before the array is beyond its end too.
        inside = builder.icmp_unsigned("<", position, spread_value(builder, size, vector.lanes))
        return _call_masked(
            builder,
            "load",
            llvm_type,
            (pointer, ir.Constant(ir.IntType(32), value_bytes_of(vector)), inside, llvm_type(None)),
        )

    return vector(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def load_evens(typing_context: Any, array: Any, index: Any) -> tuple[Any, Codegen]:
    """array[index], array[index + 2], ...: every other of the values of two vectors."""
    vector = VectorType(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = [
            load_vector(
                context,
                builder,
                signature.args[0],
                args[0],
                builder.add(args[1], ir.Constant(args[1].type, distance)),
            )
            for distance in (0, vector.lanes)
        ]
        return builder.shuffle_vector(*halves, _integers(range(0, 2 * vector.lanes, 2)))

    return vector(array, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, array: Any, index: Any, values: Any) -> tuple[Any, Codegen]:
    """Write all values of a vector to array[index:]."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = vector_pointer(context, builder, signature.args[0], args[0], args[1], values)
        builder.store(args[2], pointer, align=value_bytes_of(values))
        return context.get_dummy_value()

    return types.void(array, types.intp, values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_past_caches(
    typing_context: Any, array: Any, index: Any, values: Any
) -> tuple[Any, Codegen]:
    """As `store`, straight to memory; the address must be a multiple of a vector's size.

    An ordinary store reads the cache line first: half as much traffic again as a copy has. Other
    threads see what was written after the writer's next atomic operation (`take_task`).
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = vector_pointer(context, builder, signature.args[0], args[0], args[1], values)
        written = builder.store(args[2], pointer, align=VECTOR_BYTES)
        once = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        written.set_metadata("nontemporal", once)
        return context.get_dummy_value()

    return types.void(array, types.intp, values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_first(
    typing_context: Any, array: Any, index: Any, values: Any, count: Any
) -> tuple[Any, Codegen]:
    """Write the first `count` values of a vector to array[index:], at least none, at most all."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = vector_pointer(context, builder, signature.args[0], args[0], args[1], values)
        first = builder.icmp_signed(
            "<", _lanes(values), spread_value(builder, args[3], values.lanes)
        )
        alignment = ir.Constant(ir.IntType(32), value_bytes_of(values))
        _call_masked(builder, "store", ir.VoidType(), (args[2], pointer, alignment, first))
        return context.get_dummy_value()

    return types.void(array, types.intp, values, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def keep_first(typing_context: Any, values: Any, count: Any) -> tuple[Any, Codegen]:
    """The first `count` values of a vector, 0 in the lanes behind them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.icmp_signed(
            "<", _lanes(values), spread_value(builder, args[1], values.lanes)
        )
        return builder.select(first, args[0], context.get_value_type(values)(None))

    return values(values, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def spread(typing_context: Any, value: Any) -> tuple[Any, Codegen]:
    """A vector that holds a float in every lane."""
    vector = VectorType(value)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return spread_value(builder, args[0], vector.lanes)

    return vector(value), codegen


@intrinsic  # type: ignore[untyped-decorator]
def sum_lanes(typing_context: Any, values: Any) -> tuple[Any, Codegen]:
    """The sum over a vector's lanes: halves are added until one value is left."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return sum_of_lanes(builder, args[0], values.lanes)

    return values.dtype(values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def at_least(typing_context: Any, values: Any, floor: Any) -> tuple[Any, Codegen]:
    """`values`, but `floor` where they are below it; NaN is not."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *args), args[1], args[0])

    return values(values, values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def zero_where_below(
    typing_context: Any, values: Any, others: Any, floor: Any
) -> tuple[Any, Codegen]:
    """`values`, but 0 where `others` are below `floor`; NaN is not."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        is_below = builder.fcmp_ordered("<", args[1], args[2])
        return builder.select(is_below, context.get_value_type(values)(None), args[0])

    return values(values, values, values), codegen


@intrinsic  # type: ignore[untyped-decorator]
def sqrt(typing_context: Any, values: Any) -> tuple[Any, Codegen]:
    """Square roots."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        llvm_type = args[0].type
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(llvm_type, [llvm_type]),
            f"llvm.sqrt.v{values.lanes}f{values.dtype.bitwidth}",
        )
        return builder.call(function, args)

    return values(values), codegen


def lanes(array: Any) -> int:
    """Values in a vector of the array's dtype, a constant of the kernel; only in kernels."""
    raise NotImplementedError("compiled by Numba only")


@overload(lanes)  # type: ignore[untyped-decorator]
def _lanes_of(array: Any) -> Any:
    count = VectorType(array.dtype).lanes

    def constant(array: Any) -> Any:
        return count

    return constant


def _overload_operator(symbol: Callable[[Any, Any], Any], instruction: str) -> None:
    @intrinsic  # type: ignore[untyped-decorator]
    def compute(typing_context: Any, a: Any, b: Any) -> tuple[Any, Codegen]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args)

        return a(a, b), codegen

    @overload(symbol)  # type: ignore[untyped-decorator]
    def overloaded(a: Any, b: Any) -> Any:
        def call(a: Any, b: Any) -> Any:
            return compute(a, b)

        return call if isinstance(a, VectorType) and a == b else None


_overload_operator(operator.add, "fadd")
_overload_operator(operator.iadd, "fadd")
_overload_operator(operator.sub, "fsub")
_overload_operator(operator.mul, "fmul")
_overload_operator(operator.truediv, "fdiv")


def load_vector(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """What `load` compiles to."""
    vector = VectorType(array_type.dtype)
    pointer = vector_pointer(context, builder, array_type, array, index, vector)
    return builder.load(pointer, align=value_bytes_of(vector))


def sum_of_lanes(builder: Any, values: Any, count: int) -> Any:
    """What `sum_lanes` compiles to."""
    while count > 1:
        count //= 2
        halves = (
            builder.shuffle_vector(values, values, _integers(range(first, first + count)))
            for first in (0, count)
        )
        values = builder.fadd(*halves)
    return builder.extract_element(values, ir.Constant(ir.IntType(32), 0))


def value_bytes_of(vector: Any) -> int:
    return int(vector.dtype.bitwidth // 8)


def vector_pointer(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any
) -> Any:
    """The address of array[index], as that of a vector."""
    data = context.make_array(array_type)(context, builder, array).data
    llvm_type = context.get_value_type(vector)
    return builder.bitcast(builder.gep(data, [index]), llvm_type.as_pointer())


def _integers(values: Any, bits: int = 32) -> Any:
    values = list(values)
    return ir.Constant(ir.VectorType(ir.IntType(bits), len(values)), values)


def _lanes(vector: Any) -> Any:
    """The vector 0, 1, 2, ..."""
    return _integers(range(vector.lanes), 64)


def spread_value(builder: Any, value: Any, count: int) -> Any:
    """What `spread` compiles to."""
    undefined = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, _integers([0] * count))


def _call_masked(builder: Any, name: str, result: Any, args: tuple[Any, ...]) -> Any:
    """Call LLVM's masked load or store."""
    vector = next(arg.type for arg in args if isinstance(arg.type, ir.VectorType))
    vector = result if isinstance(result, ir.VectorType) else vector
    suffix = f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}.p0"
    function_type = ir.FunctionType(result, [arg.type for arg in args])
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.masked.{name}.{suffix}"
    )
    return builder.call(function, args)
