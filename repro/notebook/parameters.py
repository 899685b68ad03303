"""The parameters a notebook declares, and whether what it is given fits them.

papermill only warns about a parameter the notebook does not know, and injects any type. A mistyped
name would then run the default and be recorded as if it were the experiment asked for, so both are
errors here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from repro.names import require_known
from repro.params import parse


class NotebookParameterError(ValueError):
    """A notebook's parameters cell, or a value given for it, is not usable."""


def declared(notebook: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Name and default of every parameter of a notebook.

    Args:
        notebook: the parsed .ipynb.
        name: the notebook's name, for messages.
    Raises:
        NotebookParameterError: not exactly one code cell is tagged `parameters`, or a line of it is
            not `name = literal`.
    """
    cells = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", [])
    ]
    if len(cells) != 1:
        raise NotebookParameterError(
            f"{name} must have one code cell tagged 'parameters', got {len(cells)}"
        )
    source = "".join(cells[0]["source"])
    defaults: dict[str, Any] = {}
    for statement in ast.parse(source).body:
        line = ast.get_source_segment(source, statement)
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            raise NotebookParameterError(
                f"{name}: the parameters cell takes one `name = literal` a line, got `{line}`"
            )
        try:
            defaults[statement.targets[0].id] = ast.literal_eval(statement.value)
        except ValueError as error:
            raise NotebookParameterError(
                f"{name}: the parameters cell takes literals only, got `{line}`; derived values "
                "belong in the next cell, where an injected value reaches them"
            ) from error
    return defaults


def checked(given: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`given`, each value of its default's type.

    An int is taken for a float. A default of None takes anything.

    Raises:
        UnknownNameError: the notebook declares no parameter of that name.
        NotebookParameterError: a value is of another type than the default.
    """
    values = {}
    for key, value in given.items():
        require_known(f"parameter of {name}", key, defaults)
        values[key] = _as_type_of(defaults[key], value, key, name)
    return values


def parse_assignments(
    assignments: list[str], defaults: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """Values from `key=value` words; a parameter whose default is text is taken as it stands.

    Raises:
        NotebookParameterError: a word holds no `=`.
        UnknownNameError: the notebook declares no parameter of that name.
    """
    values = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        if not equals:
            raise NotebookParameterError(f"expected name=value, got {word!r}")
        require_known(f"parameter of {name}", key, defaults)
        values[key] = text if isinstance(defaults[key], str) else parse(text)
    return values


def _as_type_of(default: Any, value: Any, key: str, name: str) -> Any:
    if default is None:
        return value
    expected = type(default)
    if expected is float and type(value) is int:
        return float(value)
    if type(value) is not expected:
        raise NotebookParameterError(
            f"parameter {key} of {name} must be {expected.__name__} like its default {default!r}, "
            f"got {type(value).__name__} {value!r}"
        )
    if isinstance(value, list) and default:
        return [_as_type_of(default[0], item, f"{key}[{i}]", name) for i, item in enumerate(value)]
    return value
