"""Small RGB-D data with a hole, for tests of joint depth upsampling."""

from __future__ import annotations

import numpy as np

from repro.data.rgbd import RGBDData, RGBDPair

SIDE = 32


def pair(name: str, seed: int, hole: bool = False) -> RGBDPair:
    """A slanted plane behind a nearer square, photographed in two colours."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    depth = (2 + 0.02 * rows + 0.01 * columns).astype(np.float32)
    top, left = random.integers(4, 16, 2)
    square = np.s_[top : top + 10, left : left + 10]
    depth[square] = 1
    rgb = random.integers(0, 40, (SIDE, SIDE, 3)).astype(np.uint8)
    rgb[square] += 150
    if hole:
        depth[8:12, 8:12] = np.nan
    return RGBDPair(name, rgb, depth)


def small_data(train: int = 5, test: int = 4) -> RGBDData:
    return RGBDData(
        name="small",
        unit="cm",
        unit_scale=100.0,
        train=tuple(pair(f"train_{seed}", seed) for seed in range(train)),
        test=tuple(pair(f"test_{seed}", 100 + seed, hole=seed == 0) for seed in range(test)),
        fingerprint=f"{train} and {test} pairs",
        note="made for a test",
    )
