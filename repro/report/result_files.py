"""Open a file of a results tree, or say which command makes it and what is wrong with it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from repro.files import read_json
from repro.paths import repository_root


class MissingResultError(FileNotFoundError):
    """A stage whose result a table or a claim needs has not run."""


class BrokenResultError(ValueError):
    """A result file is there but does not hold what its stage writes."""


def read_result(path: Path, stage: str) -> Any:
    """The JSON that a stage wrote.

    Raises:
        MissingResultError: it is not there; the message names the command that makes it.
        BrokenResultError: it is not JSON.
    """
    if not path.is_file():
        raise missing(path, stage)
    try:
        return read_json(path)
    except ValueError as error:
        why = f"is not valid JSON ({error.__cause__})"
        command = f"dvc repro {stage} --force"
        raise BrokenResultError(f"{shown(path)} {why}; make it anew with: {command}") from error


def read_rows(path: Path, stage: str) -> list[dict[str, str]]:
    """The lines of a CSV that a stage wrote, by the names in its first line.

    Raises:
        MissingResultError: it is not there; the message names the command that makes it.
    """
    if not path.is_file():
        raise missing(path, stage)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shown(path: Path) -> Path:
    """A path as a reader of the repository knows it; the report must not tell where it lies."""
    root = repository_root()
    return path.relative_to(root) if path.is_relative_to(root) else path


def missing(path: Path, stage: str) -> MissingResultError:
    """The error for a file that a stage has not written."""
    return MissingResultError(f"{shown(path)} is missing; make it with: dvc repro {stage}")


def mapping(path: Path, value: Any, where: str = "it") -> Mapping[str, Any]:
    """`value` as the mapping it must be, or BrokenResultError."""
    if not isinstance(value, dict):
        raise BrokenResultError(
            f"{shown(path)}: {where} must be a mapping, got {type(value).__name__}"
        )
    return value
