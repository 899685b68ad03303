"""MRF and Ham et al. against their energies written as loops and minimised by dense algebra."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from classical_images import pixels, random_pair
from scipy import sparse

import repro.classical.ham as ham_module
import repro.classical.mrf as mrf_module
import repro.classical.weighted_least_squares as weighted_least_squares
from repro.classical.ham import ham
from repro.classical.mrf import mrf
from repro.classical.samples import sampling_matrix
from repro.classical.weighted_least_squares import (
    conjugate_gradients,
    grid_laplacian,
    neighbour_distances,
)

OFFSETS = [0.0, 1.0, 1.5, None]


def edges(shape):
    """Every pair of 4-neighbours once."""
    inside = set(pixels(shape))
    return [(p, q) for p in inside for q in ((p[0] + 1, p[1]), (p[0], p[1] + 1)) if q in inside]


def colour_likeness(rgb, p, q, sigma):
    difference = (rgb[p].astype(float) - rgb[q].astype(float)) / 255
    return math.exp(-(difference**2).sum() / (2 * sigma**2))


def minimiser(shape, weights, sampling, low, data_weight):
    """Where data_weight |P u - low|^2 + sum of weights (u_p - u_q)^2 is least."""
    number = {p: index for index, p in enumerate(pixels(shape))}
    matrix = data_weight * (sampling.T @ sampling).toarray()
    for (p, q), weight in weights.items():
        i, j = number[p], number[q]
        matrix[[i, j], [i, j]] += weight
        matrix[[i, j], [j, i]] -= weight
    right = data_weight * (sampling.T @ low.ravel().astype(float))
    return np.linalg.solve(matrix, right).reshape(shape)


def mrf_weights(rgb, sigma):
    least = mrf_module.LEAST_WEIGHT
    return {
        (p, q): least + (1 - least) * colour_likeness(rgb, p, q, sigma)
        for p, q in edges(rgb.shape[:2])
    }


def ham_weights(rgb, u, sigma_colour, sigma_depth):
    least = ham_module.LEAST_WEIGHT
    return {
        (p, q): least
        + (1 - least)
        * colour_likeness(rgb, p, q, sigma_colour)
        * math.exp(-((u[p] - u[q]) ** 2) / (2 * sigma_depth**2))
        for p, q in edges(rgb.shape[:2])
    }


def ham_energy(rgb, u, low, sampling, data_weight, sigma_colour, sigma_depth):
    least = ham_module.LEAST_WEIGHT
    energy = data_weight * ((sampling @ u.ravel() - low.ravel()) ** 2).sum()
    for p, q in edges(rgb.shape[:2]):
        square = float((u[p] - u[q]) ** 2)
        welsch = 2 * sigma_depth**2 * (1 - math.exp(-square / (2 * sigma_depth**2)))
        likeness = colour_likeness(rgb, p, q, sigma_colour)
        energy += least * square + (1 - least) * likeness * welsch
    return energy


def test_laplacian_sums_the_weighted_squares():
    generator = np.random.default_rng(0)
    down, right, u = (generator.random(shape) for shape in [(3, 5), (4, 4), (4, 5)])
    expected = (down * (u[1:] - u[:-1]) ** 2).sum() + (right * (u[:, 1:] - u[:, :-1]) ** 2).sum()
    laplacian = grid_laplacian(down, right)
    assert u.ravel() @ (laplacian @ u.ravel()) == pytest.approx(expected)
    dense = laplacian.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    np.testing.assert_allclose(dense.sum(1), 0, atol=1e-14)


def test_distances_sum_the_channels():
    down, right = neighbour_distances(
        np.array([[[0.0, 1.0], [2.0, 4.0]], [[5.0, 1.0], [2.0, 3.0]]])
    )
    np.testing.assert_array_equal(down, [[25, 1]])
    np.testing.assert_array_equal(right, [[13], [13]])


@pytest.mark.parametrize("offset", OFFSETS)
def test_mrf_is_the_minimum_of_its_energy(offset, monkeypatch):
    monkeypatch.setattr(mrf_module, "TOLERANCE", 1e-9)
    low, rgb = random_pair((3, 2), 4)
    out = mrf(low, rgb, 4, offset, data_weight=3.0, sigma_colour=0.3)
    expected = minimiser(
        rgb.shape[:2], mrf_weights(rgb, 0.3), sampling_matrix((3, 2), 4, offset), low, 3.0
    )
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_mrf_stops_near_the_minimum_on_a_larger_image():
    low, rgb = random_pair((4, 5), 8)
    out = mrf(low, rgb, 8, 3.0, data_weight=100.0, sigma_colour=0.1)
    expected = minimiser(
        rgb.shape[:2], mrf_weights(rgb, 0.1), sampling_matrix((4, 5), 8, 3.0), low, 100.0
    )
    np.testing.assert_allclose(out, expected, rtol=1e-3)


@pytest.mark.parametrize("offset", OFFSETS)
def test_ham_takes_the_steps_of_majorise_minimise(offset, monkeypatch):
    monkeypatch.setattr(ham_module, "TOLERANCE", 1e-9)
    low, rgb = random_pair((3, 2), 4)
    out = ham(low, rgb, 4, offset, data_weight=3.0, sigma_colour=0.3, sigma_depth=0.1)
    unit_low = (low - low.min()) / (low.max() - low.min())
    sampling = sampling_matrix(low.shape, 4, offset)
    u = np.zeros(rgb.shape[:2])  # a constant, as in the authors' code: every dynamic weight is 1
    for _ in range(ham_module.STEPS):
        u = minimiser(u.shape, ham_weights(rgb, u, 0.3, 0.1), sampling, unit_low, 3.0)
    np.testing.assert_allclose(out, low.min() + (low.max() - low.min()) * u, rtol=1e-4)


def test_no_step_of_ham_raises_the_energy(monkeypatch):
    low, rgb = random_pair((3, 4), 4)
    low = (low - low.min()) / (low.max() - low.min())  # depth and its unit form are then the same
    sampling = sampling_matrix(low.shape, 4, 1.0)
    energies = []
    for steps in range(1, 7):
        monkeypatch.setattr(ham_module, "STEPS", steps)
        u = ham(low, rgb, 4, 1.0, data_weight=5.0, sigma_colour=0.5, sigma_depth=0.1)
        energies.append(ham_energy(rgb, u.astype(float), low, sampling, 5.0, 0.5, 0.1))
    assert energies[-1] < energies[0]
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(energies))


def test_wide_dynamic_weights_leave_the_mrf(monkeypatch):
    for module in (mrf_module, ham_module):
        monkeypatch.setattr(module, "TOLERANCE", 1e-9)
    low, rgb = random_pair((3, 4), 4)
    wide = ham(low, rgb, 4, 1.0, data_weight=3.0, sigma_colour=0.3, sigma_depth=1e4)
    static = mrf(low, rgb, 4, 1.0, data_weight=3.0, sigma_colour=0.3)
    np.testing.assert_allclose(wide, static, rtol=1e-5)


def test_conjugate_gradients_solve_and_refuse_to_stop_early(monkeypatch):
    generator = np.random.default_rng(0)
    root = generator.normal(size=(20, 20))
    matrix, right = sparse.csr_array(root @ root.T + 0.1 * np.eye(20)), generator.normal(size=20)
    u = conjugate_gradients(matrix, right, np.zeros(20), tolerance=1e-10)
    np.testing.assert_allclose(matrix @ u, right, atol=1e-7)
    monkeypatch.setattr(weighted_least_squares, "MAX_ITERATIONS", 3)
    with pytest.raises(ArithmeticError, match="after 3 iterations"):
        conjugate_gradients(matrix, right, np.zeros(20), tolerance=1e-10)
