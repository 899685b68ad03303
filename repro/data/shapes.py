"""The shapes of the scenes: how far a point is from the outline of each.

A shape has its middle at 0 and fits a circle of radius 1. The distance is negative inside, and
exact, so that scaling it to pixels gives both the mask and the share of each pixel that is covered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def _disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - np.float32(1)


def _ring(x: Field, y: Field) -> Field:
    return np.abs(np.hypot(x, y) - np.float32(0.75)) - np.float32(0.25)


def _polygon(radii: tuple[float, ...]) -> Callable[[Field, Field], Field]:
    """Corners at equal angles around the centre, at these distances from it."""
    angles = 2 * np.pi * np.arange(len(radii)) / len(radii)
    corners = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array(radii)[:, None]
    starts = corners.astype(np.float32)
    ends = np.roll(starts, -1, axis=0)

    def distance(x: Field, y: Field) -> Field:
        nearest = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, dtype=np.float32)
        inside = np.zeros(nearest.shape, dtype=bool)
        for (x1, y1), (x2, y2) in zip(starts, ends, strict=True):
            dx, dy = x2 - x1, y2 - y1
            along = (((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)).clip(0, 1)
            nearest = np.minimum(nearest, np.hypot(x - x1 - along * dx, y - y1 - along * dy))
            # A ray to the right of the point crosses this edge; y2, not y1 + dy, which rounds to
            # another height than the next edge starts from.
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < x1 + (y - y1) * dx / np.where(crosses, dy, 1))
        return np.where(inside, -nearest, nearest)

    return distance


SHAPES: Mapping[str, Callable[[Field, Field], Field]] = {
    "disc": _disc,
    "ring": _ring,
    "triangle": _polygon((1.0,) * 3),
    "square": _polygon((1.0,) * 4),
    "star": _polygon((1.0, 0.4) * 5),
    "cross": _polygon((1.0, 1.0, 0.42) * 4),
}
"""Class names, and the signed distance from the outline of each shape of radius 1."""
