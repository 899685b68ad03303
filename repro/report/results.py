"""Read what the pipeline wrote under `results/<scale>/`, or say which command makes it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.files import read_json
from repro.names import require_known
from repro.paths import repository_root
from repro.stats import by_seed


class MissingResultError(FileNotFoundError):
    """A stage whose result a table or a claim needs has not run."""


class BrokenResultError(ValueError):
    """A result file is there but does not hold what its stage writes."""


@dataclass(frozen=True)
class RunFamily:
    """Where the runs of one kind lie, and which stage makes them.

    Attributes:
        folder: below `results/<scale>/`.
        stage: the stage in dvc.yaml.
        together: one `metrics.json` holds all methods under "variants", because one process trains
            them; otherwise every method has a folder, and a stage `<stage>@<method>`.
    """

    folder: str
    stage: str
    together: bool = False


CLASSIFICATION = RunFamily("classification", "train_classification")
DDF_ABLATION = RunFamily("ablate_ddf", "ablate_ddf", together=True)
FDCONV_ABLATION = RunFamily("ablate_fdconv", "ablate_fdconv", together=True)
COMPARISON = RunFamily("compare_networks", "compare_networks", together=True)

_COSTS, _OPERATOR, _BENCHMARK = "costs", "ddf_operator", "benchmark_kernels"

# The stages of dvc.yaml that error messages send the reader to.
STAGES = (
    CLASSIFICATION.stage,
    DDF_ABLATION.stage,
    FDCONV_ABLATION.stage,
    COMPARISON.stage,
    _COSTS,
    _OPERATOR,
    _BENCHMARK,
)


@dataclass(frozen=True)
class Run:
    """One method at one scale: a list of figures a metric, one figure a seed.

    A seed whose training broke down has None where its figure would be.
    """

    method: str
    path: Path
    seeds: tuple[int, ...]
    values: Mapping[str, tuple[float | None, ...]]
    details: Mapping[str, Any]

    def figures(self, metric: str) -> dict[int, float]:
        """Seed -> figure, without the seeds that have none.

        Raises:
            BrokenResultError: the run did not record that metric.
        """
        if metric not in self.values:
            known = ", ".join(sorted(self.values))
            raise BrokenResultError(f"{self.path} lacks {metric!r} of {self.method}; has: {known}")
        pairs = zip(self.seeds, self.values[metric], strict=True)
        kept = [(seed, figure) for seed, figure in pairs if figure is not None]
        return by_seed([seed for seed, _ in kept], [figure for _, figure in kept])


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


@dataclass(frozen=True)
class Results:
    """A results tree: `results/<scale>/` or `results/published/`."""

    root: Path

    def has(self, family: RunFamily, method: str) -> bool:
        """Whether that run is there."""
        path = self._run_path(family, method)
        if not path.is_file():
            return False
        return not family.together or method in read_json(path).get("variants", {})

    def run(self, family: RunFamily, method: str) -> Run:
        """The metrics of one method.

        Raises:
            MissingResultError: it has not been run; the message names the file and the command.
            BrokenResultError: metrics.json is not what the stage writes.
        """
        path = self._run_path(family, method)
        stage = family.stage if family.together else f"{family.stage}@{method}"
        content = _mapping(path, self._read(path, stage))
        if not family.together:
            return _run(method, path, content, content)
        variants = _mapping(path, content.get("variants"), "variants")
        if method not in variants:
            known = ", ".join(sorted(variants)) or "none"
            raise MissingResultError(
                f"{_shown(path)} has no variant {method!r} (it has: {known}); add it to the "
                f"variants of {family.folder} in params.yaml, then: dvc repro {stage}"
            )
        return _run(method, path, _mapping(path, variants[method], method), content)

    def cost(self, system: str) -> Mapping[str, float]:
        """Exact parameters and MACs of a full-size system.

        Raises:
            MissingResultError: costs.json is missing, or does not list the system.
        """
        path = self.root / "costs.json"
        systems = _mapping(path, self._read(path, _COSTS))
        if system not in systems:
            known = ", ".join(sorted(systems))
            raise MissingResultError(
                f"{_shown(path)} has no costs of {system!r} (it has: {known}); make it anew with: "
                f"dvc repro {_COSTS} --force"
            )
        return _mapping(path, systems[system], system)

    def printed_rows(self, table: str) -> dict[str, PrintedRow]:
        """Row id -> what was counted for it, in `<paper>.<table>`; empty if it prints no costs.

        Raises:
            MissingResultError: printed_costs.json is missing.
            BrokenResultError: it is not what the stage writes.
        """
        path = self.root / "printed_costs.json"
        rows = _mapping(path, self._read(path, _COSTS))
        found = {}
        for address, row in rows.items():
            if not address.startswith(f"{table}."):
                continue
            try:
                costs = {name: PrintedCost(**cost) for name, cost in row["costs"].items()}
                found[address.removeprefix(f"{table}.")] = PrintedRow(row["network"], costs)
            except (KeyError, TypeError, AttributeError) as error:
                raise BrokenResultError(f"{_shown(path)}: {address}: {error!r}") from error
        return found

    def counts(self) -> tuple[Count, ...]:
        """The layers of Table 1, counted at several sizes."""
        path = self.root / "ddf_operator" / "complexity.json"
        content = _mapping(path, self._read(path, _OPERATOR))
        entries = content.get("counts")
        if not isinstance(entries, list) or not entries:
            raise BrokenResultError(
                f"{_shown(path)} must hold a list of counts, got {type(entries)}"
            )
        fields = Count.__dataclass_fields__
        try:
            return tuple(Count(**{name: entry[name] for name in fields}) for entry in entries)
        except KeyError as error:
            raise BrokenResultError(f"{_shown(path)}: a count lacks {error}") from error

    def check(self, name: str) -> Mapping[str, Any]:
        """What notebook 10 found when it compared an operator with something independent."""
        path = self.root / "ddf_operator" / "checks.json"
        content = _mapping(path, self._read(path, _OPERATOR))
        checks = {check["id"]: check for check in content.get("checks", [])}
        checked: Mapping[str, Any] = checks[require_known(f"check of {_shown(path)}", name, checks)]
        return checked

    def timing(self, op: str) -> Timing:
        """One layer of Table 2, timed in inference.

        Raises:
            MissingResultError: the benchmark has not run, or not that op.
            BrokenResultError: a column is missing, a cell is no number, or an op comes twice.
        """
        found = self._timings()
        if op not in found:
            known = ", ".join(sorted(found)) or "none"
            raise MissingResultError(
                f"{_shown(self._timings_path)} has no forward row of {op!r} (it has: {known}); "
                f"add it to the benchmark's parameters, then: dvc repro {_BENCHMARK}"
            )
        return found[op]

    @property
    def _timings_path(self) -> Path:
        return self.root / "benchmark" / "ddf_table2.csv"

    def _timings(self) -> Mapping[str, Timing]:
        path = self._timings_path
        if not path.is_file():
            raise _missing(path, _BENCHMARK)
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("mode") == "forward"]
        found: dict[str, Timing] = {}
        for row in rows:
            timing = _timing(path, row)
            if timing.op in found:
                raise BrokenResultError(
                    f"{_shown(path)} has two forward rows of the op {timing.op!r}"
                )
            found[timing.op] = timing
        return found

    def _run_path(self, family: RunFamily, method: str) -> Path:
        folder = self.root / family.folder
        return (folder if family.together else folder / method) / "metrics.json"

    def _read(self, path: Path, stage: str) -> Any:
        if not path.is_file():
            raise _missing(path, stage)
        try:
            return read_json(path)
        except ValueError as error:
            why = f"is not valid JSON ({error.__cause__})"
            command = f"dvc repro {stage} --force"
            raise BrokenResultError(
                f"{_shown(path)} {why}; make it anew with: {command}"
            ) from error


def _shown(path: Path) -> Path:
    """A path as a reader of the repository knows it; the report must not tell where it lies."""
    root = repository_root()
    return path.relative_to(root) if path.is_relative_to(root) else path


def _missing(path: Path, stage: str) -> MissingResultError:
    return MissingResultError(f"{_shown(path)} is missing; make it with: dvc repro {stage}")


def _run(method: str, path: Path, content: Mapping[str, Any], details: Mapping[str, Any]) -> Run:
    seeds = content.get("seeds", details.get("seeds"))
    if not isinstance(seeds, list) or not seeds:
        raise BrokenResultError(f"{_shown(path)} must list the seeds of {method}, got {seeds!r}")
    values: dict[str, tuple[float | None, ...]] = {}
    for name, entry in content.items():
        if name == "seeds" or not isinstance(entry, list):
            continue
        if not all(item is None or isinstance(item, int | float) for item in entry):
            continue
        if len(entry) != len(seeds):
            counts = f"{len(seeds)} seeds but {len(entry)} figures of {name!r}"
            raise BrokenResultError(f"{_shown(path)}: {method} has {counts}")
        values[name] = _finite(entry)
    return Run(method, path, tuple(seeds), values, details)


def _finite(entry: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if x is None or not math.isfinite(x) else float(x) for x in entry)


def _timing(path: Path, row: Mapping[str, str]) -> Timing:
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
        raise BrokenResultError(f"{_shown(path)}: row {row.get('op')!r}: {error!r}") from error


def _mapping(path: Path, value: Any, where: str = "it") -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BrokenResultError(
            f"{_shown(path)}: {where} must be a mapping, got {type(value).__name__}"
        )
    return value
