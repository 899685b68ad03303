"""JBU, the guided filter and the bilateral solver against their definitions, written as loops."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from classical_images import pixels, random_pair

import repro.classical.bilateral_solver as bilateral_solver_module
from repro.classical import upsample
from repro.classical.bilateral_solver import bilateral_grid, bilateral_solver
from repro.classical.guided_filter import guided_filter
from repro.classical.interpolation import bilinear
from repro.classical.joint_bilateral import joint_bilateral
from repro.classical.samples import sample_positions, sampling_matrix
from repro.ops.pac import pac

OFFSETS = [0.0, 1.0, 1.5, None]


@pytest.mark.parametrize("offset", OFFSETS)
def test_jbu_is_the_definition(offset):
    low, rgb = random_pair((4, 7), 4)
    out = joint_bilateral(low, rgb, 4, offset, sigma_spatial=0.7, sigma_colour=0.4)
    colours = sampling_matrix(low.shape, 4, offset) @ (rgb.reshape(-1, 3) / 255)
    rows, columns = (sample_positions(size, 4, offset) for size in low.shape)
    # Samples are `spacing` pixels apart: 4, or with corners a little more.
    spacing_y, spacing_x = rows[1] - rows[0], columns[1] - columns[0]
    for y, x in pixels(rgb.shape[:2]):
        total = weighted = 0.0
        for index, (i, j) in enumerate(pixels(low.shape)):
            dy, dx = (rows[i] - y) / spacing_y, (columns[j] - x) / spacing_x
            if max(abs(dy), abs(dx)) >= 2.5:
                continue
            difference = ((rgb[y, x] / 255 - colours[index]) ** 2).sum()
            weight = math.exp(-(dy**2 + dx**2) / (2 * 0.7**2) - difference / (2 * 0.4**2))
            total += weight
            weighted += weight * low[i, j]
        assert out[y, x] == pytest.approx(weighted / total, rel=1e-5)


@pytest.mark.parametrize(("factor", "offset"), [(2, 0), (4, 1), (4, 3)])
def test_jbu_is_pixel_adaptive_convolution(factor, offset):
    low, rgb = random_pair((5, 6), factor)
    sparse_depth, known = torch.zeros(2, 1, 1, *rgb.shape[:2], dtype=torch.float64)
    sparse_depth[..., offset::factor, offset::factor] = torch.from_numpy(low)
    known[..., offset::factor, offset::factor] = 1
    guidance = torch.from_numpy(rgb / 255).permute(2, 0, 1)[None] / 0.5
    reach = math.ceil(2.5 * factor) - 1  # the pixels less than 2.5 spacings away
    taps = torch.arange(-reach, reach + 1, dtype=torch.float64) / factor
    gaussian = torch.exp(-(taps[:, None] ** 2 + taps**2) / (2 * 0.6**2))[None, None]
    expected = pac(sparse_depth, guidance, gaussian) / pac(known, guidance, gaussian)
    out = joint_bilateral(low, rgb, factor, float(offset), sigma_spatial=0.6, sigma_colour=0.5)
    np.testing.assert_allclose(out, expected[0, 0].numpy(), rtol=1e-5)


def test_jbu_has_a_value_where_no_colour_is_like():
    low, rgb = random_pair((3, 3), 4)
    out = joint_bilateral(low, rgb, 4, 1.0, sigma_spatial=0.5, sigma_colour=1e-3)
    assert np.isfinite(out).all()
    assert out.min() >= low.min()
    assert out.max() <= low.max()


@pytest.mark.parametrize(
    ("radius", "epsilon", "contrast"),
    # The weaker ones are like a photograph: OpenCV loses their guidance in colours of [0, 1].
    [(2, 0.05, 1.0), (1, 1e-3, 0.2), (3, 1e-4, 0.05)],
)
def test_guided_filter_is_the_definition(radius, epsilon, contrast):
    low, rgb = random_pair((3, 4), 4)
    rgb = (contrast * rgb).astype(np.uint8)
    guide, depth = rgb / 255, bilinear(low, rgb, 4, 1.0).astype(float)

    def windows(image):
        margins = ((radius, radius), (radius, radius)) + ((0, 0),) * (image.ndim - 2)
        padded = np.pad(image, margins, mode="symmetric")
        side = 2 * radius + 1
        return {(y, x): padded[y : y + side, x : x + side] for y, x in pixels(image.shape[:2])}

    slopes, intercepts = np.zeros((12, 16, 3)), np.zeros((12, 16))
    for (y, x), colours in windows(guide).items():
        colours, depths = colours.reshape(-1, 3), windows(depth)[y, x].ravel()
        covariance = np.cov(colours.T, bias=True) + epsilon * np.eye(3)
        product = ((colours - colours.mean(0)) * (depths - depths.mean())[:, None]).mean(0)
        slopes[y, x] = np.linalg.solve(covariance, product)
        intercepts[y, x] = depths.mean() - slopes[y, x] @ colours.mean(0)
    slope_windows, intercept_windows = windows(slopes), windows(intercepts)
    out = guided_filter(low, rgb, 4, 1.0, radius=radius, epsilon=epsilon)
    for y, x in pixels(depth.shape):
        slope = slope_windows[y, x].mean((0, 1))
        expected = slope @ guide[y, x] + intercept_windows[y, x].mean()
        assert out[y, x] == pytest.approx(expected, rel=1e-4)


def test_missing_opencv_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    low, rgb = random_pair((3, 4), 4)
    with pytest.raises(ImportError, match="opencv-contrib-python-headless"):
        upsample("gf", low, rgb, 4, offset=1.0, radius=2, epsilon=0.1)


def cells_of(rgb, sigma_spatial, sigma_colour):
    """Each pixel's cell by its coordinates, and each cell's coordinates."""
    names = {}
    for y, x in pixels(rgb.shape[:2]):
        r, g, b = (float(value) / 255 for value in rgb[y, x])
        luma = 0.299 * r + 0.587 * g + 0.114 * b
        blue, red = 0.5 + (b - luma) / 1.772, 0.5 + (r - luma) / 1.402
        names[y, x] = (
            *(math.floor(value / sigma_spatial) for value in (y, x)),
            *(math.floor(value / sigma_colour) for value in (luma, blue, red)),
        )
    return names, sorted(set(names.values()))


@pytest.mark.parametrize("offset", OFFSETS)
def test_bilateral_solver_is_the_definition(offset, monkeypatch):
    monkeypatch.setattr(bilateral_solver_module, "TOLERANCE", 1e-9)
    low, rgb = random_pair((3, 2), 4)
    names, cells = cells_of(rgb, 3.0, 0.31)
    splat = np.array([[names[p] == cell for p in pixels(rgb.shape[:2])] for cell in cells], float)
    blur = np.zeros((len(cells), len(cells)))
    for i, a in enumerate(cells):
        for j, b in enumerate(cells):
            apart = sorted(abs(s - t) for s, t in zip(a, b, strict=True))
            blur[i, j] = 10 if i == j else float(apart == [0, 0, 0, 0, 1])
    count = splat.sum(1)
    scale = np.ones(len(cells))
    for _ in range(bilateral_solver_module.BALANCING_STEPS):
        scale = np.sqrt(scale * count / (blur @ scale))
    balanced = np.diag(scale) @ blur @ np.diag(scale)
    smooth = np.diag(balanced.sum(1)) - balanced
    sampling = sampling_matrix(low.shape, 4, offset)
    confidence = sampling.T @ np.ones(low.size) + 3.2 / 4**2
    target = sampling.T @ low.ravel() + 3.2 / 4**2 * bilinear(low, rgb, 4, offset).ravel()
    y = np.linalg.solve(0.7 * smooth + np.diag(splat @ confidence), splat @ target)
    out = bilateral_solver(
        low, rgb, 4, offset, sigma_spatial=3.0, sigma_colour=0.31, smoothness=0.7, confidence=3.2
    )
    assert len(cells) < rgb[..., 0].size  # some hold more than one pixel
    assert np.count_nonzero(blur) > len(cells)  # and some are neighbours
    np.testing.assert_allclose(out, (splat.T @ y).reshape(out.shape), rtol=1e-5)


def test_balancing_makes_rows_sum_to_the_pixel_counts():
    _, rgb = random_pair((8, 8), 4)
    grid = bilateral_grid(rgb // 4 + 96, 4.0, 0.1)
    scale, mass = grid.balance()
    count = grid.splat(np.ones(rgb[..., 0].size))
    assert mass.sum() == pytest.approx(count.sum(), rel=0.01)
    # Balanced: after 10 rounds each cell is within a tenth of its count.
    np.testing.assert_allclose(scale * (grid.blur @ scale), count, rtol=0.1)


def test_cells_that_cannot_be_numbered_are_refused():
    _, rgb = random_pair((3, 2), 4)
    with pytest.raises(ValueError, match="too small for 12x8 pixels"):
        bilateral_grid(rgb, 1e-3, 1e-6)
