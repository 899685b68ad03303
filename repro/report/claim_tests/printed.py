"""Printed figures that must be numbers."""

from __future__ import annotations

from repro.papers import value


def number(address: str) -> float:
    """The printed figure at an address, which must be a number.

    Raises:
        ValueError: it is a formula, a mark or an empty cell.
    """
    printed = value(address)
    if isinstance(printed, bool) or not isinstance(printed, int | float):
        raise ValueError(f"{address} must be a number, got {printed!r}")
    return float(printed)
