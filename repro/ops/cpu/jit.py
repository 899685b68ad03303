"""How the CPU kernels are compiled and cached."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

log = logging.getLogger(__name__)

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    # Everything that lets sums be vectorised, but not "nnan" and "ninf": NaN must stay NaN.
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """Compile `function` at its first call; keep the machine code for later processes.

    Args:
        options: of Numba, in place of `OPTIONS`.
    """
    compiled = njit(**(OPTIONS | options))(function)
    try:
        compiled._cache = _Cache(function)
    except RuntimeError as error:  # neither beside the source nor in the user's cache folder
        log.info("kernels are compiled in every process: %s", error)
    return compiled


def inlined(function: Callable[..., Any], **options: Any) -> Any:
    """Compile `function` into its callers.

    A call hands over an array as seven values, and counts who refers to it; a small map would take
    less than that.
    """
    return njit(forceinline=True, **(OPTIONS | options))(function)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache, which notices changes of every file here, not only of the function's own.

    Kernels call what other files define, and hold its machine code.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _sources())

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(signature, target_context)
        except Exception as error:  # damaged, or of a version whose classes are gone
            log.warning("%s: the compiled kernels cannot be read again: %r", self.cache_path, error)
            self.flush()
            return None


@cache
def _sources() -> str:
    """What the files beside this one say, as a hash."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
