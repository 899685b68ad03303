"""dvc.yaml says what each stage needs: all of it, and nothing it does not need."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

from repro.__main__ import VERBS
from repro.params import SCALES, load
from repro.training.source import imported_files

ROOT = Path(__file__).resolve().parents[1]
STAGES = {stage.addressing: stage for stage in Repo(str(ROOT)).index.stages if stage.cmd}


def code_that_runs(command: str) -> set[Path]:
    """Project files that a stage's command can execute, beside the runner's own."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "repro"], command
    verb = words[3]
    if verb == "run":
        names = set(names_imported_by(ROOT / "notebooks" / Path(words[4]).name))
        modules = {name for name in names if is_module_of_ours(name)}
    else:
        modules = {VERBS[verb][0]}
    return {file for file in imported_files(modules).values() if holds_code(file)}


def holds_code(path: Path) -> bool:
    """Whether a file says anything beside a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return not all(isinstance(node, ast.Expr) for node in body)


def is_module_of_ours(name: str) -> bool:
    root = {"repro": ROOT, "repro_kernels": ROOT / "numba_cuda"}.get(name.partition(".")[0])
    stem = root.joinpath(*name.split(".")) if root else None
    return stem is not None and (stem.with_suffix(".py").is_file() or stem.is_dir())


def names_imported_by(notebook: Path) -> Iterator[str]:
    """What the notebook's cells import: modules, and names that may be modules."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dependencies_on_code(stage) -> set[Path]:
    paths = {ROOT / dependency.def_path for dependency in stage.deps if dependency.def_path}
    return {path for path in paths if path.relative_to(ROOT).parts[0] in ("repro", "numba_cuda")}


# Household code under everything: a change of how files are written retrains nothing.
HOUSEHOLD = {
    ROOT / "repro" / name
    for name in ("__init__.py", "names.py", "paths.py", "files.py", "params.py", "env.py")
}


@pytest.mark.parametrize("name", [name for name in STAGES if not name.startswith("source")])
def test_a_stage_depends_on_exactly_the_modules_it_runs(name):
    stage = STAGES[name]
    needed = code_that_runs(stage.cmd) - HOUSEHOLD
    given = dependencies_on_code(stage)
    uncovered = {f for f in needed if not any(f == g or g in f.parents for g in given)}
    assert not uncovered, sorted(str(path.relative_to(ROOT)) for path in uncovered)
    idle = {g for g in given if not any(f == g or g in f.parents for f in needed)}
    assert not idle, sorted(str(path.relative_to(ROOT)) for path in idle)


@pytest.mark.parametrize("name", STAGES)
def test_outputs_stay_out_of_the_pinned_data(name):
    for out in STAGES[name].outs:
        assert Path(out.def_path).parts[0] in ("build", "results"), out.def_path


def test_every_notebook_has_a_cleaned_stage_and_stages_run_cleaned_copies():
    cleaned = {Path(name.partition("@")[2]).name for name in STAGES if name.startswith("source@")}
    assert cleaned == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    for stage in STAGES.values():
        words = shlex.split(stage.cmd)
        if words[3] == "run":
            assert words[4].startswith("build/source/"), stage.cmd
            assert words[4] in {dependency.def_path for dependency in stage.deps}


def test_nothing_depends_on_an_executed_notebook():
    for stage in STAGES.values():
        for dependency in stage.deps:
            assert not str(dependency.def_path).startswith("build/executed"), stage.addressing


def test_error_messages_send_the_reader_to_stages_that_exist():
    from repro.report.results import STAGES as NAMED

    assert set(NAMED) <= {name.partition("@")[0] for name in STAGES}


def test_every_row_of_a_table_finds_its_run():
    from repro import papers

    params = load()
    methods = set(params["classification"]["methods"])
    for table in ("table3a", "table3b", "table3c"):
        rows = papers.load("ddf").table(table).rows
        wanted = params["tables"][f"ddf_{table}"]
        assert {row.system for row in rows if row.id in wanted} <= methods


def test_every_row_of_the_comparison_is_trained_beside_its_base():
    from repro.models.rows import BACKBONES, network_of
    from repro.notebook.parameters import declared

    name = "24_compare_networks.ipynb"
    notebook = json.loads((ROOT / "notebooks" / name).read_text(encoding="utf-8"))
    lists = {key: value for key, value in declared(notebook, name).items() if "_table" in key}
    tables = load()["tables"]
    for table in ("ddf_table4", "ddf_table5", "fdconv_table1"):
        addresses = [f"{table.replace('_', '.')}.{row}" for row in tables[table]]
        wanted = {BACKBONES.get(address) or network_of(address) for address in addresses}
        if table == "fdconv_table1":
            assert wanted == set(tables["fdconv_backbones"])
        trained = {
            network for key, networks in lists.items() if table in key for network in networks
        }
        assert wanted == trained - {"ddf_channel_only"}, table


def test_every_row_of_the_detection_tables_is_trained_at_every_scale():
    params = load()
    for scale in SCALES:
        for table in ("ddf_table6", "fdconv_table1", "fdconv_table3"):
            assert params["detection"][scale][table] == params["tables"][table], (scale, table)
