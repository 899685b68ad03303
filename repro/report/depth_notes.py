"""The sentences under the tables of joint depth upsampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.papers import Row
from repro.report.columns import ColumnKind, Setup
from repro.report.depth_columns import DepthDifference, DepthError, UpsamplerCost
from repro.report.depth_errors import PAPER_UNIT, unit_of
from repro.report.result_files import MissingResultError
from repro.report.runs import Run

# The paper's test set and training frames; anything else is a stand-in.
_PAPER_DATA = {"dataset": "nyu_depth_v2", "train_images": 1000, "test_images": 449}

_CONVENTIONS = {
    "per_image": "the mean over images of each image's RMSE",
    "pooled": "the root of the mean square over all pixels of all images",
}


def below(
    kinds: Sequence[ColumnKind], rows: Sequence[Row], setup: Setup, beside: Setup | None
) -> tuple[str, ...]:
    """The notes of one table, in the order a reader needs them."""
    runs = [setup.run(row) for row in rows]
    written = [f"Ours: {describe(runs[0].details, _trained_seeds(runs))}.{_beside_paper(runs[0])}"]
    if beside is not None and (published := _runs_that_exist(rows, beside)):
        said = describe(published[0].details, _trained_seeds(published))
        written.append(f"Published with this project: {said}.")
    written.append(_measured(runs[0].details))
    if any(isinstance(kind, DepthError) for kind in kinds):
        written.append(
            "RMSE in brackets: 95 % interval of the mean over seeds (Student t); a method that is "
            "not trained has no seeds."
        )
    if any(isinstance(kind, DepthError) and kind.edge for kind in kinds):
        written.append(
            "RMSE at edges: over the band of pixels near a discontinuity of the true depth alone."
        )
    if any(isinstance(kind, DepthDifference) for kind in kinds):
        base = ", ".join(f"“{setup.table.row(base).name}”" for base in setup.bases)
        written.append(
            f"Δ: error less that of {base} on the same images and seeds; below zero is better. In "
            "brackets: 95 % bootstrap interval over images and seeds; none with a single seed."
        )
    if any(isinstance(kind, UpsamplerCost) for kind in kinds):
        written.append(
            "Params and MACs (multiply-accumulates): exact counts of the trained networks, MACs "
            "at 480×640; the paper prints none."
        )
    if setup.table.note:
        written.append(f"On the printed table: {setup.table.note.rstrip('.')}.")
    return tuple(written)


def describe(details: Mapping[str, Any], seeds: int) -> str:
    """Dataset, sampling and budget of a run, as far as its metrics.json tells them."""
    parts = [str(details["dataset"])] if "dataset" in details else []
    for key, what in (
        ("train_images", "training images"),
        ("test_images", "test images"),
        ("steps", "training steps"),
    ):
        count = details.get(key)
        if isinstance(count, int):
            parts.append(f"{count:,} {what if count != 1 else what.removesuffix('s')}")
    if seeds:
        parts.append("one seed" if seeds == 1 else f"{seeds} seeds")
    if "sampling" in details:
        parts.append(f"depth sampled at “{details['sampling']}”")
    return ", ".join(parts)


def is_stand_in(details: Mapping[str, Any]) -> bool:
    """Whether a run differs from the paper's data in more than chance."""
    return any(details.get(key) != value for key, value in _PAPER_DATA.items())


def _beside_paper(run: Run) -> str:
    unit = unit_of(run)
    if unit != PAPER_UNIT:
        return (
            f" Our errors are in {unit}, the paper's in {PAPER_UNIT}: compare the order of the "
            "methods and the signs of Δ with the paper, not sizes."
        )
    if is_stand_in(run.details):
        return (
            " Less data than the paper's 1,000 training and 449 test images of NYU Depth V2, or "
            "other data: compare signs and differences with the paper first."
        )
    return ""


def _measured(details: Mapping[str, Any]) -> str:
    text = f"RMSE: {_CONVENTIONS.get(str(details.get('convention')), details.get('convention'))}"
    if isinstance(details.get("border"), int):
        text += f", without the {details['border']} pixels along the border"
    if "alignment" in details:
        text += f"; interpolation takes the samples to lie at “{details['alignment']}”"
    return f"{text}. Pixels of unknown depth are left out."


def _trained_seeds(runs: Sequence[Run]) -> int:
    return min((len(run.seeds) for run in runs if not run.deterministic), default=0)


def _runs_that_exist(rows: Sequence[Row], setup: Setup) -> list[Run]:
    found = []
    for row in rows:
        try:
            found.append(setup.run(row))
        except MissingResultError:
            continue
    return found
