"""Tiny datasets that tests build, and may harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def class_folders(tmp_path):
    """Makes a dataset of class folders; returns the data root."""

    def make(name: str, size: int, *, test: str = "test", per_class: int = 6) -> Path:
        random = np.random.default_rng(0)
        for part, count in (("train", per_class), (test, 3)):
            for label, kind in enumerate(("ant", "bee")):
                folder = tmp_path / name / part / kind
                folder.mkdir(parents=True)
                for index in range(count):
                    pixels = random.integers(0, 120, (size, size, 3)) + 100 * label
                    suffix = ("png", "JPEG")[index % 2]
                    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.{suffix}")
        return tmp_path

    return make
