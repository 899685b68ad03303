"""Where things lie. Every path of the project goes through here.

A notebook runs in its own folder under JupyterLab and in the repository root under papermill, so
nothing may depend on the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path


def repository_root() -> Path:
    """The checkout this process works on.

    The nearest folder at or above the working directory that holds `dvc.yaml` and `repro/`; this
    keeps `dvc exp run --temp`, which works in a copy, inside its copy. Otherwise the checkout this
    file lies in.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "dvc.yaml").is_file() and (folder / "repro").is_dir():
            return folder
    return Path(__file__).resolve().parents[1]


def resolve(path: str | os.PathLike[str]) -> Path:
    """`path` as an absolute path; a relative one is taken from the repository root."""
    return repository_root() / Path(path).expanduser()


def bundled_data() -> Path:
    """The photographs and textures pinned by data.dvc."""
    return repository_root() / "data"


def build_dir() -> Path:
    """What can be made again: prepared data, executed notebooks, resume checkpoints."""
    return repository_root() / "build"


def results_dir(scale: str) -> Path:
    """What a run at `scale` found."""
    return repository_root() / "results" / scale
