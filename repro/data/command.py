"""`python -m repro data`: every dataset, where it is looked for, whether it is there."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from repro import params, paths
from repro.data import bundled
from repro.data.errors import DataError
from repro.data.registry import DATASETS, Dataset
from repro.names import require_known

BUNDLED = "bundled"
PATCHES = "patches"
MOTORCYCLE = "motorcycle"
BUNDLED_RGBD = "bundled_rgbd"
SCENES = "scenes"
MOSAICS = "mosaics"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("names", nargs="*", metavar="dataset", help="only these; default: all")


def run(arguments: argparse.Namespace) -> int:
    """List the datasets; 1 if the bundled images, which everything starts from, are harmed."""
    known = [BUNDLED, PATCHES, MOTORCYCLE, BUNDLED_RGBD, SCENES, MOSAICS, *DATASETS]
    names = [require_known("dataset", name, known) for name in arguments.names] or known
    root = params.data_root()
    print(f"data root: {root or 'not set (REPRO_DATA, or data_root in params.yaml)'}")
    if root is not None and not root.is_dir():
        print("           no such folder")
    harm = None
    for name in names:
        if name == BUNDLED:
            harm = _print_bundled()
        elif name == PATCHES:
            _print_patches()
        elif name == MOTORCYCLE:
            _print_motorcycle()
        elif name == BUNDLED_RGBD:
            _print_bundled_rgbd()
        elif name == SCENES:
            _print_scenes()
        elif name == MOSAICS:
            _print_mosaics()
        else:
            _print(DATASETS[name], root)
    return 1 if harm else 0


def _print_bundled() -> DataError | None:
    harm = None
    try:
        status = f"found, all {bundled.verify_bundled()} files as in the manifest"
    except DataError as error:
        harm, status = error, str(error)
    _print_entry(
        BUNDLED,
        status,
        task="photographs and textures; what everything else is made from",
        reader="yes",
        where=str(paths.bundled_data()),
        format="PNG, JPEG; licences in README.md",
        get=bundled.REPAIR,
    )
    return harm


def _print_patches() -> None:
    folder = paths.build_dir() / "data" / "patches"
    _print_entry(
        PATCHES,
        "prepared" if (folder / "task.json").is_file() else "made from the bundled images on use",
        task="classification, 10 classes, 32x32 grey; the default",
        reader="yes",
        where=str(folder),
        format="patches.npz, task.json",
        get="python -m repro run notebooks/00_prepare_data.ipynb --out build/data/patches",
    )


def _print_motorcycle() -> None:
    _print_entry(
        MOTORCYCLE,
        "found" if bundled.has_stereo_pair() else "not found",
        task="joint depth upsampling, 500x741, one pair; no licence to copy it",
        reader="yes",
        where="the installed scikit-image",
        format="two views (PNG) and the disparity of the left one (npz)",
        get="pip install scikit-image, whose wheel carries it",
    )


def _print_bundled_rgbd() -> None:
    _print_entry(
        BUNDLED_RGBD,
        "made from the bundled images and the motorcycle pair on use",
        task="joint depth upsampling, 240x320, 22 pairs to train and 8 to test; the default",
        reader="yes",
        where="memory: it takes two seconds to make",
        format="rendered scenes, disparity in pixels; regions of the motorcycle pair",
        get="nothing to do",
    )


def _print_scenes() -> None:
    _print_entry(
        SCENES,
        "made from the bundled images on use",
        task="detection, instance and semantic segmentation, 6 classes, 128x128; the default",
        reader="yes",
        where="memory: 400 scenes take a few seconds to make",
        format="boxes, masks and label maps",
        get="nothing to do",
    )


def _print_mosaics() -> None:
    _print_entry(
        MOSAICS,
        "made from the bundled images on use",
        task="semantic segmentation, 8 classes, 128x128, 200 to train and 100 to test; the default",
        reader="yes",
        where="memory: they take two seconds to make",
        format="textures of bundled images in curved pieces; the class of a pixel is its texture",
        get="nothing to do",
    )


def _print(dataset: Dataset, root: Path | None) -> None:
    _print_entry(
        dataset.name,
        _status(dataset, root),
        task=dataset.task,
        reader="yes" if dataset.has_reader else "not written yet",
        where=" or ".join(map(str, dataset.candidates(root)))
        or " or ".join(f"<data root>/{name}" for name in dataset.folders),
        format=dataset.layout,
        get=dataset.obtain,
    )


def _status(dataset: Dataset, root: Path | None) -> str:
    folder, pack = dataset.find(root), dataset.pack(root)
    if folder is not None:
        return f"found in {folder}"
    return "not found" if pack is None else f"found as {pack}, unpacked on first use"


def _print_entry(name: str, status: str, **details: str) -> None:
    print(f"\n{name}: {status}")
    for label, text in details.items():
        filled = textwrap.fill(text, 90, subsequent_indent=" " * 10, break_on_hyphens=False)
        print(f"  {label + ':':7} {filled}")
