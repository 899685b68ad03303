"""Execute one notebook: checked parameters, this interpreter as kernel, all or nothing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from repro.files import read_json
from repro.notebook.parameters import checked, declared
from repro.paths import repository_root, resolve


class NotebookFailedError(RuntimeError):
    """A cell raised; the message names the notebook, the cell and the error."""


def execute(notebook: Path, parameters: Mapping[str, Any], executed: Path) -> None:
    """Run every cell of `notebook` in the repository root and write the executed copy.

    Args:
        notebook: the .ipynb to run; it is not changed.
        parameters: values by name; each must be declared in the cell tagged `parameters`.
        executed: where the copy with outputs goes. It appears only when every cell succeeded; a
            failed run leaves `<name>.failed.ipynb` beside it, and an older `executed` untouched.
    Raises:
        UnknownNameError, NotebookParameterError: the parameters do not fit the notebook.
        NotebookFailedError: a cell raised, the process died, or another run of it is going on.
    """
    import papermill  # the pipeline's dependency, not the library's
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    values = checked(parameters, declared(read_json(notebook), notebook.name), notebook.name)
    executed = resolve(executed)
    partial, failed = (executed.with_suffix(f".{word}.ipynb") for word in ("part", "failed"))
    executed.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _only_writer(executed), _this_interpreter_as_kernel(), _terminable():
            papermill.execute_notebook(
                str(notebook),
                str(partial),
                values,
                kernel_name="python3",
                language="python",
                cwd=str(repository_root()),
                progress_bar=False,
                log_output=True,
                request_save_on_cell_execute=False,
            )
        partial.replace(executed)
        failed.unlink(missing_ok=True)
    except PapermillExecutionError as error:
        partial.replace(failed)
        raise NotebookFailedError(
            f"{notebook.name}: cell {error.cell_index + 1} raised {error.ename}: {error.evalue}\n"
            f"{_indented(error.source)}\nexecuted so far: {failed}"
        ) from error
    except DeadKernelError as error:
        raise NotebookFailedError(
            f"{notebook.name}: the notebook's process died (out of memory, or killed): {error}"
        ) from error


@contextlib.contextmanager
def _this_interpreter_as_kernel() -> Iterator[None]:
    """Make the kernel name "python3" mean the interpreter that runs this.

    A kernel spec in the user's home would otherwise win, and the notebook would run in another
    environment. JUPYTER_PATH is searched first.
    """
    with tempfile.TemporaryDirectory(prefix="repro-kernel-") as folder:
        spec = Path(folder, "kernels", "python3", "kernel.json")
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(
            json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}),
            encoding="utf-8",
        )
        root = repository_root()
        # OpenMP's threads spin while they wait, and keep the
        # cores from other jobs on the machine; after so many turns they sleep instead.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        with (
            _prepended("JUPYTER_PATH", [folder]),
            _prepended("PYTHONPATH", [str(root), str(root / "numba_cuda")]),
        ):
            yield


@contextlib.contextmanager
def _prepended(variable: str, entries: list[str]) -> Iterator[None]:
    before = os.environ.get(variable)
    os.environ[variable] = os.pathsep.join([*entries, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Take the kernel down with us when we are asked to stop."""

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt(f"stopped by signal {signum}")

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _only_writer(executed: Path) -> Iterator[None]:
    """Refuse to run beside a run of the same name.

    Killing `dvc` alone leaves its notebook running; a second run would write into the same files.
    """
    with executed.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotebookFailedError(
                f"another process is still executing {executed.name}; wait for it or stop it first"
            ) from error
        yield


def _indented(source: str) -> str:
    return "\n".join(f"    {line}" for line in source.splitlines())
