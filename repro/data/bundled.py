"""The photographs and textures shipped with the project, and the check that they are unharmed.

DVC does not notice an input file that rots: `dvc repro` quietly records the new hash. So the first
stage compares every file with a manifest that lies in git, in the format of `sha256sum`
(`cd data && sha256sum -c ../repro/data/manifest.sha256` does the same by hand).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from repro import files, paths
from repro.data.errors import DataError

MANIFEST = Path(__file__).with_name("manifest.sha256")
REPAIR = "git checkout HEAD data.dvc datastore && dvc pull --force data.dvc"
"""Brings back missing files and replaces changed ones, offline, from the remote in the repository.

The checkout comes first because `dvc repro` rewrites data.dvc to whatever lies in data/.
"""


def manifest() -> dict[str, str]:
    """sha256 of every bundled file, by file name."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def write_manifest(folder: Path) -> None:
    """Record the files of `folder` as the right ones; only scripts/build_bundled_data.py does."""
    lines = (f"{files.sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()))
    files.write_text(MANIFEST, "".join(lines))


def verify_bundled(folder: Path | None = None) -> int:
    """Check every bundled file against the manifest.

    Args:
        folder: where the files lie; None means data/ of this checkout.
    Returns:
        The number of files, all of them right.
    Raises:
        DataError: names each missing or changed file, its expected and found sha256, and the
            command that repairs it.
    """
    folder = paths.bundled_data() if folder is None else folder
    expected = manifest()
    harm = [
        f"{folder / name}: expected sha256 {digest}, found {found}"
        for name, digest in expected.items()
        if (found := _digest_or_absent(folder / name)) != digest
    ]
    if harm:
        listed = "\n  ".join(harm)
        raise DataError(
            f"{len(harm)} of {len(expected)} bundled files missing or changed:\n  {listed}\n"
            f"repair with: {REPAIR}"
        )
    return len(expected)


def image_names() -> list[str]:
    """File names of the bundled images, sorted."""
    return sorted(name for name in manifest() if not name.endswith(".md"))


def load_image(name: str) -> Image.Image:
    """A bundled image by file name, decoded, in its own mode (L or RGB).

    Raises:
        DataError: it is not there, or cannot be decoded; says how to repair it.
    """
    path = paths.bundled_data() / name
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except OSError as error:
        expected = manifest().get(name, "none: not a bundled file")
        raise DataError(
            f"cannot read {path}: {error}; expected sha256 {expected}, found "
            f"{_digest_or_absent(path)}; repair with: {REPAIR}"
        ) from error


@dataclass(frozen=True)
class StereoPair:
    """Two rectified views and the disparity of the left one, which is NaN where unknown."""

    left: NDArray[np.uint8]  # (H, W, 3)
    right: NDArray[np.uint8]  # (H, W, 3)
    disparity: NDArray[np.float32]  # (H, W), pixels


def stereo_pair() -> StereoPair:
    """The Middlebury 2014 motorcycle pair, read from the installed scikit-image.

    It is not in data/: the set has no licence that allows a copy.
    """
    from skimage import data  # slow to import, and only this function needs it

    left, right, disparity = data.stereo_motorcycle()
    disparity = np.where(np.isfinite(disparity), disparity, np.nan).astype(np.float32)
    return StereoPair(np.asarray(left), np.asarray(right), disparity)


def has_stereo_pair() -> bool:
    """Whether `stereo_pair` will find its files; it never downloads them."""
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        return False
    names = ("motorcycle_left.png", "motorcycle_right.png", "motorcycle_disp.npz")
    return all((Path(package.origin).parent / "data" / name).is_file() for name in names)


def _digest_or_absent(path: Path) -> str:
    return files.sha256(path) if path.is_file() else "no file"
