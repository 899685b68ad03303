"""NYU Depth V2, the 1,449 labelled frames: as its authors distribute it, or as a folder of images.

The folder form is rgb/NNNN.jpg beside depth8/NNNN.png or depth_mm/NNNN.png, and splits.json:

- depth8: 8 bits, metres = (value + 0.5) / 25.5, the middle of a step of 3.9 cm;
- depth_mm: 16 bits, millimetres. The folder's name alone says which unit is meant: a file of the
  other bit depth is refused, never rescaled. With both folders there, depth_mm is read.

A value of 0 is unknown in each. NNNN is the frame's index, from 0, in the official file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from repro import files
from repro.data.depth_images import read_grey, read_pair
from repro.data.errors import DataError
from repro.data.rgbd_pairs import LazyPairs, RGBDData, RGBDPair, mask_unknown

MAT = "nyu_depth_v2_labeled.mat"
FRAMES, TRAIN_FRAMES = 1449, 1000
"""The usual split of joint upsampling: the first 1000 frames train, the last 449 test."""
TASK = "depth_upsampling"
DEPTH_8, DEPTH_MM = "depth8", "depth_mm"


def read(folder: Path) -> RGBDData:
    """The dataset in `folder`; the official file is preferred, since its depth is not rounded.

    Depth is the one whose holes its authors filled (`depths`), as in the joint upsampling papers.

    Source: Silberman et al. (ECCV 2012); the split of DJF (Li et al., ECCV 2016) and PAC.
    Raises:
        DataError: a damaged official file, or a split that names absent frames, names one twice, or
            shares frames between train and test.
    """
    return _read_mat(folder / MAT) if (folder / MAT).is_file() else _read_folder(folder)


def _read_folder(folder: Path) -> RGBDData:
    depth = DEPTH_MM if (folder / DEPTH_MM).is_dir() else DEPTH_8
    split = _read_split(folder, depth)
    digest = hashlib.sha256(depth.encode())
    for part in ("train", "test"):
        for name in split[part]:
            digest.update(f"{part}\0{name}\0".encode())
            for path in _paths(folder, depth, name):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    rounding = (
        "8-bit depth, a step of 3.9 cm: errors are near sqrt(r^2 + 1.13^2) cm where exact depth "
        "would give r"
        if depth == DEPTH_8
        else "16-bit depth in millimetres"
    )
    read_frame = partial(_read_frame, folder, depth)
    return RGBDData(
        name="nyu_depth_v2",
        unit="cm",
        unit_scale=100.0,
        train=LazyPairs(split["train"], read_frame),
        test=LazyPairs(split["test"], read_frame),
        fingerprint=digest.hexdigest(),
        note=f"{len(split['train'])} of the {TRAIN_FRAMES} training frames, {len(split['test'])} "
        f"of the {FRAMES - TRAIN_FRAMES} test frames; holes filled by its authors; {rounding}",
    )


def _read_split(folder: Path, depth: str) -> dict[str, tuple[str, ...]]:
    """Frame names of "train" and "test" in splits.json, checked."""
    path = folder / "splits.json"
    try:
        parts = files.read_json(path)[TASK]
        split = {part: tuple(map(_checked_name, parts[part])) for part in ("train", "test")}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected {{{TASK!r}: {{'train': [names], 'test': [names]}}}}: {error!r}"
        ) from error
    for part, names in split.items():
        if not names or len(set(names)) < len(names):
            raise DataError(f"{path}: {TASK}.{part} is empty or names a frame twice")
        absent = [
            str(file)
            for name in names
            for file in _paths(folder, depth, name)
            if not file.is_file()
        ]
        if absent:
            raise DataError(
                f"{path}: {TASK}.{part} needs {len(absent)} files that are not there: "
                f"{', '.join(absent[:4])}"
            )
    shared = sorted(set(split["train"]) & set(split["test"]))
    if shared:
        raise DataError(
            f"{path}: {len(shared)} frames are in both parts of {TASK}: {', '.join(shared[:4])}"
        )
    return split


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"a frame's name is a string such as '0000', got {name!r}")
    return name


def _paths(folder: Path, depth: str, name: str) -> tuple[Path, Path]:
    return folder / "rgb" / f"{name}.jpg", folder / depth / f"{name}.png"


def _read_frame(folder: Path, kind: str, name: str) -> RGBDPair:
    rgb_path, depth_path = _paths(folder, kind, name)
    if kind == DEPTH_MM:
        metres = read_grey(depth_path, bits=16) / np.float32(1000)
    else:
        values = read_grey(depth_path, bits=8)
        metres = np.where(values > 0, (values + np.float32(0.5)) / np.float32(25.5), 0)
    return read_pair(name, rgb_path, depth_path, mask_unknown(metres))


def _read_mat(path: Path) -> RGBDData:
    names = tuple(f"{frame:04d}" for frame in range(FRAMES))
    with _opened(path) as mat:
        for key, axes in (("images", 4), ("depths", 3)):
            shape = mat[key].shape if key in mat else None
            if shape is None or len(shape) != axes or shape[0] != FRAMES:
                raise DataError(
                    f"{path}: {key} must have {axes} axes, the first of {FRAMES} frames, got "
                    f"{shape or 'no such array'}"
                )
    return RGBDData(
        name="nyu_depth_v2",
        unit="cm",
        unit_scale=100.0,
        train=LazyPairs(names[:TRAIN_FRAMES], partial(_read_mat_frame, path)),
        test=LazyPairs(names[TRAIN_FRAMES:], partial(_read_mat_frame, path)),
        fingerprint=files.sha256(path),
        note="the official file; holes filled by its authors; depth in full precision",
    )


def _read_mat_frame(path: Path, name: str) -> RGBDPair:
    """A frame; MATLAB stores arrays with their axes reversed: (3, W, H) and (W, H)."""
    with _opened(path) as mat:
        rgb = np.ascontiguousarray(mat["images"][int(name)].transpose(2, 1, 0))
        depth = np.ascontiguousarray(mat["depths"][int(name)].T)
    try:
        return RGBDPair(name, rgb, mask_unknown(depth))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, Any]]:
    """The file, open; anew for each frame, so that it may be read in forked processes."""
    try:
        import h5py  # only this format needs it
    except ImportError as error:
        raise ImportError(f"{path}: reading it needs h5py: pip install h5py") from error
    try:
        with h5py.File(path, "r") as mat:
            yield mat
    except OSError as error:
        raise DataError(
            f"{path}: truncated, damaged, or no MATLAB 7.3 file (which is HDF5): {error}"
        ) from error
