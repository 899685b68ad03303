"""What was counted on layers and networks, and timed on layers, as the stages write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.report.result_files import BrokenResultError, mapping, read_result, read_rows, shown


@dataclass(frozen=True)
class Count:
    """What one layer of Table 1 costs at one size; see `repro.report.complexity`."""

    system: str
    channels: int
    kernel_size: int
    squeeze_ratio: float | None
    pixels: int
    params: int
    macs: int
    filter_values: int | None


@dataclass(frozen=True)
class PrintedCost:
    """An exact cost beside the printed one, in the column's unit; see `repro.models.rows`.

    `printed`, and with it `verdict`, is None where the paper leaves the cell empty; `note` says why
    the two differ, if they do.
    """

    counted: float
    printed: float | None
    verdict: str | None
    note: str | None


@dataclass(frozen=True)
class PrintedRow:
    """The network that a printed row is (of a detector: its backbone), and its costs by column."""

    network: str
    costs: Mapping[str, PrintedCost]


@dataclass(frozen=True)
class Timing:
    """One row of the benchmark: milliseconds (median, 20th and 80th percentile), and MiB."""

    op: str
    backend: str
    shape: str
    dtype: str
    device: str
    median_ms: float
    p20_ms: float
    p80_ms: float
    peak_mib: float


def read_counts(path: Path, stage: str) -> tuple[Count, ...]:
    """The counts in complexity.json; see `repro.report.complexity` for its form."""
    content = mapping(path, read_result(path, stage))
    entries = content.get("counts")
    if not isinstance(entries, list) or not entries:
        raise BrokenResultError(f"{shown(path)} must hold a list of counts, got {type(entries)}")
    fields = Count.__dataclass_fields__
    try:
        return tuple(Count(**{name: entry[name] for name in fields}) for entry in entries)
    except KeyError as error:
        raise BrokenResultError(f"{shown(path)}: a count lacks {error}") from error


def read_printed_rows(path: Path, stage: str, table: str) -> dict[str, PrintedRow]:
    """The rows of one table, `<paper>.<table>`, in printed_costs.json, by row id."""
    rows = mapping(path, read_result(path, stage))
    found = {}
    for address, row in rows.items():
        if not address.startswith(f"{table}."):
            continue
        try:
            costs = {name: PrintedCost(**cost) for name, cost in row["costs"].items()}
            found[address.removeprefix(f"{table}.")] = PrintedRow(row["network"], costs)
        except (KeyError, TypeError, AttributeError) as error:
            raise BrokenResultError(f"{shown(path)}: {address}: {error!r}") from error
    return found


def read_timings(path: Path, stage: str) -> dict[str, Timing]:
    """The forward rows of a benchmark, by op."""
    found: dict[str, Timing] = {}
    for row in read_rows(path, stage):
        if row.get("mode") != "forward":
            continue
        timing = _timing(path, row)
        if timing.op in found:
            raise BrokenResultError(f"{shown(path)} has two forward rows of the op {timing.op!r}")
        found[timing.op] = timing
    return found


def _timing(path: Path, row: Mapping[str, Any]) -> Timing:
    try:
        return Timing(
            op=row["op"],
            backend=row["backend"],
            shape=row["shape"],
            dtype=row["dtype"],
            device=row.get("device") or row.get("gpu") or "unknown device",
            median_ms=float(row["median_ms"]),
            p20_ms=float(row["p20_ms"]),
            p80_ms=float(row["p80_ms"]),
            peak_mib=float(row["peak_mib"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise BrokenResultError(f"{shown(path)}: row {row.get('op')!r}: {error!r}") from error
