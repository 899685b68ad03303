"""The sentences under a table: what our figures rest on, so that none is taken for the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repro.papers import Row
from repro.report.columns import ADDED_FLOPS, ColumnKind, Difference, Exact, Metric, Setup, Timed
from repro.report.complexity import SIZE, Counted
from repro.report.result_files import MissingResultError


def below(
    kinds: Sequence[ColumnKind], rows: Sequence[Row], setup: Setup, beside: Setup | None
) -> tuple[str, ...]:
    """The notes of one table, in the order a reader needs them."""
    written: list[str] = []
    if setup.family is not None:
        written.append(f"Ours: {_runs(rows, setup)}")
        if beside is not None and (published := _published(rows, beside)):
            written.append(f"Published with this project: {published}")
    if any(isinstance(kind, Metric) for kind in kinds):
        written.append("In brackets: 95 % interval of the mean over seeds (Student t).")
    if any(isinstance(kind, Difference) for kind in kinds):
        base = ", ".join(f"“{setup.table.row(base).name}”" for base in setup.bases)
        written.append(f"Δ: difference to {base}, paired by seed.")
    if any(isinstance(kind, Exact) for kind in kinds):
        adds = any(kind is ADDED_FLOPS for kind in kinds)
        what = (
            "Added params and FLOPs: exact counts of the full-size backbone less ResNet-50's, "
            "FLOPs at 1280×800"
            if adds
            else "Params and FLOPs: exact counts of the paper's full-size network at 224×224"
        )
        written.append(
            f"{what} (one multiply-accumulate is one FLOP); the percentage is the distance from "
            "the paper's rounded figure."
        )
        written += verdicts(kinds, rows, setup)
    if any(isinstance(kind, Counted) for kind in kinds):
        written.append(_counted())
    if any(isinstance(kind, Timed) for kind in kinds):
        written.append(_timed(rows, setup))
    if setup.table.note:
        written.append(f"On the printed table: {setup.table.note.rstrip('.')}.")
    return tuple(written)


def verdicts(kinds: Sequence[ColumnKind], rows: Sequence[Row], setup: Setup) -> list[str]:
    """What the verdicts on counted costs mean, and for each cause the cells that differ by it."""
    labels = {kind.column_id: kind.label for kind in kinds if isinstance(kind, Exact)}
    judged = False
    causes: dict[tuple[str, str], list[str]] = {}  # (column, cause) -> rows
    for row in (row for row in rows if row.id in setup.printed):
        for column, cost in setup.printed[row.id].costs.items():
            if column in labels:
                judged |= cost.verdict is not None
                if cost.note is not None:
                    causes.setdefault((labels[column], cost.note), []).append(f"“{row.name}”")
    if not judged:
        return []
    return [
        "“exact”: equal to the paper's figure as it is rounded; else “within 2 %” or “differs”.",
        *(
            f"{label} of {', '.join(dict.fromkeys(names))}: {cause}."
            for (label, cause), names in causes.items()
        ),
    ]


def describe_runs(details: Mapping[str, Any], seeds: int) -> str:
    """Dataset, size and budget of a run, as far as its metrics.json tells them."""
    parts = [str(details["dataset"])] if "dataset" in details else []
    side = details.get("image_size")
    if isinstance(side, int):
        parts[-1:] = [f"{parts[-1] if parts else 'images'} at {side}×{side}"]
    for key, what, one in (
        ("num_classes", "classes", "class"),
        ("train_images", "training images", "training image"),
        ("test_images", "test images", "test image"),
        ("epochs", "epochs", "epoch"),
    ):
        if isinstance(details.get(key), int):
            parts.append(f"{details[key]:,} {what if details[key] != 1 else one}")
    if "size" in details:
        parts.append(f"{details['size']} networks")
    parts.append("one seed" if seeds == 1 else f"{seeds} seeds")
    return ", ".join(parts)


def is_stand_in(details: Mapping[str, Any], dataset: str = "imagenet") -> bool:
    """Whether a run differs from the paper's experiment in more than chance."""
    return details.get("dataset") != dataset or details.get("size") == "small"


def _runs(rows: Sequence[Row], setup: Setup) -> str:
    runs = [setup.run(row) for row in rows]
    details = runs[0].details
    seeds = min(len(run.seeds) for run in runs)
    text = f"{describe_runs(details, seeds)}."
    if is_stand_in(details):
        paper = setup.table.dataset or "the paper's data"
        text += (
            f" A small stand-in for {paper}: compare signs and differences with the paper, "
            "not accuracies."
        )
        if isinstance(classes := details.get("num_classes"), int):
            text += f" Guessing gives a top-1 of {100 / classes:.3g} %."
    return text


def _published(rows: Sequence[Row], beside: Setup) -> str | None:
    for row in rows:
        try:
            run = beside.run(row)
        except MissingResultError:
            continue
        return f"{describe_runs(run.details, len(run.seeds))}."
    return None


def _counted() -> str:
    return (
        f"Formulas evaluated and layers counted at c = {SIZE.channels}, k = {SIZE.kernel_size}, "
        f"σ = {SIZE.squeeze_ratio}, n = {SIZE.pixels} (56×56); weights without biases and norm "
        "scales, as in the paper. The built layer rounds σc down to a whole number. Growth: the "
        "exponent with which time grows; the formula's on large images, and ours fitted to the "
        "counted multiply-accumulates (MACs)."
    )


def _timed(rows: Sequence[Row], setup: Setup) -> str:
    timings = [setup.results.timing(row.id) for row in rows]
    first = timings[0]
    backends = ", ".join(f"{row.name}: {t.backend}" for row, t in zip(rows, timings, strict=True))
    return (
        f"Measured here on {first.device}, input {first.shape}, {first.dtype}; {backends}. In "
        "brackets: 20th to 80th percentile of the latency; for a ratio, the widest range these "
        "allow. The paper timed a GPU it does not name, so compare ratios, not milliseconds."
    )
