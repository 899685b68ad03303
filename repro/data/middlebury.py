"""The hole-filled Middlebury pairs: RGB/<name>_output_color.png, Depth/<name>_output_depth.png."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from repro.data.depth_images import read_grey, read_pair
from repro.data.errors import DataError
from repro.data.rgbd_pairs import LazyPairs, RGBDData, RGBDPair, mask_unknown

COLOUR, DEPTH = "_output_color.png", "_output_depth.png"


def read(folder: Path) -> RGBDData:
    """The pairs of a folder, sorted by name, all of them for testing.

    Source: 30 pairs of 2001 to 2006, holes filled by Lu et al. (CVPR 2014); the layout is that of
        github.com/Zhaozixiang1228/GDSR-DCTNet.
    Deviates: a value of 0 is unknown and left out; the usual evaluation counts it as a depth. Of
        the 30 pairs three have such pixels, 16 altogether.
    Raises:
        DataError: a colour image without depth or the other way round, or none at all.
    """
    colour = _stems(folder / "RGB", COLOUR)
    depth = _stems(folder / "Depth", DEPTH)
    if colour != depth or not colour:
        lonely = sorted(colour ^ depth)
        raise DataError(
            f"{folder}: expected RGB/<name>{COLOUR} with Depth/<name>{DEPTH}, found "
            f"{len(colour)} and {len(depth)}, without a partner: {', '.join(lonely[:5]) or 'none'}"
        )
    names = tuple(sorted(colour))
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode())
        for path in _paths(folder, name):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return RGBDData(
        name="middlebury",
        unit="grey levels",
        unit_scale=1.0,
        train=(),
        test=LazyPairs(names, partial(_read_pair, folder)),
        fingerprint=digest.hexdigest(),
        note="disparity, scaled to 8 bits for each pair; holes filled by its authors; 0 is unknown",
    )


def _stems(folder: Path, suffix: str) -> set[str]:
    return {path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}")}


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / "RGB" / f"{name}{COLOUR}", folder / "Depth" / f"{name}{DEPTH}"


def _read_pair(folder: Path, name: str) -> RGBDPair:
    rgb_path, depth_path = _paths(folder, name)
    depth = mask_unknown(read_grey(depth_path, bits=8))
    return read_pair(name, rgb_path, depth_path, depth)
