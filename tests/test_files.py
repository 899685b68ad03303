from __future__ import annotations

import math
import os

import pytest

from repro.files import read_json, replace_atomically, sha256, write_json, write_text


def test_json_bytes_depend_on_content_alone(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1 / 3, "a": [1, 2]}, digits=4)
    write_json(tmp_path / "b.json", {"a": (1, 2), "b": 0.33331}, digits=4)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")
    assert read_json(tmp_path / "a.json") == {"a": [1, 2], "b": 0.3333}


def test_json_has_no_word_for_nan(tmp_path):
    write_json(tmp_path / "a.json", {"loss": math.nan, "best": math.inf})
    assert read_json(tmp_path / "a.json") == {"loss": None, "best": None}


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def interrupted():
        with replace_atomically(tmp_path / "a.txt") as temporary:
            temporary.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    # A file in the folder's place fails for every user; permissions would not stop root.
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write .*results.*a\.json"):
        write_json(tmp_path / "results" / "a.json", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OSError, match=r"cannot write .*a\.json"):
        write_json(tmp_path / "a.json", {})


def test_broken_json_is_named(tmp_path):
    (tmp_path / "metrics.json").write_text('{"top1": [')
    with pytest.raises(ValueError, match=r"metrics\.json is not valid JSON"):
        read_json(tmp_path / "metrics.json")
