"""One way to refuse a name that is not known: say what kind it is, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownNameError(ValueError):
    """A method, dataset, scale or parameter of that name does not exist."""


def require_known(kind: str, name: str, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`.

    Args:
        kind: what is being named, for the message: "dataset", "scale", "method".
        name: the name that was given.
        known: every name that would be accepted.
    Raises:
        UnknownNameError: with the nearest names, or all of them when none is near.
    """
    names = sorted(known)
    if name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    raise UnknownNameError(f"unknown {kind} {name!r}; {hint}")
