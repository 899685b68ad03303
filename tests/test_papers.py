"""The fact sheets are consistent, and a sheet that is not is refused with the place named."""

from __future__ import annotations

import copy
from importlib import resources
from typing import Any

import pytest
import yaml

from repro import papers
from repro.names import UnknownNameError


def raw(paper: str) -> dict[str, Any]:
    text = resources.files("repro.papers").joinpath(f"{paper}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@pytest.mark.parametrize("paper", papers.names())
def test_every_sheet_loads_whole(paper):
    sheet, loaded = raw(paper), papers.load(paper)
    assert loaded.id == paper
    assert len(loaded.tables) == len(sheet["tables"]) + len(sheet["extra_tables"])
    assert len(loaded.claims) == len(sheet["claims"])
    assert len(loaded.systems) == len(sheet["systems"])


@pytest.mark.parametrize("paper", papers.names())
def test_systems_list_exactly_the_tables_they_are_in(paper):
    loaded = papers.load(paper)
    for system in loaded.systems:
        found = {t.id for t in loaded.tables for row in t.rows if row.system == system.id}
        assert found <= set(system.tables), system.id


@pytest.mark.parametrize("paper", papers.names())
def test_unknown_figures_are_empty(paper):
    for table in papers.load(paper).tables:
        for row in table.rows:
            assert all(row.values[column] is None for column in row.unknown), row.id


@pytest.mark.parametrize(
    ("address", "printed"),
    [
        ("ddf.table3a.ddf.top1", 79.1),
        ("ddf.table5.ddf_resnet50.params_m", 16.8),
        ("ddf.table1.ddf.params", "c k^2 + sigma c^2 (1 + k^2)"),
        ("ddf.table1.conv.space", None),
        ("ddf.supp_tricks.ddf_resnet50_tricks.top1", 81.3),
        ("fdconv.table1.faster_rcnn_fdconv.ap_box", 39.4),
    ],
)
def test_a_printed_figure_has_an_address(address, printed):
    assert papers.value(address) == printed


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("ddf2.table3a.ddf.top1", "unknown paper 'ddf2'; did you mean ddf"),
        ("ddf.table3.ddf.top1", "unknown table of ddf 'table3'; did you mean table3"),
        ("ddf.table3a.dff.top1", "unknown row of table3a 'dff'; did you mean ddf"),
        ("ddf.table3a.ddf.top2", "unknown column of ddf.table3a 'top2'; did you mean top"),
    ],
)
def test_a_wrong_address_names_the_nearest(address, hint):
    with pytest.raises(UnknownNameError, match=hint):
        papers.value(address)


def test_an_address_has_four_parts():
    with pytest.raises(ValueError, match=r"expected <paper>.<table>.<row>.<column>, got 'ddf"):
        papers.value("ddf.table3a")


def test_lookups_by_id():
    ddf = papers.load("ddf")
    assert ddf.claim("c08").size("over_channel") == 0.4
    assert ddf.claim("c06").size() == -2.8
    assert ddf.claim("c24").size() is None
    assert ddf.claim("c14").size() is None, "a claim that is true or false has no size"
    assert ddf.system("ddf_resnet50").reference.year == 2021
    assert ddf.table("table3a").row_of_system("resnet50").id == "base_model"
    assert ddf.table("table4").row("r50_ddf").computed == {"params_m": 16.844}
    assert ddf.table("repo_model_zoo").published_elsewhere
    assert not papers.load("fdconv").table("table2").complete
    with pytest.raises(UnknownNameError, match="part of claim c08"):
        ddf.claim("c08").size("over_chanel")


def damage(change) -> dict[str, Any]:
    sheet = copy.deepcopy(raw("ddf"))
    change(sheet)
    return sheet


def set_in(path: tuple[Any, ...], value: Any):
    def change(sheet: dict[str, Any]) -> None:
        for step in path[:-1]:
            sheet = sheet[step]
        sheet[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in(("tables", 0, "rows", 0, "system"), "convv"), "ddf.table1.conv measures 'convv'"),
        (set_in(("tables", 0, "rows", 1, "id"), "conv"), "ddf.table1 has two of the row 'conv'"),
        (set_in(("tables", 1, "id"), "table1"), "ddf has two of the table 'table1'"),
        (set_in(("claims", 1, "id"), "c01"), "ddf has two of the claim 'c01'"),
        (set_in(("claims", 0, "rests_on"), ["table9"]), "claim c01 rests on 'table9'"),
        (set_in(("tables", 0, "columns", 0, "kind"), "price"), "params has the kind 'price'"),
        (set_in(("tables", 0, "rows", 0, "source"), "rumour"), "conv comes from 'rumour'"),
        (set_in(("tables", 0, "rows", 0, "values"), {"params": 1}), "must have the columns"),
        (lambda sheet: sheet["tables"][0].pop("caption"), "ddf: an entry lacks the field 'cap"),
    ],
)
def test_a_sheet_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(papers.FactSheetError, match=message):
        papers.parse(damage(change))
