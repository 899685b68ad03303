"""Each test starts a kernel (about two seconds), as a stage of the pipeline does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


def make_notebook(path: Path, *cells: str) -> Path:
    parameters = nbformat.v4.new_code_cell('word = "default"\nout_dir = "build/scratch"')
    parameters.metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(
        cells=[parameters, *(nbformat.v4.new_code_cell(cell) for cell in cells)]
    )
    nbformat.write(notebook, path)
    return path


def run_verb(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "repro", "run", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_runs_with_this_interpreter_in_the_repository_root_and_logs_live(tmp_path):
    # A kernel spec in the user's home must not win over the interpreter that runs the pipeline.
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "", "language": "python"}))
    notebook = make_notebook(
        tmp_path / "nb.ipynb",
        "import os, sys\nprint('interpreter', sys.executable)\nprint('folder', os.getcwd())",
        "print('word', word)",
    )
    executed = tmp_path / "out" / "nb.ipynb"
    done = run_verb(
        notebook,
        *("--set", "word=given", "--executed", executed),
        JUPYTER_DATA_DIR=str(tmp_path / "jupyter"),
    )
    assert done.returncode == 0, done.stderr
    assert f"interpreter {sys.executable}" in done.stdout
    assert f"folder {ROOT}" in done.stdout
    assert "word given" in done.stdout
    assert nbformat.read(executed, as_version=4).cells[-1].outputs[0].text == "word given\n"


def test_a_failing_cell_is_named_and_the_last_good_copy_kept(tmp_path):
    notebook = make_notebook(tmp_path / "nb.ipynb", "x = 1", "raise RuntimeError('no luck')")
    executed = tmp_path / "nb.executed.ipynb"
    executed.write_text("the last good run")
    done = run_verb(notebook, "--executed", executed)
    assert done.returncode == 1
    assert "nb.ipynb: cell 3 raised RuntimeError: no luck" in done.stderr
    assert executed.read_text() == "the last good run"
    failed = executed.with_suffix(".failed.ipynb")
    assert f"executed so far: {failed}" in done.stderr
    assert failed.is_file()


def test_a_killed_kernel_is_an_error(tmp_path):
    notebook = make_notebook(tmp_path / "nb.ipynb", "import os\nos.kill(os.getpid(), 9)")
    done = run_verb(notebook, "--executed", tmp_path / "out.ipynb")
    assert done.returncode == 1
    assert "the notebook's process died" in done.stderr
    assert not (tmp_path / "out.ipynb").exists()


def test_a_terminated_run_leaves_no_kernel_and_refuses_company_meanwhile(tmp_path):
    notebook = make_notebook(
        tmp_path / "nb.ipynb",
        "import os, time\nprint('kernel', os.getpid(), flush=True)",
        "time.sleep(60)",
    )
    command = [sys.executable, "-m", "repro", "run", str(notebook)]
    command += ["--executed", str(tmp_path / "out.ipynb")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        kernel = next(int(line.split()[1]) for line in running.stdout if line.startswith("kernel "))
        beside = run_verb(notebook, "--executed", tmp_path / "out.ipynb")
        assert beside.returncode == 1
        assert "another process is still executing out.ipynb" in beside.stderr
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) != 0
    deadline = time.monotonic() + 10
    while Path(f"/proc/{kernel}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{kernel}").exists(), "the kernel outlived its runner"
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "wrod=x"], "unknown parameter of nb.ipynb 'wrod'; did you mean word?"),
        (["--scale", "toor", "--params", "classification"], "unknown scale 'toor'; did you mean"),
        (["--params", "clasification"], "unknown section of params.yaml 'clasification'; did you"),
    ],
)
def test_mistyped_arguments_stop_before_a_kernel_starts(tmp_path, arguments, message):
    notebook = make_notebook(tmp_path / "nb.ipynb", "x = 1")
    done = run_verb(notebook, *arguments, "--executed", tmp_path / "out.ipynb")
    assert done.returncode == 1
    assert message in done.stderr


def test_a_missing_notebook_is_named(tmp_path):
    done = run_verb(tmp_path / "nb.ipynb")
    assert done.returncode == 1
    assert f"no notebook {tmp_path / 'nb.ipynb'}" in done.stderr
