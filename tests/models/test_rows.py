"""Every printed cost beside the exact one: what is reachable is reached, what is not is named."""

from __future__ import annotations

import pytest

from repro import papers
from repro.__main__ import main
from repro.complexity import CONVENTIONS
from repro.models import names
from repro.models.rows import (
    CLASSIFICATION,
    DETECTION,
    NOTES,
    Cell,
    cells,
    cost,
    describe,
    network_of,
    rows,
)
from repro.names import UnknownNameError

# Parameter counts (millions) that the fact sheets computed by closed form, not from these networks.
COMPUTED = {
    "condconv_resnet50": 104.808,
    "dwcondconv_resnet50": 14.542,
    "se_resnet50": 28.088,
    "se_resnet101": 49.327,
    "resnext50_32x4d": 25.029,
    "resnext101_32x4d": 44.178,
    "res2net50_14w_8s": 25.060,
    "res2net50_26w_4s": 25.699,
    "res2net101_26w_4s": 45.207,
    "ddf_resnet18": 7.691,
}
INCREMENTS = {"kw1x_resnet50": 2.49, "kw4x_resnet50": 76.46, "odconv4x_resnet50": 65.11}

# The cells that no form we know reaches; everything else in a Params column is exact.
PARAMS_THAT_DIFFER = {
    "ddf.table4.r18_dynet.params_m",
    "ddf.table5.res2net50_14w_8s.params_m",
}


@pytest.fixture(scope="module")
def found() -> dict[str, Cell]:
    return {cell.address: cell for cell in cells()}


def test_every_row_is_a_network_or_is_known_not_to_be():
    missing = set()
    for table in ("table3c", "table4", "table5"):
        missing |= {
            f"{table}.{row.id}"
            for row in papers.load("ddf").table(table).rows
            if network_of(f"ddf.{table}.{row.id}") is None
        }
    assert missing == set()
    layers = papers.load("fdconv").table("table1").rows
    detectors = {row.id for row in layers if network_of(f"fdconv.table1.{row.id}") is None}
    assert detectors == {"faster_rcnn_r50", "mask_rcnn_r50"}


def test_parameters_are_exact_to_the_printed_digit(found):
    params = {key: cell for key, cell in found.items() if cell.column.startswith("params")}
    assert len(params) >= 37
    differ = {key for key, cell in params.items() if cell.verdict != "exact"}
    assert differ == PARAMS_THAT_DIFFER
    assert len(differ) <= 0.1 * len(params)


def test_operations_of_classification_are_within_two_percent(found):
    flops = [cell for cell in found.values() if cell.column == "flops_g"]
    assert len(flops) >= 28
    assert {cell.verdict for cell in flops} == {"exact", "within 2 %"}
    assert sum(cell.verdict == "exact" for cell in flops) >= 23


def test_what_differs_says_why(found):
    differs = [cell for cell in found.values() if cell.verdict == "differs"]
    assert all(cell.note for cell in differs)
    assert all(cell.note is None for cell in found.values() if cell not in differs)
    used = {cell.note for cell in differs}
    assert used == set(NOTES.values()), "a note explains nothing"


@pytest.mark.parametrize("name", COMPUTED)
def test_parameters_are_those_of_the_closed_forms(name):
    assert cost(name).params / 1e6 == pytest.approx(COMPUTED[name], abs=0.0005)


@pytest.mark.parametrize("name", INCREMENTS)
def test_increments_are_those_the_authors_repositories_report(name):
    added = (cost(name).params - cost("resnet50").params) / 1e6
    assert added == pytest.approx(INCREMENTS[name], abs=0.01)


def test_res2net_row_mixes_two_networks():
    printed = papers.load("ddf").table("table5").row("res2net50_14w_8s").values
    label, other = cost("res2net50_14w_8s"), cost("res2net50_26w_4s")
    assert round(other.params / 1e6, 1) == printed["params_m"] != round(label.params / 1e6, 1)
    assert round(label.macs / 1e9, 1) == printed["flops_g"] != round(other.macs / 1e9, 1)


@pytest.mark.parametrize("layer", ["condconv8x", "dyconv4x", "dcd", "odconv4x", "fdconv"])
def test_no_convention_gives_the_printed_increments_of_fdconvs_table(layer, found):
    address = {
        "condconv8x": "faster_rcnn_condconv_8x",
        "dyconv4x": "faster_rcnn_dyconv_4x",
        "dcd": "faster_rcnn_dcd",
        "odconv4x": "faster_rcnn_odconv_4x",
        "fdconv": "faster_rcnn_fdconv",
    }[layer]
    printed = found[f"fdconv.table1.{address}.flops_delta_g"].printed
    for size in (CLASSIFICATION, DETECTION):
        for convention in CONVENTIONS:
            here = cost(f"{layer}_resnet50", size).total(convention)
            added = (here - cost("resnet50", size).total(convention)) / 1e9
            assert abs(added / printed - 1) > 0.02, (size, convention)


def test_the_description_has_every_row_and_cell(found):
    described = describe()
    assert set(described) == {
        *rows(),
        "fdconv.table1.faster_rcnn_r50",
        "fdconv.table1.mask_rcnn_r50",
    }
    printed = {
        f"{address}.{column}": (cost["printed"], cost["counted"], cost["verdict"], cost["note"])
        for address, row in described.items()
        for column, cost in row["costs"].items()
        if cost["printed"] is not None
    }
    assert printed == {
        address: (cell.printed, cell.counted, cell.verdict, cell.note)
        for address, cell in found.items()
    }
    detector = described["fdconv.table1.mask_rcnn_r50"]
    assert detector == {"network": "resnet50", "costs": {}}


def test_a_cost_that_the_paper_leaves_out_is_counted_all_the_same():
    row = describe()["fdconv.table1.mask_rcnn_kw_1x"]["costs"]
    assert row["flops_delta_g"]["counted"] == pytest.approx(2.038, abs=0.001)
    assert row["flops_delta_g"]["verdict"] is None
    assert set(row) == {"params_delta_m", "flops_delta_g"}, "not the whole network's"


@pytest.mark.parametrize(
    ("printed", "counted", "digits", "verdict"),
    [
        (16.8, 16.844, 1, "exact"),
        (16.8, 16.851, 1, "within 2 %"),
        (2.3, 2.269, 3, "within 2 %"),
        (2.3, 2.269, 1, "exact"),
        (25.7, 25.06, 1, "differs"),
    ],
)
def test_verdicts(printed, counted, digits, verdict):
    assert Cell("ddf.t.r.c", "resnet50", printed, counted, digits).verdict == verdict


def test_digits_are_those_of_the_column(found):
    assert found["ddf.table3c.ddf_sigma_0p4.flops_g"].digits == 3
    assert found["ddf.table5.resnext101_32x4d.flops_g"].digits == 1


def test_the_verb_prints_every_row_and_network(capsys, found):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for address, network in rows().items():
        assert any(line.split()[:2] == [network, address] for line in lines), address
    assert {line.split()[0] for line in lines} >= set(names())
    assert any(line.startswith(f"params: {len(rows()) - 1} printed cells, ") for line in lines)


def test_the_verb_takes_a_table_and_refuses_an_unknown_one(capsys):
    assert main(["models", "--table", "ddf.table3c"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 2
    assert main(["models", "--table", "ddf.table9"]) == 1
    message = "no row starts with 'ddf.table9'; tables: ddf.table3c, ddf.table4"
    assert message in capsys.readouterr().err


def test_unknown_rows_are_refused():
    with pytest.raises(UnknownNameError, match="unknown row"):
        network_of("ddf.table4.r50_ddff")
