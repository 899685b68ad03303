"""params.yaml, read the way DVC reads it.

PyYAML follows YAML 1.1, where `1e-3` is a string; DVC follows YAML 1.2, where it is a number. The
loader here adds YAML 1.2's floats, so that both see the same value, without needing DVC (a GPU host
has none).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from repro.files import write_text
from repro.names import require_known
from repro.paths import repository_root, resolve

SCALES = ("smoke", "tour", "real", "paper")


class _Yaml12Loader(yaml.SafeLoader):
    """SafeLoader with the floats of YAML 1.2."""


_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def parse(text: str) -> Any:
    """One YAML value, with the number formats of YAML 1.2."""
    return yaml.load(text, Loader=_Yaml12Loader)


def load(path: Path | None = None) -> dict[str, Any]:
    """All of params.yaml.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not YAML, or holds no mapping; the message names the file.
    """
    path = path or repository_root() / "params.yaml"
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a mapping, got {type(value).__name__}")
    return value


def load_section(section: str, scale: str, path: Path | None = None) -> dict[str, Any]:
    """The parameters of one notebook at one scale: `params.yaml`'s `<section>.<scale>`.

    Raises:
        UnknownNameError: no such section or scale, with the nearest names.
    """
    params = load(path)
    require_known("scale", scale, SCALES)
    sections = [name for name, value in params.items() if isinstance(value, dict)]
    values = params[require_known("section of params.yaml", section, sections)]
    scales = [name for name in values if name in SCALES]
    chosen = values[require_known(f"scale of {section} in params.yaml", scale, scales)]
    return dict(chosen)


def data_root() -> Path | None:
    """Where real datasets are kept: `$REPRO_DATA`, else `data_root` of params.yaml, else None.

    A relative path is taken from the repository root.
    """
    root = os.environ.get("REPRO_DATA") or load().get("data_root")
    return resolve(root) if root else None


def set_scale(scale: str, path: Path | None = None) -> None:
    """Write `scale` into params.yaml, every other byte left as it is.

    Raises:
        UnknownNameError: there is no such scale.
        ValueError: the file has no line `scale: ...` to change.
    """
    require_known("scale", scale, SCALES)
    path = path or repository_root() / "params.yaml"
    text, changed = re.subn(
        r"(?m)^scale:\s*\w+", f"scale: {scale}", path.read_text(encoding="utf-8")
    )
    if changed != 1:
        raise ValueError(f"{path} must hold one line `scale: ...`, got {changed}")
    write_text(path, text)
