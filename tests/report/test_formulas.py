"""Printed formulas evaluate to what the fact sheet computed from them by hand."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from repro.report.formulas import FormulaError, evaluate

SHEET = yaml.safe_load(resources.files("repro.papers").joinpath("ddf.yaml").read_text("utf-8"))
TABLE_1 = next(table for table in SHEET["tables"] if table["id"] == "table1")


@pytest.mark.parametrize("row", TABLE_1["rows"], ids=lambda row: row["id"])
def test_the_parameter_formulas_of_table_1(row):
    value = evaluate(row["values"]["params"], c=256, k=3, sigma=0.2)
    assert value == pytest.approx(row["evaluated_c256_k3_sigma0p2"], rel=1e-12)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("2 n c k^2", 2 * 7 * 5 * 9),
        ("O((n + c) k^2)", (7 + 5) * 9),
        ("O(n c k^2 + c^2 k^2)", 7 * 5 * 9 + 25 * 9),
        ("5 n c k^2 + 2 sigma c^2 (1 + k^2)", 5 * 7 * 5 * 9 + 2 * 0.2 * 25 * 10),
    ],
)
def test_sums_products_powers_and_brackets(formula, value):
    assert evaluate(formula, n=7, c=5, k=3, sigma=0.2) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("c m", "no value for 'm'; given: c, k"),
        ("c (1 + k", "a bracket of .* is not closed"),
        ("c +", "ends too early"),
        ("c) k", r"cannot read '\) k' at the end"),
        ("c - k", "cannot read ' - k'"),
    ],
)
def test_what_is_no_formula_is_refused(formula, message):
    with pytest.raises(FormulaError, match=message):
        evaluate(formula, c=1, k=1)
