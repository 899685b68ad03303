"""The sentences under the tables of semantic segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.papers import Row
from repro.report.columns import ColumnKind, Setup
from repro.report.notes import describe_runs
from repro.report.result_files import MissingResultError
from repro.report.runs import Run

# Table -> the dataset that its runs would need, and the size of the image FLOPs are counted for.
_PAPER = {
    "table2": ("ade20k", "512×512"),
    "table4": ("cityscapes", "512×1024"),
    "table5": ("ade20k", "640×640"),
}
# What stands beside the printed figures: of the architectures' own sources, none of FDConv's.
_REFERENCES = {
    "table2": "For reference, MMSegmentation's UPerNet R50 with 80k iterations: 40.70 with one "
    "scale, 41.81 with several.",
    "table5": "MaskDINO Swin-L without FDConv would be 56.7 by the stated gain (57.2 − 0.5).",
}


def below(
    kinds: Sequence[ColumnKind], rows: Sequence[Row], setup: Setup, beside: Setup | None
) -> tuple[str, ...]:
    """The notes of one table, in the order a reader needs them."""
    runs = [setup.run(row) for row in rows]
    dataset, size = _PAPER[setup.table.id]
    written = [f"Ours: {describe(runs[0])}.{_stand_in(runs[0].details, dataset)}"]
    if beside is not None and (published := _published(rows, beside)):
        written.append(f"Published with this project: {describe(published)}.")
    written += [
        "mIoU: mean over the classes of intersection over union, pixels of all test images added "
        "up before they are divided; in brackets the 95 % interval of the mean over seeds (Student "
        "t).",
        f"Δ: mIoU less that of {_bases(setup)} on the same images and seeds. In brackets: 95 % "
        "interval over images (bootstrap) and seeds (Student t); none with a single seed.",
        f"Params and FLOPs: exact counts of the full-size networks, FLOPs at {size} (one "
        "multiply-accumulate is one FLOP; bilinear sampling and Fourier transforms are not among "
        "them). The trained networks are small versions of them.",
    ]
    scales = runs[0].details.get("multi_scales")
    if setup.table.id == "table2" and scales:
        listed = ", ".join(f"{scale:g}" for scale in scales)
        written.append(f"mIoU MS: averaged over the scales {listed}, each also mirrored.")
    if setup.table.id == "table2":
        written.append(
            "Verdicts on added params: the paper's 65 M and 4 M reached us rounded to a million, "
            "at second hand; “exact” says no more than that ours round to the same."
        )
    if setup.table.id == "table5":
        written.append(
            "Which linear layers of Swin FDConv replaced is not published. Counted here: those of "
            "the feed-forward parts, the last stage left out; of the feed-forward candidates the "
            "nearest to the +3 M that second-hand notes give for Swin-T (2.81 M)."
        )
    written.append(_provenance(rows, setup))
    return tuple(written)


def describe(run: Run) -> str:
    """Dataset, size and budget of a run."""
    text = describe_runs(run.details, len(run.seeds))
    steps = run.details.get("steps")
    return f"{text}, {steps:,} training steps" if isinstance(steps, int) else text


def _stand_in(details: Mapping[str, Any], dataset: str) -> str:
    if details.get("dataset") == dataset and details.get("size") == "full":
        return ""
    text = (
        f" A small stand-in for {dataset}, trained from scratch: compare signs and differences "
        "with the paper, not mIoU."
    )
    floor = details.get("floor")
    if isinstance(floor, Mapping) and isinstance(floor.get("miou"), int | float):
        text += (
            f" Each pixel's commonest class in training, without looking at the image, gives "
            f"{floor['miou']:.1f} %."
        )
    return text


def _bases(setup: Setup) -> str:
    return ", ".join(f"“{setup.table.row(base).name}”" for base in setup.bases)


def _provenance(rows: Sequence[Row], setup: Setup) -> str:
    """What of the paper's side could not be read in the paper."""
    text = (
        "On the printed table: its text was not available to us. The figures are second-hand, from "
        "notes on the paper; rows and cells that those leave out are not known."
    )
    inferred = [row.name for row in rows if row.note and "inferred" in row.note]
    if inferred:
        text += f" Inferred from the caption alone: {', '.join(inferred)}."
    if reference := _REFERENCES.get(setup.table.id):
        text += f" {reference}"
    return text


def _published(rows: Sequence[Row], beside: Setup) -> Run | None:
    for row in rows:
        try:
            return beside.run(row)
        except MissingResultError:
            continue
    return None
