"""Folders of colour and disparity images, and what can be wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from repro.data import DataError
from repro.data.rgbd import crop_to_multiple, load_rgbd


@pytest.fixture
def root(tmp_path):
    """Two pairs of unequal size, one hole in the first."""
    folder = tmp_path / "middlebury_rgbd"
    for name in ("RGB", "Depth"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, size in (("Middlebury_02", (37, 43)), ("Middlebury_01", (33, 50))):
        rgb = random.integers(0, 256, (*size, 3)).astype(np.uint8)
        depth = random.integers(1, 256, size).astype(np.uint8)
        if name.endswith("1"):
            depth[2, 3] = 0
        Image.fromarray(rgb).save(folder / "RGB" / f"{name}_output_color.png")
        Image.fromarray(depth).save(folder / "Depth" / f"{name}_output_depth.png")
    return tmp_path


def test_pairs_are_read_in_order_for_testing_alone(root):
    data = load_rgbd("middlebury", root=root)
    assert [pair.name for pair in data.test] == ["Middlebury_01", "Middlebury_02"]
    assert (data.unit, data.unit_scale, len(data.train)) == ("grey levels", 1.0, 0)
    with pytest.raises(DataError, match="middlebury is for testing alone"):
        data.require_train()
    pair = data.test[0]
    stored = np.asarray(
        Image.open(root / "middlebury_rgbd/Depth/Middlebury_01_output_depth.png")
    ).astype(np.float32)
    assert pair.unknown == 1
    assert np.isnan(pair.depth[2, 3])
    np.testing.assert_array_equal(np.nan_to_num(pair.depth), stored)
    assert crop_to_multiple(pair, 16).depth.shape == (32, 48)


def test_the_fingerprint_changes_with_pixels(root):
    before = load_rgbd("middlebury", root=root).fingerprint
    path = root / "middlebury_rgbd/RGB/Middlebury_02_output_color.png"
    Image.fromarray(np.zeros((37, 43, 3), np.uint8)).save(path)
    assert load_rgbd("middlebury", root=root).fingerprint != before


def test_an_image_without_its_partner_is_named(root):
    (root / "middlebury_rgbd/Depth/Middlebury_02_output_depth.png").unlink()
    with pytest.raises(DataError, match=r"found 2 and 1, without a partner: Middlebury_02"):
        load_rgbd("middlebury", root=root)


def test_empty_folders_are_refused(tmp_path):
    for name in ("RGB", "Depth"):
        (tmp_path / "middlebury" / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"found 0 and 0, without a partner: none"):
        load_rgbd("middlebury", root=tmp_path)


def test_sixteen_bit_disparity_is_refused(root):
    path = root / "middlebury_rgbd/Depth/Middlebury_01_output_depth.png"
    Image.fromarray(np.full((33, 50), 700, np.uint16)).save(path)
    with pytest.raises(DataError, match=r"01_output_depth\.png: expected .*8 bits.*I;16"):
        _ = load_rgbd("middlebury", root=root).test[0]
