from __future__ import annotations

import pytest

from repro.names import UnknownNameError, require_known
from repro.params import data_root, load, load_section, parse, set_scale

TEXT = """\
# what runs
scale: tour          # smoke, tour, real or paper
data_root: null
classification:
  smoke: {lr: 1e-3, epochs: 1}
  tour: {lr: 0.1, epochs: 8}
"""


@pytest.fixture
def params_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", ".1e-2", "+1e-3"])
def test_numbers_are_those_of_yaml_1_2(text):
    assert parse(text) == 1e-3


@pytest.mark.parametrize("text", ["e1", "1e", "ddf_1e5", "0x1e"])
def test_words_stay_words_or_integers(text):
    assert not isinstance(parse(text), float)


def test_dvc_reads_the_same_values():
    from ruamel.yaml import YAML

    from repro.paths import repository_root

    path = repository_root() / "params.yaml"
    assert load() == YAML(typ="safe").load(path.read_text())


def test_a_section_at_a_scale(params_file):
    assert load_section("classification", "smoke", params_file) == {"lr": 1e-3, "epochs": 1}


@pytest.mark.parametrize(
    ("section", "scale", "message"),
    [
        ("classification", "tuor", "unknown scale 'tuor'; did you mean tour"),
        ("classification", "real", "unknown scale of classification in params.yaml 'real'"),
        ("clasification", "tour", "did you mean classification"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(params_file, section, scale, message):
    with pytest.raises(UnknownNameError, match=message):
        load_section(section, scale, params_file)


def test_far_names_are_answered_with_all_of_them():
    with pytest.raises(UnknownNameError, match="unknown dataset 'xyz'; known: cifar10, patches"):
        require_known("dataset", "xyz", ["patches", "cifar10"])


def test_set_scale_changes_one_word(params_file):
    set_scale("smoke", params_file)
    assert params_file.read_text() == TEXT.replace("scale: tour", "scale: smoke")
    with pytest.raises(UnknownNameError, match="did you mean smoke"):
        set_scale("smok", params_file)


@pytest.mark.parametrize("text", ["- a\n", "a: [1\n"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"params\.yaml"):
        load(tmp_path / "params.yaml")


def test_the_environment_wins_over_params(monkeypatch, tmp_path):
    monkeypatch.setenv("REPRO_DATA", str(tmp_path))
    assert data_root() == tmp_path
