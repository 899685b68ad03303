"""Samples lie where their offset says, and the sampling matrix takes an image to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.classical.interpolation import bilinear
from repro.classical.samples import low_coordinates, sample_positions, sampling_matrix
from repro.data.low_resolution import downsample, sample_offset


@pytest.mark.parametrize("offset", [0.0, 1.0, 1.5, 3.0, None])
def test_positions_and_coordinates_are_inverse(offset):
    positions = sample_positions(5, 4, offset)
    at_samples = np.interp(positions, np.arange(20), low_coordinates(5, 4, offset))
    np.testing.assert_allclose(at_samples, np.arange(5), atol=1e-12)


def test_corners_are_the_first_and_the_last_pixel():
    np.testing.assert_allclose(sample_positions(3, 4, None), [0, 5.5, 11])
    np.testing.assert_allclose(low_coordinates(3, 4, None)[[0, -1]], [0, 2])


def test_one_sample_with_corners_lies_on_the_first_pixel():
    assert sample_positions(1, 4, None).tolist() == [0]
    assert low_coordinates(1, 4, None).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("sampling", ["centre", "last"])
def test_matrix_is_the_sampling_of_the_data(sampling):
    image = torch.rand(1, 1, 12, 20, dtype=torch.float64)
    matrix = sampling_matrix((3, 5), 4, sample_offset(sampling, 4))
    sampled = (matrix @ image.numpy().ravel()).reshape(3, 5)
    np.testing.assert_array_equal(sampled, downsample(image, 4, sampling)[0, 0].numpy())


def test_a_sample_between_pixels_is_the_mean_of_four():
    image = np.random.default_rng(0).random((4, 8))
    sampled = (sampling_matrix((1, 2), 4, 1.5) @ image.ravel()).reshape(1, 2)
    expected = [image[1:3, 1:3].mean(), image[1:3, 5:7].mean()]
    np.testing.assert_allclose(sampled[0], expected)


@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0])
def test_interpolation_keeps_the_samples(offset):
    low = np.random.default_rng(0).random((3, 5), np.float32)
    high = bilinear(low, np.zeros((12, 20, 3), np.uint8), 4, offset)
    sampled = sampling_matrix(low.shape, 4, offset) @ high.ravel()
    np.testing.assert_allclose(sampled, low.ravel(), rtol=1e-6)
