"""KernelWarehouse against the definition: kernels tiled by mixtures of shared cells."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from repro.nn import KWConv2d, KWLinear, Warehouse


def kernel_of(layer: KWConv2d, attention: torch.Tensor) -> torch.Tensor:
    """The kernel for one sample from the (places, M) attention, place by place."""
    cells = layer.warehouse.cells
    _, c_out, c_in = cells.shape
    K, rows, columns = layer.kernel_size, layer.out_channels // c_out, layer.in_channels // c_in
    kernel = torch.zeros(layer.out_channels, layer.in_channels, K, K, dtype=cells.dtype)
    places = itertools.product(range(K), range(K), range(rows), range(columns))
    for place, (u, v, row, column) in enumerate(places):
        mixture = sum(a * cell for a, cell in zip(attention[place], cells, strict=True))
        block = (slice(row * c_out, (row + 1) * c_out), slice(column * c_in, (column + 1) * c_in))
        kernel[(*block, u, v)] = mixture
    return kernel


def pair(budget: int = 1, **options) -> tuple[KWConv2d, KWConv2d]:
    """A 3x3 and a 1x1 layer on one warehouse of 2 x 3 cells: 9*2*2 + 1*4 = 40 places."""
    torch.manual_seed(0)
    warehouse = Warehouse([(4, 6, 3), (6, 9, 1)], budget)
    first = KWConv2d(6, 4, 3, padding=1, warehouse=warehouse, bias=False, **options)
    start = budget * first.places
    second = KWConv2d(9, 6, 1, warehouse=warehouse, first_cell=start, bias=False, **options)
    return first.double().eval(), second.double().eval()


def test_cells_are_common_divisors_and_the_budget_multiplies_them():
    first, second = pair()
    assert first.warehouse is second.warehouse
    assert first.warehouse.cells.shape == (9 * 2 * 2 + 3 * 3, 2, 3)
    assert pair(budget=4)[0].warehouse.cells.shape[0] == 4 * (36 + 9)
    static = 4 * 6 * 9 + 6 * 9
    assert first.warehouse.cells.numel() == static


def test_kernel_is_the_attended_mixture_of_cells():
    layer, _ = pair(temperature=0.25)
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    M = layer.warehouse.cells.shape[0]
    for n in range(2):
        scores = layer.attention(x.mean((2, 3)))[n].reshape(layer.places, M + 1)
        attention = torch.zeros(layer.places, M, dtype=torch.float64)
        for place in range(layer.places):
            norm = scores[place].abs().sum() + 1e-3
            attention[place] = 0.75 * scores[place, :M] / norm
            attention[place, place] += 0.25
        expected = F.conv2d(x[n : n + 1], kernel_of(layer, attention), padding=1)
        torch.testing.assert_close(layer(x)[n : n + 1], expected)


@pytest.mark.parametrize("budget", [1, 2])
def test_at_temperature_one_every_place_is_a_cell_of_its_own(budget):
    first, second = pair(budget, temperature=1.0)
    M = first.warehouse.cells.shape[0]
    start = torch.zeros(first.places, M, dtype=torch.float64)
    start[range(first.places), [budget * place for place in range(first.places)]] = 1
    x = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(first(x), F.conv2d(x, kernel_of(first, start), padding=1))
    assert first.owned.tolist() == [budget * place for place in range(36)]
    assert second.owned.tolist() == [budget * (36 + place) for place in range(9)]


def test_shared_cells_are_one_parameter():
    first, second = pair()
    both = torch.nn.ModuleList([first, second])
    names = [name for name, _ in both.named_parameters()]
    assert [name for name in names if "cells" in name] == ["0.warehouse.cells"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KWConv2d(4, 6, 3, temperature=1.5), "temperature must be between 0 and 1"),
        (lambda: KWConv2d(4, 6, 3, temperature=-0.1), "temperature must be between 0 and 1"),
        (lambda: KWConv2d(4, 6, 3, budget=0), "budget must be at least 1, got 0"),
        (lambda: KWConv2d(4, 6, 3, first_cell=1), "first_cell must leave 9 of 9 cells, got 1"),
        (lambda: Warehouse([]), "number of kernels must be at least 1, got 0"),
        (
            lambda: KWConv2d(4, 6, 3, warehouse=Warehouse([(5, 4, 3)])),
            "cells of 5 x 4 do not tile a kernel of 6 x 4",
        ),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_linear_layer_is_a_1x1_convolution_over_tokens():
    torch.manual_seed(0)
    layer = KWLinear.from_linear(nn.Linear(12, 20), budget=2)
    x = torch.randn(2, 3, 5, 12)
    maps = layer.conv(x.permute(0, 3, 1, 2))
    torch.testing.assert_close(layer(x), maps.permute(0, 2, 3, 1))
    assert layer(x[:, 0, 0]).shape == (2, 20)
    assert KWLinear.from_linear(nn.Linear(12, 20, bias=False)).conv.bias is None
    with pytest.raises(ValueError, match=r"expected \(N, ..., in_features\), got \(12,\)"):
        layer(x[0, 0, 0])
