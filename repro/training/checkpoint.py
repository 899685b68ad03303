"""Checkpoints that are whole or not there, and that say so when they are damaged.

A folder `build/resume/<key>/` belongs to one run: the key is a hash of its parameters and of the
code that decides its result, so a checkpoint can never continue a different run. Each file starts
with a digest of what follows it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from repro.files import write_json, write_with

_MAGIC = b"repro checkpoint 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_KEPT = 2  # the newest, and one to fall back on when it is damaged

_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint's bytes are not those that were written."""


def key_of(parameters: Mapping[str, Any]) -> str:
    """Short hash of whatever decides a run's result; the name of its folder."""
    text = json.dumps(parameters, sort_keys=True, default=_refuse)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values, atomically, behind a digest of themselves."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    payload = buffer.getbuffer()

    def write(file: Any) -> None:
        file.write(_MAGIC)
        file.write(hashlib.sha256(payload).digest())
        file.write(payload)

    write_with(path, write)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote, to the CPU.

    Raises:
        CheckpointError: the file is not one of ours or its digest does not fit; expected and found.
    """
    content = path.read_bytes()
    header = len(_MAGIC) + _DIGEST_BYTES
    if content[: len(_MAGIC)] != _MAGIC or len(content) < header:
        raise CheckpointError(f"{path} does not start as a checkpoint does ({len(content)} bytes)")
    expected = content[len(_MAGIC) : header]
    payload = memoryview(content)[header:]
    found = hashlib.sha256(payload).digest()
    if found != expected:
        raise CheckpointError(
            f"{path} is damaged: its sha256 should be {expected.hex()}, found {found.hex()}"
        )
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return state


class CheckpointFolder:
    """The checkpoints of one run, newest last.

    Args:
        path: the run's own folder; made if it is not there.
        about: what the key was made from, written as `run.json` for whoever looks into the folder.
    Raises:
        OSError: the folder cannot be written; the message names it.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        write_json(path / "run.json", about)

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the checkpoint of `step` and drop all but the newest two.

        A full disk does not end a run that is going well: it is logged, and training goes on.
        """
        try:
            write_checkpoint(self.path / f"step-{step:09d}.ckpt", state)
            for old in self._newest_first()[_KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("no checkpoint at step %d, training goes on: %s", step, error)

    def newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that is intact, or None; damaged ones are named in the log."""
        for path in self._newest_first():
            try:
                return read_checkpoint(path)
            except (CheckpointError, OSError) as error:
                _log.warning("checkpoint not used, trying the one before: %s", error)
                path.unlink(missing_ok=True)
        return None

    def _newest_first(self) -> list[Path]:
        return sorted(self.path.glob("step-*.ckpt"), reverse=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time work in the folder `path`; others wait, and say so.

    A killed pipeline can leave its notebook's process training; a second one started meanwhile
    waits for it here and then finds its result. The system frees the lock when a process dies.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.warning("another process is training this run (%s); waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _refuse(value: Any) -> Any:
    raise TypeError(f"a run's parameters must be plain values, got {type(value).__name__}: {value}")
