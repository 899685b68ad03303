"""Draw small arrays as what they are: numbers in a grid, or filters side by side."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from torch import Tensor


def mosaic(tiles: Tensor, gap: int | None = None) -> Tensor:
    """Tiles beside and below each other, apart by NaN, which images leave blank.

    Args:
        tiles: (rows, columns, H, W).
        gap: pixels between tiles; None for a tenth of a tile, at least one.
    Returns:
        (rows * (H + gap) - gap, columns * (W + gap) - gap)
    """
    rows, columns, height, width = tiles.shape
    gap = max(1, height // 10) if gap is None else gap
    canvas = tiles.new_full((rows, columns, height + gap, width + gap), torch.nan)
    canvas[:, :, :height, :width] = tiles
    flat = canvas.permute(0, 2, 1, 3).reshape(rows * (height + gap), columns * (width + gap))
    return flat[: flat.shape[0] - gap, : flat.shape[1] - gap]


def draw_numbers(axes: Axes, grid: Tensor, title: str) -> None:
    """A small matrix with its numbers in its cells, shaded by their size and sign."""
    limit = max(1.0, grid.abs().max().item())
    axes.imshow(grid, cmap="RdBu_r", vmin=-2 * limit, vmax=2 * limit)
    for row, values in enumerate(grid.tolist()):
        for column, number in enumerate(values):
            axes.text(column, row, f"{number or 0:g}", ha="center", va="center")
    axes.set_title(title, fontsize=9, loc="center")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
