"""Which of our source files a run depends on, and a digest of what they say."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_OURS = ("repro", "repro_kernels")


# Files that change after this moment may differ from what the process has in memory.
_LOADED_NS = time.time_ns()


@functools.cache
def source_digest(*modules: str) -> str:
    """Digest of the code that `modules` and all they import, of ours, consist of.

    A process computes it once, for the code that it has in memory: a file edited while the process
    runs does not change what the process does, nor this.

    Args:
        modules: names of imported modules, such as the one that defines a task. One that is not
            ours (a test, a script) counts with its own file and what that imports of ours.
    Raises:
        ValueError: a module has no file, as one made of notebook cells; or a file was changed after
            it was imported, so that nobody can say what is in memory.
    """
    files: dict[str, Path] = {}
    for name in modules:
        if not _is_ours(name):
            files[name] = _file_of_outsider(name)
            files |= imported_files(_imports_of(name, files[name]))
        else:
            files |= imported_files([name])
    for name, path in files.items():
        # A date in the future comes from a wrong clock, not from an edit.
        if name in sys.modules and _LOADED_NS < path.stat().st_mtime_ns <= time.time_ns():
            raise ValueError(
                f"{path} was changed after this process imported it, so a checkpoint could not "
                "tell which of the two it belongs to; restart the process (the notebook's kernel)"
            )
    return digest_of(files)


def digest_of(files: Mapping[str, Path]) -> str:
    """Digest of the code in `files`, by module name.

    Comments, docstrings and layout do not count: rewording one retrains nothing.
    """
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\n{_read(path, path.stat().st_mtime_ns).meaning}\n".encode())
    return digest.hexdigest()


def imported_files(modules: Iterable[str]) -> dict[str, Path]:
    """Module name -> file, for each of `modules` that is ours and all of ours they import.

    The imports are read from the source, those inside functions and those named by a string (a
    registry's "repro.ops.cpu") included, so the answer does not depend on what this process has
    happened to import. A module counts with the packages around it, which Python runs first.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file_of(name) if _is_ours(name) else None
        if name in found or path is None:
            continue
        found[name] = path
        waiting += [*_imports_of(name, path), name.rpartition(".")[0]]
    return found


@dataclass(frozen=True)
class _Source:
    meaning: str  # the syntax tree without docstrings
    mentioned: tuple[str, ...]  # names of imported modules, relative ones with their dots; strings


@functools.cache
def _read(path: Path, changed_ns: int) -> _Source:
    """Read a source file; `changed_ns` renews the memory when the file changes."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    mentioned = tuple(dict.fromkeys(_mentioned(tree)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return _Source(ast.dump(tree), mentioned)


def _mentioned(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            joint = "." if node.module else ""
            if node.module:
                yield base
            yield from (f"{base}{joint}{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and str(node.value).partition(".")[0] in _OURS:
            yield str(node.value)


def _imports_of(name: str, path: Path) -> list[str]:
    """Names of ours that a file mentions, absolute; some name a function, not a module."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    mentioned = _read(path, path.stat().st_mtime_ns).mentioned
    absolute = [
        importlib.util.resolve_name(module, package) if module.startswith(".") else module
        for module in mentioned
    ]
    return [module for module in absolute if _is_ours(module)]


def _is_ours(name: str) -> bool:
    first, *rest = name.split(".")
    return first in _OURS and all(part.isidentifier() for part in rest)


def _file_of(name: str) -> Path | None:
    """The file of a module of ours, without importing it; None if there is no such module."""
    first, *rest = name.split(".")
    spec = importlib.util.find_spec(first)
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location, *rest)
        for candidate in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if candidate.is_file():
                return candidate
    return None


def _file_of_outsider(name: str) -> Path:
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        raise ValueError(
            f"module {name} has no source file, so its code cannot be hashed; define the task in a "
            "file, or train without checkpoints (resume_dir=None)"
        )
    return Path(file)
