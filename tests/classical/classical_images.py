"""Small images for the tests of the classical upsamplers, and parameters to run them with."""

from __future__ import annotations

import numpy as np

from repro.classical import METHODS

GUIDED = [name for name, method in METHODS.items() if method.grid]


def middle(method: str) -> dict[str, float]:
    """The point of the method's grid from which tuning starts."""
    return {name: values[len(values) // 2] for name, values in METHODS[method].grid.items()}


def random_pair(low_shape: tuple[int, int], factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth of 1 to 3 metres in low resolution and unrelated colours."""
    generator = np.random.default_rng(0)
    low = generator.uniform(1, 3, low_shape).astype(np.float32)
    shape = (factor * low_shape[0], factor * low_shape[1], 3)
    return low, generator.integers(0, 256, shape, dtype=np.uint8)


def pixels(shape: tuple[int, int]) -> list[tuple[int, int]]:
    return [(y, x) for y in range(shape[0]) for x in range(shape[1])]
