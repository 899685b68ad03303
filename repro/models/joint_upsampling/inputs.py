"""What every joint upsampling network is given, and how far it upsamples."""

from __future__ import annotations

from torch import Tensor


def stage_count(factor: int) -> int:
    """How many modules of factor 2 make up `factor`.

    Raises:
        ValueError: `factor` is not a power of two of at least 2.
    """
    if (
        isinstance(factor, bool)
        or not isinstance(factor, int)
        or factor < 2
        or factor & (factor - 1)
    ):
        raise ValueError(f"factor must be a power of two of at least 2, got {factor!r}")
    return factor.bit_length() - 1


def check_inputs(low: Tensor, rgb: Tensor, factor: int) -> None:
    """Refuse a depth and a guidance that do not belong together.

    Args:
        low: (N, 1, h, w).
        rgb: (N, 3, factor * h, factor * w).
    Raises:
        ValueError: another shape; the message names what was expected and what came.
    """
    if low.dim() != 4 or low.shape[1] != 1:
        raise ValueError(f"low must be (N, 1, h, w), got {tuple(low.shape)}")
    N, _, h, w = low.shape
    expected = (N, 3, factor * h, factor * w)
    if tuple(rgb.shape) != expected:
        raise ValueError(
            f"rgb must be {expected} for low {tuple(low.shape)} and factor {factor}, "
            f"got {tuple(rgb.shape)}"
        )
