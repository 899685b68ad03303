"""Errors of joint depth upsampling on single test images, and of the sampling study.

Notebook 21 writes `results/<scale>/joint_upsampling/per_image.csv`:

    method,factor,seed,image,rmse,edge_rmse,pixels,edge_pixels

`rmse` is in the unit that metrics.json names, `edge_rmse` is that of the band around the depth's
edges (empty where an image has none), `seed` is empty for a method that is not trained. It writes
`sampling.csv`, too: one line for each way to sample the low-resolution depth and to place it again.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repro.report.result_files import BrokenResultError, missing, read_rows, shown
from repro.stats import FloatArray

CONVENTIONS = ("per_image", "pooled")

_IMAGE_COLUMNS = (
    "method",
    "factor",
    "seed",
    "image",
    "rmse",
    "edge_rmse",
    "pixels",
    "edge_pixels",
)


@dataclass(frozen=True)
class ImageErrors:
    """What one method errs on every test image at one factor.

    Attributes:
        seeds: those whose figures are all numbers; (None,) for a method that is not trained.
        images: in the order of the file.
        rmse: (seeds, images).
        edge_rmse: (seeds, images); NaN where an image has no band of edges.
        pixels: (images,), that were compared.
        edge_pixels: (images,), of them in the band.
    """

    seeds: tuple[int | None, ...]
    images: tuple[str, ...]
    rmse: FloatArray
    edge_rmse: FloatArray
    pixels: FloatArray
    edge_pixels: FloatArray


@dataclass(frozen=True)
class SamplingTrial:
    """The error of an interpolation where depth was sampled in one way and placed in another."""

    method: str
    sampling: str
    alignment: str
    factor: int
    convention: str
    rmse: float


def read_image_errors(path: Path, stage: str) -> Mapping[tuple[str, int], ImageErrors]:
    """All of per_image.csv, by method and factor.

    Raises:
        MissingResultError: it is not there.
        BrokenResultError: a column is missing, a cell is no number, an image comes twice, or a seed
            lacks images that another has.
    """
    if not path.is_file():
        raise missing(path, stage)
    state = path.stat()
    return _read_image_errors(path, stage, state.st_mtime_ns, state.st_size)


def read_sampling(path: Path, stage: str) -> tuple[SamplingTrial, ...]:
    """All of sampling.csv.

    Raises:
        MissingResultError: it is not there.
        BrokenResultError: a column is missing, a cell is no number, or the convention is unknown.
    """
    trials = []
    for line, row in enumerate(read_rows(path, stage), start=2):
        try:
            trial = SamplingTrial(
                row["method"],
                row["sampling"],
                row["alignment"],
                int(row["factor"]),
                row["convention"],
                float(row["rmse"]),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise BrokenResultError(f"{shown(path)}, line {line}: {error!r}") from error
        if trial.convention not in CONVENTIONS:
            known = " or ".join(CONVENTIONS)
            raise BrokenResultError(
                f"{shown(path)}, line {line}: convention must be {known}, got {trial.convention!r}"
            )
        trials.append(trial)
    return tuple(trials)


@dataclass(frozen=True)
class _Line:
    rmse: float
    edge_rmse: float
    pixels: float
    edge_pixels: float


# Seed -> image -> its line.
_Lines = dict[int | None, dict[str, _Line]]


@functools.lru_cache(maxsize=4)  # a table and the claims read it some eighty times
def _read_image_errors(
    path: Path, stage: str, modified: int, size: int
) -> Mapping[tuple[str, int], ImageErrors]:
    rows = read_rows(path, stage)
    absent = [name for name in _IMAGE_COLUMNS if not rows or rows[0].get(name) is None]
    if absent:
        raise BrokenResultError(f"{shown(path)} lacks the columns {', '.join(absent)}, or any line")
    groups: dict[tuple[str, int], _Lines] = {}
    for number, row in enumerate(rows, start=2):
        try:
            key = row["method"], int(row["factor"])
            seed = int(row["seed"]) if row["seed"] else None
            line = _Line(*(_number(row[name]) for name in _IMAGE_COLUMNS[4:]))
        except (ValueError, TypeError) as error:
            raise BrokenResultError(f"{shown(path)}, line {number}: {error!r}") from error
        lines = groups.setdefault(key, {}).setdefault(seed, {})
        if row["image"] in lines:
            raise BrokenResultError(
                f"{shown(path)}, line {number}: {_named(key, seed)} has {row['image']!r} twice"
            )
        lines[row["image"]] = line
    return {key: _gathered(path, key, lines) for key, lines in groups.items()}


def _gathered(path: Path, key: tuple[str, int], lines: _Lines) -> ImageErrors:
    images = tuple(next(iter(lines.values())))
    for seed, own in lines.items():
        if lonely := set(own) ^ set(images):
            first = min(lonely)
            raise BrokenResultError(
                f"{shown(path)}: {_named(key, seed)} and another seed do not hold the same images; "
                f"one alone has {first!r}"
            )
    if None in lines and len(lines) > 1:
        raise BrokenResultError(f"{shown(path)}: {_named(key, None)} has lines with a seed, too")

    def figures(name: str) -> FloatArray:
        return np.array([[getattr(own[image], name) for image in images] for own in lines.values()])

    rmse = figures("rmse")
    whole = [bool(np.isfinite(own).all()) for own in rmse]  # else its training broke down
    return ImageErrors(
        tuple(seed for seed, kept in zip(lines, whole, strict=True) if kept),
        images,
        rmse[whole],
        figures("edge_rmse")[whole],
        figures("pixels")[0],
        figures("edge_pixels")[0],
    )


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


def _named(key: tuple[str, int], seed: int | None) -> str:
    method, factor = key
    return f"{method} at {factor}x" + ("" if seed is None else f", seed {seed}")
