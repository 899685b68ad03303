"""Both forms of NYU Depth V2, on small copies of their structure, and what can be wrong."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from repro.data import DataError
from repro.data.rgbd import load_rgbd

FRAMES = 1449
HEIGHT, WIDTH = 12, 20


def metres(random: np.random.Generator) -> np.ndarray:
    return random.uniform(0.8, 9.5, (HEIGHT, WIDTH)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """The pack's form: six frames, 8-bit depth with one hole."""
    root = tmp_path / "nyu_depth_v2"
    for name in ("rgb", "depth8"):
        (root / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for frame in range(6):
        rgb = random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(rgb).save(root / "rgb" / f"{frame:04d}.jpg")
        values = np.floor(25.5 * metres(random)).astype(np.uint8)
        values[3, 4] = 0
        Image.fromarray(values).save(root / "depth8" / f"{frame:04d}.png")
    write_split(root, train=["0000", "0002"], test=["0003", "0004", "0005"])
    return root


def write_split(root, **parts: object) -> None:
    text = json.dumps({"depth_upsampling": parts, "segmentation": {"train": [], "test": []}})
    (root / "splits.json").write_text(text)


@pytest.fixture
def mat(tmp_path):
    """The official file's arrays, axes reversed as MATLAB stores them; two frames hold data."""
    path = tmp_path / "nyu_depth_v2" / "nyu_depth_v2_labeled.mat"
    path.parent.mkdir()
    random = np.random.default_rng(1)
    frames = {}
    with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB puts its own header first
        images, depths, raw = (
            file.create_dataset(name, (FRAMES, *shape), dtype, chunks=(1, *shape), compression=1)
            for name, shape, dtype in (
                ("images", (3, 640, 480), "u1"),
                ("depths", (640, 480), "f4"),
                ("rawDepths", (640, 480), "f4"),
            )
        )
        for frame in (0, 1000):
            rgb = random.integers(0, 256, (480, 640, 3)).astype(np.uint8)
            depth = random.uniform(0.7, 10, (480, 640)).astype(np.float32)
            images[frame], depths[frame] = rgb.transpose(2, 1, 0), depth.T
            raw[frame] = depth.T / 2
            frames[frame] = rgb, depth
        depths[1, 5, 7], depths[1, 6, 7] = 2.0, np.nan
    return path, frames


def test_the_folder_is_read_in_metres(folder):
    data = load_rgbd("nyu_depth_v2", root=folder.parent)
    assert [pair.name for pair in data.train] == ["0000", "0002"]
    assert [pair.name for pair in data.test] == ["0003", "0004", "0005"]
    assert (data.unit, data.unit_scale) == ("cm", 100.0)
    assert "2 of the 1000 training frames, 3 of the 449" in data.note
    assert "8-bit depth" in data.note
    pair = data.train[0]
    values = np.asarray(Image.open(folder / "depth8" / "0000.png"))
    known = values > 0
    np.testing.assert_allclose(pair.depth[known], (values[known] + 0.5) / 25.5, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "rgb" / "0000.jpg")), pair.rgb)
    assert pair.unknown == 1
    assert np.isnan(pair.depth[3, 4])


def test_sixteen_bits_are_millimetres_in_the_folder_of_that_name(folder):
    (folder / "depth_mm").mkdir()
    truth = metres(np.random.default_rng(2))
    for frame in range(6):
        values = np.round(1000 * truth).astype(np.uint16)
        values[0, 0] = 0
        Image.fromarray(values).save(folder / "depth_mm" / f"{frame:04d}.png")
    data = load_rgbd("nyu_depth_v2", root=folder.parent)
    pair = data.test[1]
    assert "16-bit depth in millimetres" in data.note
    assert pair.unknown == 1
    assert np.nanmax(abs(pair.depth - truth)) <= 0.0005 + 1e-6


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("depth8", np.full((HEIGHT, WIDTH), 900, np.uint16), "8 bits .*got mode I;16"),
        ("depth8", np.full((HEIGHT, WIDTH, 3), 9, np.uint8), "8 bits .*got mode RGB"),
        ("depth_mm", np.full((HEIGHT, WIDTH), 90, np.uint8), "16 bits .*got mode L"),
    ],
)
def test_depth_of_another_kind_is_refused(folder, kind, values, message):
    (folder / kind).mkdir(exist_ok=True)
    for frame in range(6):
        Image.fromarray(values).save(folder / kind / f"{frame:04d}.png")
    data = load_rgbd("nyu_depth_v2", root=folder.parent)
    with pytest.raises(DataError, match=rf"{kind}/0000\.png: expected a grey image of {message}"):
        _ = data.train[0]


def test_guidance_of_another_size_is_refused_and_grey_guidance_gets_three_channels(folder):
    grey = np.full((HEIGHT, WIDTH), 77, dtype=np.uint8)
    Image.fromarray(grey).save(folder / "rgb" / "0000.jpg")
    Image.fromarray(grey[:, :-1]).save(folder / "rgb" / "0002.jpg")
    data = load_rgbd("nyu_depth_v2", root=folder.parent)
    assert (data.train[0].rgb == 77).all()
    message = r"rgb/0002.jpg has 12 x 19 pixels, .*depth8/0002.png 12 x 20"
    with pytest.raises(DataError, match=message):
        _ = data.train[1]


