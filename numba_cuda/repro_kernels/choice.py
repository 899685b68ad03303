"""Which form of a kernel runs a call. The rule, in the order in which forms are tried:

| form    | takes                                                                                |
|---------|--------------------------------------------------------------------------------------|
| vector  | stride 1, dilation 1, K of 1, 3, 5, W a multiple of 4, tensors aligned to 4 values,   |
|         | not float64, an image small enough for 32-bit indices                                |
| row     | stride 1 (forward also 2, without dilation), K up to 7 (float64: 5), dilation up to  |
|         | H, images as above                                                                   |
| general | everything                                                                           |
"""

from __future__ import annotations

from typing import NamedTuple

FORMS = ("vector", "row", "general")
LARGEST_FAST = 7  # kernel size
LARGEST_INDEX = 2**31 - 2**10  # of int32, less what the last block counts beyond the end
UP_TAPS = 36  # of one pixel, over all branches: more do not stay in registers in every kernel
SMALLEST_CHUNK = 4  # channels that a thread runs through, at least


class Call(NamedTuple):
    """What is known of a call of `ddf` without looking at a value."""

    shape: tuple[int, int, int, int]  # of x
    kernel_size: int
    kernel_combine: str
    dtype: str
    stride: int
    dilation: int
    aligned: bool  # every tensor starts at a multiple of four values
    scale_factor: int = 1  # of DDF-Up
    norm_scale: float = 0.0  # of spatial filters that are to be standardised; 0 for none

    @property
    def size_out(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        _, _, height, width = self.shape
        return -(-height // self.stride), -(-width // self.stride)


def why_not_up(call: Call) -> str | None:
    """Why the fused kernels of DDF-Up cannot take a call; None if they can."""
    batch, channels, height, width = call.shape
    taps = (call.scale_factor * call.kernel_size) ** 2
    if taps > UP_TAPS:
        return f"a pixel has {taps} taps, above {UP_TAPS}"
    image = max(channels * call.scale_factor**2, taps) * height * width
    if max(image, batch * channels * taps, batch * channels * height * width) >= LARGEST_INDEX:
        return f"x of shape {call.shape} needs 64-bit indices"
    if call.dilation > height:
        return f"dilation is {call.dilation}, above the height, {height}"
    return None


def choose(kernel: str, call: Call, form: str | None = None) -> str:
    """The first form that takes the call; or `form`, if it does.

    Args:
        kernel: "forward", "backward_x", "backward_channel" or "backward_spatial".
    Raises:
        ValueError: `form` is unknown, or cannot take the call; the message says why.
    """
    if form is None:
        return next(name for name in FORMS if why_not(name, kernel, call) is None)
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    reason = why_not(form, kernel, call)
    if reason is not None:
        raise ValueError(f'form="{form}" of {kernel} cannot take this call: {reason}')
    return form


def why_not(form: str, kernel: str, call: Call) -> str | None:
    """Why a form cannot take a call; None if it can."""
    if form == "general":
        return None
    batch, channels, height, width = call.shape
    taps = call.kernel_size**2
    if call.kernel_size > LARGEST_FAST:
        return f"kernel_size is {call.kernel_size}, above {LARGEST_FAST}"
    image = max(channels, taps) * height * width
    if max(image, batch * channels * taps) >= LARGEST_INDEX:
        return f"x of shape {call.shape} needs 64-bit indices"
    if form == "row":
        if call.dtype == "float64" and call.kernel_size > 5:
            return f"dtype is float64 and kernel_size is {call.kernel_size}, above 5"
        if call.stride > (2 if kernel == "forward" else 1):
            return f"stride is {call.stride}"
        if call.stride > 1 and call.dilation > 1:
            return f"stride is {call.stride} and dilation is {call.dilation}"
        if call.dilation > height:
            return f"dilation is {call.dilation}, above the height, {height}"
        if batch * -(-channels // SMALLEST_CHUNK) * height * width >= LARGEST_INDEX:
            return f"x of shape {call.shape} needs too many threads"
        return None
    if call.stride > 1 or call.dilation > 1:
        return f"stride is {call.stride} and dilation is {call.dilation}"
    if call.kernel_size > 5:
        return f"kernel_size is {call.kernel_size}, above 5"
    if call.dtype == "float64":
        return "dtype is float64"
    if width % 4:
        return f"width is {width}, not a multiple of 4"
    if not call.aligned:
        return "a tensor is not aligned to four values"
    return None
