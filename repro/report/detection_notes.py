"""The sentences under the tables of detection."""

from __future__ import annotations

from collections.abc import Sequence

from repro.papers import Row
from repro.report import notes
from repro.report.columns import (
    ADDED_FLOPS,
    ADDED_PARAMS,
    FLOPS,
    UPSAMPLER_FLOPS,
    ColumnKind,
    Setup,
)
from repro.report.result_files import MissingResultError
from repro.report.runs import Run

_BLIND = ("whole_image", "grid")  # trivial detectors that do not look at the image

_COSTS = {
    UPSAMPLER_FLOPS: (
        "FLOPs of the upsamplers: exact count of the three upsamplings of a pyramid of 256 "
        "channels at 1280×800, multiply-accumulates and one operation an interpolated value"
    ),
    FLOPS: (
        "Params and FLOPs of a whole detector: exact counts at full size for COCO, FLOPs at "
        "1280×800 with 1000 regions (100 for masks), a multiply-accumulate and an element-wise "
        "operation each as one"
    ),
    ADDED_FLOPS: (
        "Added FLOPs: exact count of the full-size backbone less ResNet-50's at 1280×800, a "
        "multiply-accumulate as one"
    ),
    ADDED_PARAMS: "Added params: exact count at full size less the plain detector's",
}


def below(
    kinds: Sequence[ColumnKind], rows: Sequence[Row], setup: Setup, beside: Setup | None
) -> tuple[str, ...]:
    """The notes of one table, in the order a reader needs them."""
    runs = [(row, setup.run(row)) for row in rows]
    written = [f"Ours: {_blocks(runs, setup)}."]
    if any(notes.is_stand_in(run.details, "coco") for _, run in runs):
        written.append(
            "A small stand-in for COCO, trained from scratch unless the line above says otherwise: "
            "compare signs and differences with the paper, not accuracies."
        )
    if beside is not None and (published := _that_exist(rows, beside)):
        written.append(f"Published with this project: {_blocks(published, beside)}.")
    written += _floors([run for _, run in runs])
    base = ", ".join(f"“{setup.table.row(base).name}”" for base in setup.bases)
    written += [
        "AP in brackets: 95 % interval of the mean over seeds (Student t). Small, medium and "
        "large: by area, COCO's limits scaled to the images.",
        f"Δ: difference to {base}, paired by seed.",
        *(f"{text}." for kind, text in _COSTS.items() if kind in kinds),
        "The percentage of a cost is the distance from the paper's rounded figure.",
        *notes.verdicts(kinds, rows, setup),
    ]
    if setup.table.note:
        written.append(f"On the printed table: {setup.table.note.rstrip('.')}.")
    return tuple(written)


def blind_floor(run: Run) -> float | None:
    """The AP of the best detector that does not look at the image; None if it was not measured."""
    floors = run.details.get("floors", {}).get(run.details.get("dataset"), {})
    values = [float(floors[name]["ap"]) for name in _BLIND if name in floors]
    return max(values, default=None)


def _blocks(runs: Sequence[tuple[Row, Run]], setup: Setup) -> str:
    """On what each block was trained: once, if all were trained alike."""
    told: dict[str, str] = {}
    for row, run in runs:
        told.setdefault(setup.base_of(row).name, _describe(run))
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{base}: {text}" for base, text in told.items())


def _describe(run: Run) -> str:
    start = " from ImageNet weights" if run.details.get("pretrained") else " from scratch"
    norm = ", group norm" if run.details.get("norm") == "group" else ""
    return f"{notes.describe_runs(run.details, len(run.seeds))}{start}{norm}"


def _floors(runs: Sequence[Run]) -> list[str]:
    """What is reached without looking at the image, on each dataset."""
    found: dict[str, float] = {}
    for run in runs:
        floor = blind_floor(run)
        if floor is not None:
            found[str(run.details["dataset"])] = floor
    return [
        f"Boxes that do not depend on the image reach an AP of {value:.2f} % on {name}: a row that "
        "is no higher has learnt nothing."
        for name, value in found.items()
    ]


def _that_exist(rows: Sequence[Row], setup: Setup) -> list[tuple[Row, Run]]:
    found = []
    for row in rows:
        try:
            found.append((row, setup.run(row)))
        except MissingResultError:
            continue
    return found
