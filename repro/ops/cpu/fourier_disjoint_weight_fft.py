"""An inverse DFT of our own on the CPU, in place, and how matrices of a size are transformed.

Every position holds a vector whose lanes are transformed independently: butterflies look at lanes
nowhere, so that they are the same for any number of them.

Widths are even, and lengths products of 2 and 3; see `plan`. Others take PyTorch's transform.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from repro.ops.cpu.fourier_disjoint_weight_vectors import (
    butterfly_2,
    butterfly_3,
    butterfly_4,
    butterfly_8,
)
from repro.ops.cpu.jit import kernel
from repro.ops.cpu.vector import lane_count, lanes

Array = np.ndarray[Any, np.dtype[Any]]


class Transform(NamedTuple):
    """An inverse DFT of one length, in place, of values in the order that its passes need.

    Attributes:
        radices: (passes,), what the length is a product of.
        twiddles: (2 * count,), for each pass, for each place in a block, for each value of a
            butterfly but the first, a complex number.
        order: (length,), where each value has to lie at the start.
    """

    radices: Array
    twiddles: Array
    order: Array


class Sizes(NamedTuple):
    """Of a call: a matrix has filters * taps_h rows, and inputs * taps_w values in a row."""

    filters: int
    inputs: int
    taps_h: int
    taps_w: int


class Plan(NamedTuple):
    """How a matrix of a size is transformed."""

    sizes: Sizes
    columns: Transform
    rows: Transform


@lru_cache(maxsize=256)
def plan(weight_shape: tuple[int, int, int, int], dtype: str) -> Plan | None:
    """The plan for matrices of filters (C_out, C_in, K_h, K_w), or None where there is none.

    Args:
        dtype: "float32" or "float64".
    """
    C_out, C_in, K_h, K_w = weight_shape
    rows, width = radices(C_out * K_h), radices(C_in * K_w)
    if rows is None or width is None or C_in * K_w % 2:
        return None
    sizes = Sizes(C_out, C_in, K_h, K_w)
    return Plan(sizes, _transform(rows, dtype), _transform(width, dtype))


def radices(length: int) -> list[int] | None:
    """What to make a transform of: few passes, of 8, 4, 2 and 3; None for other prime factors."""
    twos = (length & -length).bit_length() - 1
    threes = round(math.log(length >> twos, 3))
    if length != 2**twos * 3**threes:
        return None
    eights, rest = divmod(twos, 3)
    if rest == 1 and eights:  # 8 * 2 is slower than 4 * 4
        return [8] * (eights - 1) + [4, 4] + [3] * threes
    return [8] * eights + [2**rest] * (rest > 0) + [3] * threes


def pairs_of_vectors(plan: Plan) -> int:
    """Tasks of the kernels that transform rows, for a sample."""
    return -(-plan.sizes.filters // (2 * lane_count(plan.rows.twiddles.itemsize)))


def _transform(factors: list[int], dtype: str) -> Transform:
    span, order, twiddles = 1, np.zeros(1, np.int64), []
    for radix in factors:
        # Sub-transform j takes the values that leave j when divided by the radix.
        order = (order[:, None] + np.arange(radix) * span).ravel()
        angles = np.outer(np.arange(span), np.arange(1, radix)) * (2 * np.pi / (span * radix))
        twiddles.append(np.stack([np.cos(angles), np.sin(angles)], -1).ravel())
        span *= radix
    return Transform(np.array(factors), np.concatenate([*twiddles, []]).astype(dtype), order)


@kernel
def transform(re: Array, im: Array, plan: Transform) -> None:
    """The inverse DFT, not divided by the length, of vectors in the plan's order, in place."""
    step = lanes(re)
    first = 0
    for p in range(len(plan.radices)):
        radix = plan.radices[p]
        for block in range(0, len(plan.order) * lanes(re), step * radix):
            factor = first
            for place in range(block, block + step, lanes(re)):
                if radix == 8:
                    butterfly_8(re, im, place, step, plan.twiddles, factor)
                elif radix == 4:
                    butterfly_4(re, im, place, step, plan.twiddles, factor)
                elif radix == 3:
                    butterfly_3(re, im, place, step, plan.twiddles, factor)
                else:
                    butterfly_2(re, im, place, step, plan.twiddles, factor)
                factor += 2 * (radix - 1)
        first += 2 * (radix - 1) * (step // lanes(re))
        step *= radix
