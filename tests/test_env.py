from __future__ import annotations

import re
import subprocess

import pytest

from repro import env


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder that counts as the repository root; git and its memory of commits start anew."""
    monkeypatch.setattr(env, "repository_root", lambda: tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    env.commit.cache_clear()
    yield tmp_path
    env.commit.cache_clear()


def test_versions_machine_and_threads_are_described():
    described = env.describe()
    assert described["versions"]["torch"]
    assert described["cpu"]
    assert described["threads"] >= 1


def test_outside_git_there_is_no_commit_and_no_error(elsewhere):
    assert env.commit() is None


def test_without_git_installed_there_is_no_commit_and_no_error(elsewhere, monkeypatch):
    monkeypatch.setenv("PATH", str(elsewhere))
    assert env.commit() is None


def test_a_changed_checkout_is_marked_and_the_pipelines_own_outputs_do_not_count(elsewhere):
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
        subprocess.run(["git", *identity, *arguments], cwd=elsewhere, check=True)

    (elsewhere / "code.py").write_text("x = 1")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    (elsewhere / "results").mkdir()
    (elsewhere / "results" / "metrics.json").write_text("{}")
    (elsewhere / "dvc.lock").write_text("")
    assert re.fullmatch("[0-9a-f]{12}", env.commit() or "")
    env.commit.cache_clear()
    (elsewhere / "code.py").write_text("x = 2")
    assert re.fullmatch(r"[0-9a-f]{12}\+", env.commit() or "")
