from __future__ import annotations

import pytest

from repro.names import UnknownNameError
from repro.notebook.parameters import (
    NotebookParameterError,
    checked,
    declared,
    parse_assignments,
)

DEFAULTS = {"method": "ddf", "epochs": 1, "lr": 0.1, "seeds": [0], "root": None, "flip": True}


def notebook(source: str, tags: tuple[str, ...] = ("parameters",)) -> dict:
    return {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# title"]},
            {
                "cell_type": "code",
                "metadata": {"tags": list(tags)},
                "source": source.splitlines(keepends=True),
            },
        ]
    }


def test_declared_reads_literals_and_skips_comments():
    source = 'method = "ddf"  # a row id\n\nlr = 0.1\nseeds = [0, 1]\nroot = None\n'
    assert declared(notebook(source), "nb") == {
        "method": "ddf",
        "lr": 0.1,
        "seeds": [0, 1],
        "root": None,
    }


def test_declared_needs_exactly_one_tagged_cell():
    with pytest.raises(NotebookParameterError, match="one code cell tagged 'parameters', got 0"):
        declared(notebook("a = 1", tags=()), "nb")


@pytest.mark.parametrize("line", ["steps = epochs * 3", "import os", "a, b = 1, 2", "a = f(1)"])
def test_declared_refuses_what_an_injected_value_would_not_reach(line):
    with pytest.raises(NotebookParameterError, match="the parameters cell takes"):
        declared(notebook(f"epochs = 1\n{line}\n"), "nb")


def test_checked_names_the_nearest_parameter():
    with pytest.raises(UnknownNameError, match="'epoch'; did you mean epochs"):
        checked({"epoch": 3}, DEFAULTS, "nb")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 1.5}, "epochs of nb must be int like its default 1, got float 1.5"),
        ({"epochs": True}, "epochs of nb must be int like its default 1, got bool True"),
        ({"lr": "1e-3x"}, "lr of nb must be float like its default 0.1, got str '1e-3x'"),
        ({"seeds": [0, "1"]}, r"seeds\[1\] of nb must be int"),
        ({"method": 3}, "method of nb must be str"),
    ],
)
def test_checked_refuses_other_types(given, message):
    with pytest.raises(NotebookParameterError, match=message):
        checked(given, DEFAULTS, "nb")


def test_checked_takes_an_int_for_a_float_and_anything_for_none():
    values = checked({"lr": 1, "root": "somewhere"}, DEFAULTS, "nb")
    assert values == {"lr": 1.0, "root": "somewhere"}
    assert isinstance(values["lr"], float)


def test_assignments_read_numbers_as_yaml_1_2_does():
    values = parse_assignments(["lr=1e-3", "seeds=[1, 2]", "flip=false"], DEFAULTS, "nb")
    assert values == {"lr": 1e-3, "seeds": [1, 2], "flip": False}


def test_assignments_keep_text_as_it_stands():
    assert parse_assignments(["method=1e5"], DEFAULTS, "nb") == {"method": "1e5"}


def test_assignments_need_an_equals_sign():
    with pytest.raises(NotebookParameterError, match="expected name=value, got 'method'"):
        parse_assignments(["method"], DEFAULTS, "nb")
