"""How much two methods of joint depth upsampling differ, over the same images and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repro.names import require_known
from repro.report.image_errors import CONVENTIONS, ImageErrors
from repro.report.result_files import BrokenResultError, MissingResultError, shown
from repro.report.results import Results
from repro.report.runs import Run, RunFamily
from repro.stats import Estimate, FloatArray, image_bootstrap

PAPER_UNIT = "cm"  # printed as 1e-2, of metres

# metrics.json and per_image.csv round; more than this apart, they are of two runs.
_ROUNDING = 1e-3


def error_key(factor: int, *, edge: bool = False) -> str:
    """The name of a metric in metrics.json: "rmse_x4", "edge_rmse_x16"."""
    return f"{'edge_' if edge else ''}rmse_x{factor}"


def unit_of(run: Run) -> str:
    """What a run's errors are measured in: "cm", "px" of disparity.

    Raises:
        BrokenResultError: metrics.json does not say.
    """
    unit = run.details.get("unit")
    if not isinstance(unit, str) or not unit:
        raise BrokenResultError(f"{shown(run.path)} must name the unit of its errors, got {unit!r}")
    return unit


def factors_of(run: Run) -> Sequence[int]:
    """The factors at which a run was made.

    Raises:
        BrokenResultError: metrics.json does not say.
    """
    factors = run.details.get("factors")
    if not isinstance(factors, list) or not all(isinstance(factor, int) for factor in factors):
        raise BrokenResultError(f"{shown(run.path)} must list its factors, got {factors!r}")
    return factors


def error_difference(
    results: Results,
    family: RunFamily,
    method: str,
    base: str,
    factor: int,
    *,
    edge: bool = False,
    confidence: float = 0.95,
) -> Estimate | None:
    """The error of `method` less that of `base`, with its bootstrap interval.

    Args:
        edge: compare the band around the depth's edges alone; images without one are left out.
    Returns:
        None where no seed finished in both.
    Raises:
        MissingResultError: one of them was not run, or not at that factor.
        BrokenResultError: the two were not run with the same seeds, or not tested on the same
            images, or metrics.json and per_image.csv contradict each other.
    """
    runs = results.run(family, method), results.run(family, base)
    for run in runs:
        if factor not in factors_of(run):
            raise MissingResultError(
                f"{shown(run.path)} has no errors at {factor}x; add the factor to {family.folder} "
                f"in params.yaml, then: dvc repro {family.stage}"
            )
        if not run.figures(error_key(factor)):  # broke down in every seed: it has no images either
            return None
    errors = [results.image_errors(family, run.method, factor) for run in runs]
    for run, own in zip(runs, errors, strict=True):
        _require_agreement(run, own, error_key(factor), _convention(run))
    (run, reference), (mine, other) = runs, errors
    if mine.images != other.images:
        lonely = sorted(set(mine.images) ^ set(other.images)) or ["the order"]
        raise BrokenResultError(
            f"{shown(results.root / family.folder)}/per_image.csv: {method} and {base} must be "
            f"tested on the same images at {factor}x; they differ in {lonely[0]}"
        )
    seeds = _common_seeds(run, reference, mine, other)
    if not seeds:
        return None
    pixels = mine.edge_pixels if edge else mine.pixels
    return image_bootstrap(
        _chosen(mine, seeds, edge)[..., pixels > 0],
        _chosen(other, seeds, edge)[..., pixels > 0],
        pixels=pixels[pixels > 0] if _convention(run) == "pooled" else None,
        confidence=confidence,
    )


def _convention(run: Run) -> str:
    try:
        return require_known("convention", str(run.details.get("convention")), CONVENTIONS)
    except ValueError as error:
        raise BrokenResultError(f"{shown(run.path)}: {error}") from error


def _common_seeds(
    run: Run, reference: Run, mine: ImageErrors, other: ImageErrors
) -> tuple[int | None, ...]:
    """The seeds that finished in both; (None,) where neither method has any."""
    if run.deterministic and reference.deterministic:
        return (None,)
    if run.deterministic:
        return other.seeds
    if reference.deterministic:
        return mine.seeds
    if set(run.seeds) != set(reference.seeds):
        raise BrokenResultError(
            f"{run.method} was run with the seeds {sorted(run.seeds)} but {reference.method} with "
            f"{sorted(reference.seeds)}; a paired difference needs the same ones"
        )
    return tuple(seed for seed in mine.seeds if seed in other.seeds)


def _chosen(errors: ImageErrors, seeds: Sequence[int | None], edge: bool) -> FloatArray:
    """(seeds, images), or (images,) of a method without seeds."""
    values = errors.edge_rmse if edge else errors.rmse
    if errors.seeds == (None,):
        first: FloatArray = values[0]
        return first
    return values[[errors.seeds.index(seed) for seed in seeds]]


def _require_agreement(run: Run, errors: ImageErrors, key: str, convention: str) -> None:
    """Refuse a per_image.csv that metrics.json was not computed from."""
    if errors.seeds != (None,) and run.deterministic:
        raise BrokenResultError(f"{shown(run.path)} calls {run.method} deterministic; it has seeds")
    stated = run.figures(key)
    for position, seed in enumerate(errors.seeds):
        own = errors.rmse[position]
        if convention == "pooled":
            found = float(np.sqrt(np.average(own**2, weights=errors.pixels)))
        else:
            found = float(own.mean())
        expected = stated.get(run.seeds[0] if seed is None else seed)
        if expected is None or abs(found - expected) > _ROUNDING * max(abs(expected), _ROUNDING):
            raise BrokenResultError(
                f"{shown(run.path)} and per_image.csv beside it disagree: {key} of {run.method} "
                f"is {expected} there and {found:.6g} here; make both anew"
            )
