"""The full dynamic filter against nested loops, and Table 1's counts of it."""

from __future__ import annotations

import itertools

import pytest
import torch

from repro.nn import DyFilter


def test_every_pixel_has_a_filter_of_its_own():
    layer = DyFilter(2).double()
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    filters = layer.filters(x).view(2, 2, 3, 3, 3, 4)  # out, in, u, v, h, w
    expected = torch.zeros(1, 2, 3, 4, dtype=torch.float64)
    taps = itertools.product(range(2), range(2), range(3), range(3), range(3), range(4))
    for o, c, u, v, h, w in taps:
        hi, wi = h + u - 1, w + v - 1
        if 0 <= hi < 3 and 0 <= wi < 4:
            expected[0, o, h, w] += filters[o, c, u, v, h, w] * x[0, c, hi, wi]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("C", "K"), [(2, 3), (3, 5)])
def test_counts_of_table_1(C, K):
    layer = DyFilter(C, K)
    assert sum(p.numel() for p in layer.parameters()) == C**3 * K**2
    assert layer.filters(torch.randn(2, C, 4, 5)).numel() == 2 * (4 * 5) * C**2 * K**2


def test_gradients():
    layer = DyFilter(2, bias=True).double()
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd and at least 1, got 2"):
        DyFilter(2, 2)
    with pytest.raises(ValueError, match=r"expected \(N, 2, H, W\), got \(1, 3, 4, 4\)"):
        DyFilter(2)(torch.zeros(1, 3, 4, 4))
