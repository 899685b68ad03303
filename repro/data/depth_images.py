"""Depth stored as grey PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from repro.data import image_folder
from repro.data.errors import DataError
from repro.data.rgbd_pairs import RGBDPair

_MODES = {8: ("L",), 16: ("I;16", "I;16B", "I")}  # Pillow's older versions read 16 bits as I


def read_grey(path: Path, bits: int) -> NDArray[np.uint16]:
    """The values of a grey image.

    Args:
        bits: 8 or 16; a file with another depth holds another unit, so it is refused.
    Returns:
        (H, W) uint16.
    Raises:
        DataError: it is missing, truncated, not grey, or has not `bits` bits; names the path.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode not in _MODES[bits]:
                raise DataError(
                    f"{path}: expected a grey image of {bits} bits (mode {_MODES[bits][0]}), got "
                    f"mode {image.mode}"
                )
            return np.asarray(image).astype(np.uint16)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three on damaged files
        raise DataError(f"{path}: cannot be decoded: {error}") from error


def read_pair(name: str, rgb_path: Path, depth_path: Path, depth: NDArray[np.float32]) -> RGBDPair:
    """A pair of depth that was read and the photograph that belongs to it.

    A grey photograph gets three equal channels, and one with transparency loses it.

    Raises:
        DataError: the photograph is missing, damaged or of another size; names both files.
    """
    rgb = np.asarray(image_folder.read_image(rgb_path))
    if rgb.shape[:2] != depth.shape:
        raise DataError(
            f"{rgb_path} has {rgb.shape[0]} x {rgb.shape[1]} pixels, {depth_path} "
            f"{depth.shape[0]} x {depth.shape[1]}; they must be equal"
        )
    return RGBDPair(name, rgb, depth)
