"""Read what the pipeline wrote under `results/<scale>/`, or say which command makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.files import read_json
from repro.names import require_known
from repro.report.image_errors import ImageErrors, SamplingTrial, read_image_errors, read_sampling
from repro.report.measurements import (
    Count,
    PrintedRow,
    Timing,
    read_counts,
    read_printed_rows,
    read_timings,
)
from repro.report.result_files import MissingResultError, mapping, read_result, shown
from repro.report.runs import FAMILIES, JOINT_UPSAMPLING, Run, RunFamily, parse_run

_COSTS, _OPERATOR, _BENCHMARK = "costs", "ddf_operator", "benchmark_kernels"

# The stages of dvc.yaml that error messages send the reader to.
STAGES = (*(family.stage for family in FAMILIES), _COSTS, _OPERATOR, _BENCHMARK)


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
        content = mapping(path, read_result(path, stage))
        if not family.together:
            return parse_run(method, path, content, content)
        variants = mapping(path, content.get("variants"), "variants")
        if method not in variants:
            known = ", ".join(sorted(variants)) or "none"
            raise MissingResultError(
                f"{shown(path)} has no variant {method!r} (it has: {known}); add it to the "
                f"variants of {family.folder} in params.yaml, then: dvc repro {stage}"
            )
        return parse_run(method, path, mapping(path, variants[method], method), content)

    def image_errors(self, family: RunFamily, method: str, factor: int) -> ImageErrors:
        """What a method errs on every test image of joint depth upsampling.

        Raises:
            MissingResultError: per_image.csv is missing, or that method at that factor in it.
            BrokenResultError: the file is not what the stage writes.
        """
        path = self.root / family.folder / "per_image.csv"
        found = read_image_errors(path, family.stage)
        if (method, factor) not in found:
            raise MissingResultError(
                f"{shown(path)} has no line of {method!r} at {factor}x; make it anew with: "
                f"dvc repro {family.stage} --force"
            )
        return found[method, factor]

    def sampling(self) -> tuple[SamplingTrial, ...]:
        """The interpolations under each way to sample depth, of joint depth upsampling."""
        path = self.root / JOINT_UPSAMPLING.folder / "sampling.csv"
        return read_sampling(path, JOINT_UPSAMPLING.stage)

    def cost(self, system: str) -> Mapping[str, float]:
        """Exact parameters and MACs of a full-size system.

        Raises:
            MissingResultError: costs.json is missing, or does not list the system.
        """
        path = self.root / "costs.json"
        systems = mapping(path, read_result(path, _COSTS))
        if system not in systems:
            known = ", ".join(sorted(systems))
            raise MissingResultError(
                f"{shown(path)} has no costs of {system!r} (it has: {known}); make it anew with: "
                f"dvc repro {_COSTS} --force"
            )
        return mapping(path, systems[system], system)

    def printed_rows(self, table: str) -> dict[str, PrintedRow]:
        """Row id -> what was counted for it, in `<paper>.<table>`; empty if it prints no costs.

        Raises:
            MissingResultError: printed_costs.json is missing.
            BrokenResultError: it is not what the stage writes.
        """
        return read_printed_rows(self.root / "printed_costs.json", _COSTS, table)

    def counts(self) -> tuple[Count, ...]:
        """The layers of Table 1, counted at several sizes."""
        return read_counts(self.root / "ddf_operator" / "complexity.json", _OPERATOR)

    def check(self, name: str) -> Mapping[str, Any]:
        """What notebook 10 found when it compared an operator with something independent."""
        path = self.root / "ddf_operator" / "checks.json"
        content = mapping(path, read_result(path, _OPERATOR))
        checks = {check["id"]: check for check in content.get("checks", [])}
        checked: Mapping[str, Any] = checks[require_known(f"check of {shown(path)}", name, checks)]
        return checked

    def timing(self, op: str) -> Timing:
        """One layer of Table 2, timed in inference.

        Raises:
            MissingResultError: the benchmark has not run, or not that op.
            BrokenResultError: a column is missing, a cell is no number, or an op comes twice.
        """
        path = self.root / "benchmark" / "ddf_table2.csv"
        found = read_timings(path, _BENCHMARK)
        if op not in found:
            known = ", ".join(sorted(found)) or "none"
            raise MissingResultError(
                f"{shown(path)} has no forward row of {op!r} (it has: {known}); "
                f"add it to the benchmark's parameters, then: dvc repro {_BENCHMARK}"
            )
        return found[op]

    def _run_path(self, family: RunFamily, method: str) -> Path:
        folder = self.root / family.folder
        return (folder if family.together else folder / method) / "metrics.json"
