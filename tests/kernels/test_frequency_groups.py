"""Grouping frequencies: near-equal, ordered, and the authors' groups where theirs are defined."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.ops.frequency_groups import frequency_groups, frequency_order


def distances(rows: int, columns: int) -> torch.Tensor:
    """Euclidean norms of the half plane's frequencies, float64."""
    u = torch.fft.fftfreq(rows, dtype=torch.float64)
    v = torch.fft.rfftfreq(columns, dtype=torch.float64)
    return (u[:, None] ** 2 + v**2).sqrt()


@pytest.mark.parametrize(
    ("rows", "columns", "kernel_num"), [(12, 8, 4), (9, 7, 5), (6, 6, 24), (5, 1, 3), (1, 1, 1)]
)
def test_groups_differ_by_at_most_one_cell_and_ascend(rows, columns, kernel_num):
    groups = frequency_groups(rows, columns, kernel_num)
    assert groups.dtype == torch.int32
    assert groups.shape == (rows, columns // 2 + 1)
    sizes = torch.bincount(groups.flatten(), minlength=kernel_num)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 1
    distance = distances(rows, columns)
    for g in range(kernel_num - 1):
        assert distance[groups == g].max() <= distance[groups == g + 1].min() + 1e-12


@pytest.mark.parametrize(
    ("rows", "columns", "kernel_num"),
    [(192, 192, 64), (64, 256, 64), (768, 768, 64), (384, 192, 16), (96, 96, 4)],
)
def test_equal_to_a_plain_sort_of_float32_norms_where_that_is_defined(rows, columns, kernel_num):
    # What the authors do: float32 norms, an unstable sort, equal chunks. Where a border of two
    # chunks falls between cells that float32 cannot tell apart, their grouping is not defined.
    u, v = torch.fft.fftfreq(rows), torch.fft.rfftfreq(columns)
    norm = torch.stack(torch.meshgrid(u, v, indexing="ij"), -1).norm(dim=-1).flatten()
    order = norm.sort().indices
    size = len(order) // kernel_num
    assert size * kernel_num == len(order)
    theirs = torch.empty(len(order), dtype=torch.int64)
    theirs[order] = torch.arange(kernel_num).repeat_interleave(size)
    exact = distances(rows, columns).flatten()
    borders = exact.sort().values[size::size]
    nearest = (exact[:, None] - borders).abs().min(1).values
    defined = nearest > 1e-6 * exact
    assert defined.float().mean() > 0.9
    ours = frequency_groups(rows, columns, kernel_num).flatten()
    assert torch.equal(ours[defined].long(), theirs[defined])


def test_ties_go_by_position():
    order = frequency_order(4, 4).tolist()
    # Cells (row, column) at distance 1/4 from zero: (0, 1), (1, 0), (3, 0).
    assert order[:4] == [0, 1, 3, 9]


def test_only_the_lowest_frequencies_are_shared_out():
    groups = frequency_groups(8, 8, 2, kept=10)
    lowest = frequency_order(8, 8)[:10]
    assert groups.flatten()[lowest.copy()].tolist() == [0] * 5 + [1] * 5
    assert np.count_nonzero(groups.numpy()) == 5


@pytest.mark.parametrize("kernel_num", [0, 26])
def test_more_groups_than_frequencies_are_refused(kernel_num):
    with pytest.raises(ValueError, match=f"the 25 frequencies of a 5 x 8 matrix, got {kernel_num}"):
        frequency_groups(5, 8, kernel_num)