@pytest.mark.parametrize("file", ["rgb/0003.jpg", "depth8/0003.png"])
def test_a_truncated_image_is_named(folder, file):
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2])
    data = load_rgbd("nyu_depth_v2", root=folder.parent)
    with pytest.raises(DataError, match=rf"{file}: cannot be decoded"):
        _ = data.test[0]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["0000"], "test": ["0003", "0777"]}, r"test needs 2 files .*rgb/0777\.jpg"),
        ({"train": ["0000", "0003"], "test": ["0003"]}, "1 frames are in both parts.*: 0003"),
        ({"train": ["0000", "0000"], "test": ["0003"]}, "train is empty or names a frame twice"),
        ({"train": ["0000"], "test": []}, "test is empty or names"),
        ({"train": ["0000"]}, r"expected \{'depth_upsampling'.*KeyError\('test'\)"),
        ({"train": [0], "test": ["0003"]}, "a frame's name is a string such as '0000', got 0"),
        ({"train": None, "test": ["0003"]}, "expected .*NoneType"),
    ],
)
def test_a_wrong_split_is_refused(folder, parts, message):
    write_split(folder, **parts)
    with pytest.raises(DataError, match=rf"splits\.json: .*{message}"):
        load_rgbd("nyu_depth_v2", root=folder.parent)


@pytest.mark.parametrize("text", ["{", "[]", '{"segmentation": {}}'])
def test_a_split_file_that_is_no_split_is_refused(folder, text):
    (folder / "splits.json").write_text(text)
    with pytest.raises(DataError, match=r"splits\.json: expected"):
        load_rgbd("nyu_depth_v2", root=folder.parent)


def test_the_fingerprint_changes_with_pixels_and_with_the_split(folder):
    def fingerprint() -> str:
        return load_rgbd("nyu_depth_v2", root=folder.parent).fingerprint

    found = [fingerprint(), fingerprint()]
    assert found[0] == found[1]
    write_split(folder, train=["0002", "0000"], test=["0003", "0004", "0005"])
    found.append(fingerprint())
    Image.fromarray(np.full((HEIGHT, WIDTH), 9, np.uint8)).save(folder / "depth8" / "0004.png")
    found.append(fingerprint())
    assert len(set(found)) == 3


def test_the_official_file_is_read_with_its_axes_turned(mat):
    path, frames = mat
    data = load_rgbd("nyu_depth_v2", root=path.parent.parent)
    assert (len(data.train), len(data.test), data.unit) == (1000, 449, "cm")
    for pair, frame in ((data.train[0], 0), (data.test[0], 1000)):
        rgb, depth = frames[frame]
        assert pair.name == f"{frame:04d}"
        np.testing.assert_array_equal(pair.rgb, rgb)
        np.testing.assert_array_equal(pair.depth, depth)  # `depths`, not `rawDepths`
        assert pair.rgb.flags.c_contiguous
        assert pair.depth.flags.c_contiguous
    holed = data.train[1]
    assert holed.depth[7, 5] == 2
    assert holed.unknown == 480 * 640 - 1


def test_the_official_file_is_preferred_to_the_folder(mat):
    path, _ = mat
    for name in ("rgb", "depth8"):
        (path.parent / name).mkdir()
    write_split(path.parent, train=["0000"], test=["0001"])
    assert len(load_rgbd("nyu_depth_v2", root=path.parent.parent).train) == 1000


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_official_file_is_refused(mat, share):
    path, _ = mat
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"labeled\.mat: truncated, damaged, or no MATLAB 7\.3"):
        load_rgbd("nyu_depth_v2", root=path.parent.parent)


def test_damage_inside_the_official_file_is_found_when_the_frame_is_read(mat):
    path, _ = mat
    with h5py.File(path) as file:
        place = file["depths"].id.get_chunk_info_by_coord((1000, 0, 0)).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place + 100)
        raw.write(bytes(50))
    data = load_rgbd("nyu_depth_v2", root=path.parent.parent)
    assert data.train[0].unknown == 0
    with pytest.raises(DataError, match=r"labeled\.mat: truncated, damaged"):
        _ = data.test[0]


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("depths", None, "depths must have 3 axes.*no such array"),
        ("images", (1400, 3, 640, 480), r"images must have 4 axes.*1449 frames.*\(1400, 3"),
        ("depths", (480, 640, 1449), r"depths must have 3 axes.*got \(480, 640, 1449\)"),
    ],
)
def test_an_official_file_of_another_structure_is_refused(mat, name, shape, message):
    path, _ = mat
    with h5py.File(path, "a") as file:
        del file[name]
        if shape:
            file.create_dataset(name, shape, "u1", chunks=True)
    with pytest.raises(DataError, match=message):
        load_rgbd("nyu_depth_v2", root=path.parent.parent)


def test_an_official_file_whose_sizes_differ_is_refused(mat):
    path, _ = mat
    with h5py.File(path, "a") as file:
        del file["depths"]
        file.create_dataset("depths", (FRAMES, 320, 240), "f4", chunks=(1, 320, 240))
    data = load_rgbd("nyu_depth_v2", root=path.parent.parent)
    with pytest.raises(DataError, match=r"labeled\.mat: 0000: depth must be \(480, 640\)"):
        _ = data.train[0]


def test_without_h5py_the_official_file_says_what_is_missing(mat, monkeypatch):
    path, _ = mat
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match="needs h5py: pip install h5py"):
        load_rgbd("nyu_depth_v2", root=path.parent.parent)
