"""Access to memory that the kernels of Fourier disjoint weights need beside `repro_kernels.access`:
stores of complex numbers, and of as many neighbours as a thread makes.
"""

from __future__ import annotations

from numba import cuda
from numba.cuda.core import config

from repro_kernels import access

if config.ENABLE_CUDASIM:  # which runs no intrinsics

    def make_store_pair(dtype):
        """store(pointer, index, real, imaginary): two adjacent values."""
        return access.make_store(dtype, 2)

else:
    from llvmlite import ir
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    def make_store_pair(dtype):
        """store(pointer, index, real, imaginary): two adjacent values, the first one aligned."""
        value = types.float64 if dtype == "float64" else types.float32
        element, align = (ir.DoubleType(), 16) if dtype == "float64" else (ir.FloatType(), 8)
        vector = ir.VectorType(element, 2)

        @intrinsic
        def store(typing_context, pointer, index, x, y):
            def generate(context, builder, signature, arguments):
                place = builder.gep(arguments[0], [arguments[1]])
                place = builder.bitcast(place, vector.as_pointer(place.type.addrspace))
                pair = ir.Constant(vector, ir.Undefined)
                for i in range(2):
                    number = ir.Constant(ir.IntType(32), i)
                    pair = builder.insert_element(pair, arguments[2 + i], number)
                builder.store(pair, place, align=align)
                return context.get_dummy_value()

            return types.void(pointer, types.int64, value, value), generate

        return store


def make_load_run(storage, count, constant=True):
    """load(pointer, index, values): `count` neighbours, 1 or 4, into a local array."""
    load = access.make_load(storage.name, count, constant)

    @cuda.jit(device=True, inline="always")
    def load_one(pointer, index, values):
        values[0] = load(pointer, index)

    @cuda.jit(device=True, inline="always")
    def load_four(pointer, index, values):
        values[0], values[1], values[2], values[3] = load(pointer, index)

    return load_one if count == 1 else load_four


def make_store_run(storage, count):
    """store(pointer, index, values): the opposite of `make_load_run`."""
    store = access.make_store(storage.name, count)

    @cuda.jit(device=True, inline="always")
    def store_one(pointer, index, values):
        store(pointer, index, values[0])

    @cuda.jit(device=True, inline="always")
    def store_four(pointer, index, values):
        store(pointer, index, values[0], values[1], values[2], values[3])

    return store_one if count == 1 else store_four
