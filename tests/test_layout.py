"""The house keeps its shape: these hold the repository to the rules that a glance cannot check."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_numba_cuda_is_a_source_root_and_not_a_package():
    # The numba-cuda distribution installs a package of that name and finds itself by it: an
    # __init__.py here would shadow it, and `from numba import cuda` would load the old target.
    assert not (ROOT / "numba_cuda" / "__init__.py").exists()


def test_numba_cuda_target_is_the_installed_distribution():
    code = "import numba.cuda, numba_cuda; print(numba.cuda.__file__); print(numba_cuda.__file__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    target, package = done.stdout.splitlines()
    assert "numba_cuda" in Path(target).parts, f"the CUDA target is Numba's built-in one: {target}"
    assert ROOT / "numba_cuda" not in Path(package).parents, package


def test_importing_the_library_imports_no_numba():
    code = (
        "import sys, repro, repro.ops, repro.nn, repro.models;"
        "print([name for name in sys.modules if name.split('.')[0] in ('numba', 'llvmlite')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_kernels_import_nothing_of_the_library():
    for path in (ROOT / "numba_cuda").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not [n for n in names if n.split(".")[0] == "repro"], path


@pytest.mark.parametrize("operator", ["ddf"])
def test_one_operator_is_one_stem_everywhere(operator):
    for place in (
        f"repro/ops/{operator}.py",
        f"repro/nn/{operator}.py",
        f"numba_cuda/repro_kernels/{operator}.py",
        f"tests/kernels/test_{operator}.py",
        f"benchmarks/bench_{operator}.py",
        f"notebooks/10_{operator}_operator.ipynb",
    ):
        assert (ROOT / place).is_file(), f"{place} is missing"


def test_the_library_does_not_print():
    # Programs talk to a person: the command line, and what it calls.
    programs = {"__main__.py", "command.py", "scale.py", "costs.py"}
    for path in (ROOT / "repro").rglob("*.py"):
        if path.name in programs:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_print = isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
            assert not is_print, f"{path}:{node.lineno} prints; use logging"


def test_no_file_is_called_utils():
    assert not list((ROOT / "repro").rglob("utils.py"))


def test_notebooks_are_committed_without_outputs():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs"), f"{path} was saved with outputs; run nbstripout on it"
            assert not cell.get("execution_count"), path
