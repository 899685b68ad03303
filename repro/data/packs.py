"""Datasets that come as one archive: unpacked once, under build/data/packs, whole or not at all."""

from __future__ import annotations

import logging
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from repro import paths
from repro.data.errors import DataError

PACK_SUFFIXES = (".zip", ".tar.xz", ".tar.gz", ".tar")

log = logging.getLogger(__name__)


def unpacked(pack: Path, folder: Path | None = None) -> Path:
    """The folder that holds an archive's content.

    It is unpacked again when the archive's size or date changes.

    Args:
        pack: a .zip, .tar, .tar.gz or .tar.xz.
        folder: where unpacked archives are kept; None takes build/data/packs.
    Raises:
        DataError: the archive is truncated or no archive, or one of its names leads out of it.
        OSError: the folder cannot be written.
    """
    folder = folder or paths.build_dir() / "data" / "packs"
    status = pack.stat()
    target = folder / f"{pack.name.partition('.')[0]}-{status.st_size}-{status.st_mtime_ns}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    log.info("unpacking %s into %s", pack, target)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{target.name}.") as temporary:
        content = Path(temporary) / "content"
        try:
            _extract(pack, content)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
            raise DataError(f"cannot unpack {pack} ({status.st_size} bytes): {error}") from error
        try:
            content.rename(target)
        except OSError:  # another process was faster
            if not target.is_dir():
                raise
    for old in folder.glob(f"{pack.name.partition('.')[0]}-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _extract(pack: Path, content: Path) -> None:
    if pack.suffix == ".zip":
        with zipfile.ZipFile(pack) as archive:
            archive.extractall(content)  # names that lead out of it are cut
        return
    with tarfile.open(pack) as archive:
        archive.extractall(content, filter="data")
