"""The kernels of DDF by name and form: what makes each, which tensors and sizes it takes.

Forms of the same sums (`choice` says which runs when):

- vector: four adjacent outputs per thread, 128-bit loads, stride 1 and whole vectors only;
- row: a few outputs of one column per thread, any width, any dilation;
- general: one output per thread, 64-bit indices; right for every size, stride, dilation and K;
- up: DDF-Up, all outputs of one pixel per thread.

Forward, vector and row standardise the spatial filters as they load them, where `norm_scale` is not
0; for the others, `standardise` does it first, and `standardise_backward` ends the gradients.

No form uses atomics: two runs agree to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from repro_kernels import (
    blocks,
    ddf_general,
    ddf_parts,
    ddf_row,
    ddf_row_backward,
    ddf_up,
    ddf_up_backward,
    ddf_vector,
    ddf_vector_backward,
    filter_norm,
)
from repro_kernels.storage import STORAGES


class Kernel(NamedTuple):
    """How a kernel is made and called.

    Attributes:
        make: from kernel_size, add, storage and `constants` to a function for `numba.cuda`.
        tensors: names of its pointers, in order; "parts" holds what is summed in, the others the
            dtype of the call.
        sizes: names of its integers, in order.
        wide: whether the integers have 64 bits, not 32.
        constants: what else is compiled in, of the fields of `Variant`.
        blocks_at_once: by K, how many blocks the registers of one multiprocessor must hold; the
            compiler then takes fewer of them, for a few more instructions.
    """

    make: Callable[..., Any]
    tensors: tuple[str, ...]
    sizes: tuple[str, ...]
    wide: bool = False
    constants: tuple[str, ...] = ()
    blocks_at_once: Mapping[int, int] = MappingProxyType({})


class Variant(NamedTuple):
    """One kernel, compiled for one set of constants: a `steps.Variant`."""

    kernel: str  # with form, a key of KERNELS
    form: str
    kernel_size: int
    kernel_combine: str  # "mul" or "add"
    dtype: str  # a key of STORAGES
    stride: int = 1  # where the kernel does not take them when it runs
    dilation: int = 1
    scale_factor: int = 1
    norm_scale: float = 0.0  # of spatial filters that it standardises first; 0 for none

    @property
    def pointers(self) -> tuple[type, ...]:
        storage = STORAGES[self.dtype]
        return tuple(
            storage.accumulator if name == "parts" else storage.memory
            for name in self._made.tensors
        )

    @property
    def integers(self) -> tuple[type, ...]:
        return (np.int64 if self._made.wide else np.int32,) * len(self._made.sizes)

    @property
    def launch_bounds(self) -> tuple[int, int] | None:
        at_once = self._made.blocks_at_once.get(self.kernel_size)
        return at_once and (blocks.THREADS, at_once)

    def function(self) -> Callable[..., None]:
        constants = {name: getattr(self, name) for name in self._made.constants}
        add = self.kernel_combine == "add"
        return self._made.make(self.kernel_size, add, STORAGES[self.dtype], **constants)

    @property
    def _made(self) -> Kernel:
        return KERNELS[self.kernel, self.form]


def _kernel(
    make: Callable[..., Any],
    tensors: str,
    sizes: str,
    constants: str = "",
    *,
    wide: bool = False,
    blocks_at_once: Mapping[int, int] = MappingProxyType({}),
) -> Kernel:
    names = (tuple(text.split()) for text in (tensors, sizes, constants))
    tensor_names, size_names, constant_names = names
    return Kernel(make, tensor_names, size_names, wide, constant_names, blocks_at_once)


FORWARD = "x channel_filter spatial_filter out"
BACKWARD_X = "grad_out channel_filter spatial_filter grad_x"
BACKWARD_CHANNEL = "grad_out x spatial_filter grad_channel"
BACKWARD_SPATIAL = "grad_out x channel_filter grad_spatial"
ALL_SIZES = "batch channels height width height_out width_out stride dilation"
VECTOR = "channels height width chunk chunks blocks"
UP = "scale_factor dilation"
ROW = "channels height width chunk chunks groups jobs"

# 80 and 168 registers; left alone, the compiler takes 98 and 186 (sm_90).
FORWARD_AT_ONCE = {1: 6, 3: 6, 5: 3}

KERNELS = {
    ("forward", "general"): _kernel(ddf_general.forward, FORWARD, ALL_SIZES, wide=True),
    ("backward_x", "general"): _kernel(ddf_general.backward_x, BACKWARD_X, ALL_SIZES, wide=True),
    ("backward_channel", "general"): _kernel(
        ddf_general.backward_channel, BACKWARD_CHANNEL, ALL_SIZES, wide=True
    ),
    ("backward_spatial", "general"): _kernel(
        ddf_general.backward_spatial, BACKWARD_SPATIAL, ALL_SIZES, wide=True
    ),
    ("forward", "row"): _kernel(ddf_row.forward, FORWARD, ROW, "stride dilation norm_scale"),
    ("backward_x", "row"): _kernel(ddf_row.backward_x, BACKWARD_X, ROW, "stride dilation"),
    ("backward_channel", "row"): _kernel(
        ddf_row_backward.backward_channel,
        "grad_out x spatial_filter parts",
        "batch channels height width chunk chunks groups blocks",
        "dilation",
    ),
    ("backward_spatial", "row"): _kernel(
        ddf_row_backward.backward_spatial,
        BACKWARD_SPATIAL,
        "channels height width groups jobs",
        "dilation",
    ),
    ("forward", "vector"): _kernel(
        ddf_vector.forward, FORWARD, VECTOR, "norm_scale", blocks_at_once=FORWARD_AT_ONCE
    ),
    ("backward_x_channel", "vector"): _kernel(
        ddf_vector_backward.backward_x_channel,
        "grad_out x channel_filter spatial_filter grad_x parts",
        "batch channels height width chunk chunks blocks",
    ),
    ("backward_spatial", "vector"): _kernel(
        ddf_vector_backward.backward_spatial, BACKWARD_SPATIAL, "channels height width blocks"
    ),
    # Adds up what either form of backward_channel leaves.
    ("backward_channel_sum", "row"): _kernel(
        ddf_parts.backward_channel_sum,
        "parts grad_out x spatial_filter grad_channel",
        "batch channels height width dilation blocks",
        "scale_factor",
    ),
    ("forward", "up"): _kernel(
        ddf_up.forward, FORWARD, "channels height width chunk chunks jobs", UP
    ),
    ("backward_x", "up"): _kernel(
        ddf_up_backward.backward_x, BACKWARD_X, "channels height width chunk chunks jobs", UP
    ),
    ("backward_channel", "up"): _kernel(
        ddf_up_backward.backward_channel,
        "grad_out x spatial_filter parts",
        "batch channels height width chunk chunks blocks",
        UP,
    ),
    ("backward_spatial", "up"): _kernel(
        ddf_up_backward.backward_spatial, BACKWARD_SPATIAL, "channels height width jobs", UP
    ),
    ("standardise", "general"): _kernel(
        filter_norm.standardise,
        "spatial_filter standardised",
        "pixels jobs",
        "norm_scale",
        wide=True,
    ),
    ("standardise_backward", "general"): _kernel(
        filter_norm.standardise_backward,
        "spatial_filter grad_standardised grad_spatial",
        "pixels jobs",
        "norm_scale",
        wide=True,
    ),
}
