"""What is shipped is what the wheels hold, and harm to it is named, with a repair that works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from repro import files, paths
from repro.data import DataError, bundled, verify_bundled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path):
    """A copy of data/ that a test may harm."""
    return Path(shutil.copytree(paths.bundled_data(), tmp_path / "data"))


def test_the_shipped_files_are_those_of_the_pinned_wheels():
    done = subprocess.run(
        [sys.executable, "scripts/build_bundled_data.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_all_files_are_in_the_manifest():
    on_disk = {path.name for path in paths.bundled_data().iterdir()}
    assert on_disk == set(bundled.manifest())
    assert verify_bundled() == len(on_disk)


def test_they_are_few_and_small():
    sizes = [path.stat().st_size for path in paths.bundled_data().iterdir()]
    assert 14 <= len(bundled.image_names()) <= 16
    assert sum(sizes) <= 6e6


def test_every_image_has_its_licence_in_the_readme():
    rows = (paths.bundled_data() / "README.md").read_text(encoding="utf-8").splitlines()
    for name in bundled.image_names():
        (row,) = (row for row in rows if row.startswith(f"| {name} |"))
        assert any(licence in row for licence in ("CC0", "public domain", "CC BY 2.0")), row


def test_a_changed_file_is_named_with_both_hashes(copy):
    with (copy / "brick.png").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError) as raised:
        verify_bundled(copy)
    message = str(raised.value)
    assert str(copy / "brick.png") in message
    assert bundled.manifest()["brick.png"] in message
    assert files.sha256(copy / "brick.png") in message
    assert bundled.REPAIR in message
    assert message.startswith("1 of 16")


def test_missing_files_are_all_named(copy):
    (copy / "grass.png").unlink()
    (copy / "README.md").unlink()
    with pytest.raises(DataError, match=r"2 of 16(.|\n)*README.md(.|\n)*grass.png.*found no file"):
        verify_bundled(copy)


def test_no_folder_at_all_names_every_file(tmp_path):
    with pytest.raises(DataError, match="16 of 16"):
        verify_bundled(tmp_path / "nowhere")


def test_an_image_that_is_not_there_says_how_to_get_it():
    with pytest.raises(DataError, match=r"no_such\.png.*dvc pull"):
        bundled.load_image("no_such.png")


@pytest.mark.slow
def test_the_printed_repair_repairs_even_after_dvc_recorded_the_harm(tmp_path):
    # `dvc repro` rewrites data.dvc to what it finds, so `dvc pull` alone would keep the harm.
    clone = tmp_path / "clone"
    run("git", "init", "-q", str(clone), cwd=tmp_path)
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore", "data.dvc"):
        (clone / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    shutil.copytree(ROOT / "datastore", clone / "datastore")
    run("git", "add", ".", cwd=clone)
    run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "x", cwd=clone)

    run("dvc", "pull", "data.dvc", cwd=clone)
    assert verify_bundled(clone / "data") == 16

    (clone / "data" / "brick.png").unlink()
    with (clone / "data" / "rocket.jpg").open("ab") as file:
        file.write(b"x")
    run("dvc", "commit", "--force", "data.dvc", cwd=clone)
    with pytest.raises(DataError):
        verify_bundled(clone / "data")
    subprocess.run(bundled.REPAIR, shell=True, cwd=clone, env=environment(), check=True)
    assert verify_bundled(clone / "data") == 16


def test_the_stereo_pair_is_read_from_the_installed_wheel():
    assert bundled.has_stereo_pair()
    pair = bundled.stereo_pair()
    assert pair.left.shape == pair.right.shape == (*pair.disparity.shape, 3) == (500, 741, 3)
    known = np.isfinite(pair.disparity)
    assert 0.92 < known.mean() < 0.93
    assert 7 < pair.disparity[known].min() < pair.disparity[known].max() < 60


def environment() -> dict[str, str]:
    programs = Path(sys.executable).parent
    return {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(Path.home()), "DVC_NO_ANALYTICS": "1"}


def run(*command: str, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, env=environment(), check=True, capture_output=True)
