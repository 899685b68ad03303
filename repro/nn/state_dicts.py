"""Checkpoints as mappings from names to tensors, and the check that a network can load one."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

State = Mapping[str, Tensor]


def checked(found: State, wanted: State) -> dict[str, Tensor]:
    """`found` in the order of `wanted`, if it has exactly its names and shapes.

    Raises:
        KeyError: entries are missing, or belong to nothing; the message names them.
        ValueError: an entry has another shape; the message names it.
    """
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    if missing or unknown:
        raise KeyError(f"missing: {_some(missing)}; belonging to nothing: {_some(unknown)}")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise ValueError(
                f"{name} must be {tuple(tensor.shape)}, got {tuple(found[name].shape)}"
            )
    return {name: found[name] for name in wanted}


def owner(name: str, prefixes: Mapping[str, object]) -> tuple[str | None, str]:
    """The layer that an entry belongs to, if it is one of `prefixes`, and its name in there."""
    prefix = next((prefix for prefix in prefixes if name.startswith(f"{prefix}.")), None)
    return prefix, name if prefix is None else name.removeprefix(f"{prefix}.")


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
