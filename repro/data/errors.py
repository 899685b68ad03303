"""The one error of this package."""

from __future__ import annotations


class DataError(ValueError):
    """Data is missing, damaged or not laid out as its format says; the message names the file."""
