"""What an operator hands to the compiler and to the launcher, whichever operator it is.

`compile` and `launch` know of a kernel what `Variant` says; the operators' own modules hold the
rest. This imports no Numba.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np


class Variant(Protocol):
    """One kernel, compiled for one set of constants.

    It is hashable, and its `repr` tells it from every other variant of its class: both name
    compiled kernels in caches.
    """

    @property
    def kernel(self) -> str:
        """The name that messages give it."""

    @property
    def pointers(self) -> tuple[type, ...]:
        """NumPy's names of what its pointers point to; they are its first arguments."""

    @property
    def integers(self) -> tuple[type, ...]:
        """Of its integers, which follow: np.int32 or np.int64."""

    @property
    def launch_bounds(self) -> tuple[int, int] | None:
        """Threads of a block, and how many blocks a multiprocessor's registers must hold."""

    def function(self) -> Callable[..., None]:
        """The Python function, as Numba and the simulator take it."""


class Step(NamedTuple):
    """One launch."""

    variant: Variant
    blocks: int
    threads: int
    tensors: tuple[str, ...]  # what the call names them, in the order of the kernel's pointers
    sizes: tuple[int, ...]  # in the order of the kernel's integers

    def integers(self) -> tuple[np.integer[Any], ...]:
        """`sizes` in the types that the kernel takes."""
        types = self.variant.integers
        return tuple(type(size) for type, size in zip(types, self.sizes, strict=True))


class Plan(NamedTuple):
    """The launches of a call, in order, and the shapes of the scratch that they share."""

    steps: tuple[Step, ...]
    scratch: Mapping[str, tuple[int, ...]]
