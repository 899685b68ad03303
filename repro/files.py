"""Files that are either whole or absent, and whose bytes depend on their content alone."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` only if the block succeeds.

    Raises:
        OSError: the folder cannot be written; the message names it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise OSError(f"cannot write {path}: folder {path.parent}: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes it private to the user
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, digits: int | None = 10) -> None:
    """Write `value` as JSON with sorted keys and floats of at most `digits` significant digits.

    NaN and infinity become null: JSON has no word for them.
    """
    rounded = _rounded(value, digits)
    write_text(path, json.dumps(rounded, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; an unreadable file is named."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error


def write_with(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write whatever `write` puts into an open binary file, atomically."""
    with replace_atomically(path) as temporary, temporary.open("wb") as file:
        write(file)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rounded(value: Any, digits: int | None) -> Any:
    if isinstance(value, dict):
        return {str(key): _rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, digits) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return number if digits is None else float(f"{number:.{digits}g}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
