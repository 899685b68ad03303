"""Reads and writes in compiled kernels, written in LLVM and PTX where Numba has no way to say it.

Four adjacent reads in Numba stay four instructions; only an LLVM vector load of known alignment
becomes one of 128 bits (64 for half precision), and `@intrinsic` is the one way to write it.
"Constant" loads promise that nothing in this kernel writes there: they may be moved ahead of stores
and go through the read-only cache. Numba has no `__restrict__` to say so.

bfloat16 travels as the 16 bits of an int16, converted here: Numba's own bfloat16 needs a C++
compiler at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic

Access = Callable[..., Any]

INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
FLOAT, DOUBLE, HALF = ir.FloatType(), ir.DoubleType(), ir.HalfType()
IN_MEMORY = {"float32": FLOAT, "float64": DOUBLE, "float16": INT16, "bfloat16": INT16}
BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}


def _address(context: Any, builder: Any, kind: Any, pointer: Any, index: Any, of: Any) -> Any:
    """Of the value at `index`, as a pointer to the LLVM type `of`; arrays give their data."""
    if isinstance(kind, types.Array):
        pointer = cgutils.create_struct_proxy(kind)(context, builder, value=pointer).data
    place = builder.gep(pointer, [index])
    return builder.bitcast(place, of.as_pointer(pointer.type.addrspace))


@intrinsic
def advance(typing_context, pointer, count):
    """The pointer, `count` values further on.

    The sum is hidden from LLVM, which would otherwise add both offsets to the pointer at every
    access, in 64 bits: four instructions instead of one.
    """

    def generate(context, builder, signature, arguments):
        address = _global_address(builder, *arguments)
        moved = ir.InlineAsm(ir.FunctionType(INT64, [INT64]), "mov.b64 $0, $1;", "=l,l")
        address = builder.call(moved, [address])
        kind = arguments[0].type
        place = builder.inttoptr(address, kind.pointee.as_pointer(1))
        return builder.addrspacecast(place, kind)

    return pointer(pointer, types.int64), generate


def _bits(number: int) -> Any:
    return ir.Constant(INT32, number)


def _widen(builder: Any, dtype: str, value: Any) -> Any:
    """What is summed, from what lies in memory."""
    if dtype == "float16":
        return builder.fpext(builder.bitcast(value, HALF), FLOAT)
    if dtype == "bfloat16":  # the upper half of a float32
        return builder.bitcast(builder.shl(builder.zext(value, INT32), _bits(16)), FLOAT)
    return value


def _narrow(builder: Any, dtype: str, values: list[Any]) -> list[Any]:
    """What lies in memory, from what was summed; rounded to the nearest, ties to even."""
    if dtype == "float16":
        return [builder.bitcast(builder.fptrunc(value, HALF), INT16) for value in values]
    if dtype != "bfloat16":
        return values
    # One instruction rounds two values; NVVM of this version has no bfloat of its own.
    pair = ir.InlineAsm(
        ir.FunctionType(INT32, [FLOAT, FLOAT]), "cvt.rn.bf16x2.f32 $0, $1, $2;", "=r,f,f"
    )
    narrow = []
    for first in range(0, len(values), 2):
        low = values[first]
        high = values[first + 1] if first + 1 < len(values) else low
        both = builder.call(pair, [high, low])
        narrow.append(builder.trunc(both, INT16))
        narrow.append(builder.trunc(builder.lshr(both, _bits(16)), INT16))
    return narrow[: len(values)]


def _halves(builder: Any, dtype: str, register: Any) -> list[Any]:
    """The two values of 16 bits in a register, widened."""
    halves = [register, builder.lshr(register, _bits(16))]
    return [_widen(builder, dtype, builder.trunc(half, INT16)) for half in halves]


def make_load(dtype: str, count: int, constant: bool = True) -> Access:
    """load(pointer, index): a value, or a tuple of `count` adjacent ones."""
    summed = types.float64 if dtype == "float64" else types.float32
    returned = summed if count == 1 else types.UniTuple(summed, count)

    @intrinsic
    def load(typing_context, pointer, index):
        def generate(context, builder, signature, arguments):
            kind = signature.args[0]
            in_pairs = count == 4 and BYTES[dtype] == 2
            memory = INT32 if in_pairs else IN_MEMORY[dtype]
            registers = 2 if in_pairs else count
            memory = memory if count == 1 else ir.VectorType(memory, registers)
            address = _address(context, builder, kind, *arguments, memory)
            loaded = builder.load(address, align=BYTES[dtype] * count)
            if constant:
                loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
            if count == 1:
                return _widen(builder, dtype, loaded)
            values = [builder.extract_element(loaded, _bits(i)) for i in range(registers)]
            if in_pairs:
                values = [v for pair in values for v in _halves(builder, dtype, pair)]
            return cgutils.pack_array(builder, values)

        return returned(pointer, types.int64), generate

    return load


# LLVM makes a branch of a load under a condition, and moves of what it returns: 40 of the 180
# instructions in the inner loop of DDF's forward kernel. In PTX it is one predicated
# instruction. Of a load of one value, and of four: type and constraint of its registers.
ONE = {
    "float32": ("f32", "f", FLOAT),
    "float64": ("f64", "d", DOUBLE),
    "float16": ("b16", "h", INT16),
    "bfloat16": ("b16", "h", INT16),
}
FOUR = {
    "float32": ("f32", "f", FLOAT, 4),
    "float16": ("b32", "r", INT32, 2),
    "bfloat16": ("b32", "r", INT32, 2),
}
PREDICATED = "{{ .reg .pred p; setp.ne.b32 p, ${condition}, 0; {first}@p ld.global.nc{load}; }}"


def _global_address(builder: Any, pointer: Any, index: Any) -> Any:
    place = builder.gep(pointer, [index])
    place = builder.addrspacecast(place, place.type.pointee.as_pointer(1))
    return builder.ptrtoint(place, INT64)


def make_load_or(dtype: str) -> Access:
    """load_or(pointer, index, condition, otherwise): a value, or `otherwise`."""
    summed = types.float64 if dtype == "float64" else types.float32
    kind, constraint, register = ONE[dtype]
    assembly = ir.InlineAsm(
        ir.FunctionType(register, [INT64, INT32, register]),
        PREDICATED.format(condition=2, first="", load=f".{kind} $0, [$1]"),
        f"={constraint},l,r,0",
    )

    @intrinsic
    def load_or(typing_context, pointer, index, condition, otherwise):
        def generate(context, builder, signature, arguments):
            pointer, index, condition, otherwise = arguments
            address = _global_address(builder, pointer, index)
            condition = builder.zext(condition, INT32)
            if register is not INT16:
                return builder.call(assembly, [address, condition, otherwise])
            loaded = builder.call(assembly, [address, condition, INT16(0)])
            return builder.select(arguments[2], _widen(builder, dtype, loaded), otherwise)

        return summed(pointer, types.int64, types.boolean, summed), generate

    return load_or


def make_load4_if(dtype: str) -> Access:
    """load4_if(pointer, index, condition): four adjacent values, or zeros."""
    kind, constraint, register, count = FOUR[dtype]
    zero = "0f00000000" if kind == "f32" else "0"
    zeros = "".join(f"mov.{kind} ${i}, {zero}; " for i in range(count))
    names = ", ".join(f"${i}" for i in range(count))
    assembly = ir.InlineAsm(
        ir.FunctionType(ir.LiteralStructType([register] * count), [INT64, INT32]),
        PREDICATED.format(
            condition=count + 1, first=zeros, load=f".v{count}.{kind} {{{names}}}, [${count}]"
        ),
        ",".join([f"=&{constraint}"] * count) + ",l,r",
    )

    @intrinsic
    def load4_if(typing_context, pointer, index, condition):
        def generate(context, builder, signature, arguments):
            pointer, index, condition = arguments
            address = _global_address(builder, pointer, index)
            loaded = builder.call(assembly, [address, builder.zext(condition, INT32)])
            values = []
            for i in range(count):
                value = builder.extract_value(loaded, i)
                values += [value] if kind == "f32" else _halves(builder, dtype, value)
            return cgutils.pack_array(builder, values)

        return types.UniTuple(types.float32, 4)(pointer, types.int64, types.boolean), generate

    return load4_if


def _store(dtype: str, values: int, builder: Any, address: Any, given: list[Any]) -> None:
    narrow = _narrow(builder, dtype, given)
    if values == 1:
        builder.store(narrow[0], address, align=BYTES[dtype])
        return
    vector = ir.Constant(ir.VectorType(IN_MEMORY[dtype], values), ir.Undefined)
    for i, value in enumerate(narrow):
        vector = builder.insert_element(vector, value, _bits(i))
    builder.store(vector, address, align=BYTES[dtype] * values)


def make_store(dtype: str, count: int) -> Access:
    """store(pointer, index, value, ...) of `count` values to adjacent places."""
    summed = types.float64 if dtype == "float64" else types.float32

    def generate(context, builder, signature, arguments):
        memory = IN_MEMORY[dtype]
        memory = memory if count == 1 else ir.VectorType(memory, count)
        address = _address(context, builder, signature.args[0], *arguments[:2], memory)
        _store(dtype, count, builder, address, list(arguments[2:]))
        return context.get_dummy_value()

    if count == 1:

        @intrinsic
        def store(typing_context, pointer, index, value):
            return types.void(pointer, types.int64, summed), generate

    else:

        @intrinsic
        def store(typing_context, pointer, index, v0, v1, v2, v3):
            return types.void(pointer, types.int64, *(summed,) * 4), generate

    return store
