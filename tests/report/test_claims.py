"""Claims are judged from a results tree; without the runs they say what is missing."""

from __future__ import annotations

import csv
import io
import re

import pytest
import trees

from repro.files import read_json, write_json
from repro.papers import load
from repro.report import claims
from repro.report.claim_tests import TESTS
from repro.report.results import Results
from repro.report.verdicts import Verdict
from repro.stats import mean_interval


def verdicts(root, paper: str = "ddf") -> dict[str, Verdict]:
    return {j.claim.id: j.verdict for j in claims.judge_all(paper, Results(root))}


def judged(root, claim: str):
    return next(j for j in claims.judge_all("ddf", Results(root)) if j.claim.id == claim)


def test_every_claim_has_a_verdict_and_every_test_a_claim(tmp_path):
    known = set()
    for paper in map(load, claims.tested_papers()):
        assert [j.claim for j in claims.judge_all(paper.id, Results(tmp_path))] == [*paper.claims]
        known |= {f"{paper.id}.{claim.id}" for claim in paper.claims}
    assert set(TESTS) <= known


def test_an_empty_tree_tests_nothing_and_says_why(tmp_path):
    for judgement in claims.judge_all("ddf", Results(tmp_path)):
        assert judgement.verdict is Verdict.NOT_TESTED
        assert judgement.why


def test_the_verdicts_of_a_whole_tree(tmp_path):
    found = verdicts(trees.whole(tmp_path))
    expected = {
        "c01": Verdict.REPRODUCED,
        "c03": Verdict.REPRODUCED,
        "c02": Verdict.REPRODUCED,
        "c04": Verdict.REPRODUCED,
        "c05": Verdict.REPRODUCED,
        "c06": Verdict.REPRODUCED,
        "c07": Verdict.REPRODUCED,
        "c08": Verdict.INCONCLUSIVE,  # over channel only: the interval spans zero
        "c09": Verdict.INCONCLUSIVE,  # over sigmoid: spans zero
        "c10": Verdict.INCONCLUSIVE,  # the interval at sigma 0.4 is wider than the bound
        "c11": Verdict.REPRODUCED,
        "c12": Verdict.INCONCLUSIVE,  # ResNet-50: over CondConv it spans zero
        "c13": Verdict.DIRECTION_ONLY,  # ahead by more than the paper has it
        "c14": Verdict.INCONCLUSIVE,
        "c15": Verdict.REPRODUCED,
        "c16": Verdict.REPRODUCED,
        "c17": Verdict.REPRODUCED,
        "c18": Verdict.DIRECTION_ONLY,  # PAC is slower by more than the paper has it
        "c19": Verdict.DIRECTION_ONLY,
        "c20": Verdict.DIRECTION_ONLY,
        "c21": Verdict.REPRODUCED,
        "c22": Verdict.REPRODUCED,
        "c23": Verdict.REPRODUCED,
        "c24": Verdict.REPRODUCED,
        "c25": Verdict.REPRODUCED,
        "c26": Verdict.REPRODUCED,
        "c27": Verdict.REPRODUCED,
        "c28": Verdict.REPRODUCED,
        "c29": Verdict.DIRECTION_ONLY,  # ahead by more than the paper has it
        "c30": Verdict.DIRECTION_ONLY,
        "c31": Verdict.REPRODUCED,
        "c32": Verdict.REPRODUCED,
        "c34": Verdict.REPRODUCED,
    }
    assert {claim: found[claim] for claim in expected} == expected
    assert {found[claim] for claim in found if claim not in expected} == {Verdict.NOT_TESTED}


def test_the_verdicts_on_what_fdconv_adds(tmp_path):
    found = verdicts(trees.whole(tmp_path), "fdconv")
    expected = {
        "f03": Verdict.REPRODUCED,
        "f08": Verdict.REPRODUCED,
        "f09": Verdict.REPRODUCED,
        "f10": Verdict.DIRECTION_ONLY,  # by more than the paper has it
        "f13": Verdict.DIRECTION_ONLY,
        "f14": Verdict.DIRECTION_ONLY,
        "f20": Verdict.REPRODUCED,
        "f21": Verdict.REPRODUCED,
        "f25": Verdict.INCONCLUSIVE,
        "f27": Verdict.REPRODUCED,
        **{f"f{number:02}": Verdict.REPRODUCED for number in (1, 2, 4, 5, 6, 7, 11, 12, 26)},
    }
    assert {claim: found[claim] for claim in expected} == expected
    assert {found[claim] for claim in found if claim not in expected} == {Verdict.NOT_TESTED}


def test_a_layer_that_adds_more_operations_than_fdconv_is_found_out(tmp_path):
    path = trees.whole(tmp_path) / "printed_costs.json"
    costs = read_json(path)
    costs["fdconv.table1.faster_rcnn_dcd"]["costs"]["flops_delta_g"]["counted"] = 5.7
    write_json(path, costs)
    assert verdicts(tmp_path, "fdconv")["f09"] is Verdict.NOT_REPRODUCED


def test_whoever_leads_is_ahead_of_every_rival(tmp_path, monkeypatch):
    monkeypatch.setitem(trees.COMPARED, "ddf_resnet18", [60.0, 61.0, 60.5])
    monkeypatch.setitem(trees.COMPARED, "adaptive_resnet18", [50.0, 51.1, 50.6])
    monkeypatch.setitem(trees.COMPARED, "dynet_resnet18", [57.0, 58.9, 56.0])
    trees.whole(tmp_path)
    lead = judged(tmp_path, "c12").effects[0]
    # Ahead of both on average; of the second the runs are not sure at 97.5 %.
    assert lead.name.endswith(": dynet_resnet18")
    assert lead.verdict is Verdict.INCONCLUSIVE
    wide = mean_interval([3.0, 2.1, 4.5], confidence=0.975)
    assert (lead.ours.low, lead.ours.high) == pytest.approx((wide.low, wide.high))
    assert "intervals at 97.5% for 2 rivals" in lead.basis


def test_one_rival_that_is_clearly_ahead_settles_it(tmp_path, monkeypatch):
    monkeypatch.setitem(trees.COMPARED, "adaptive_resnet18", [70.2, 72.0, 70.9])
    monkeypatch.setitem(trees.COMPARED, "dynet_resnet18", [10.0, 20.0, 30.0])
    trees.whole(tmp_path)
    lead = judged(tmp_path, "c12").effects[0]
    assert lead.name.endswith(": adaptive_resnet18")
    assert lead.verdict is Verdict.NOT_REPRODUCED


def test_the_opposite_sign_is_not_reproduced(tmp_path):
    trees.whole(tmp_path)
    trees.write_run(tmp_path, "ddf_spatial_only", [74.0, 75.1, 73.7])
    assert verdicts(tmp_path)["c06"] is Verdict.NOT_REPRODUCED


def test_one_seed_decides_nothing(tmp_path):
    trees.whole(tmp_path)
    for method, top1 in trees.TOP1.items():
        trees.write_run(tmp_path, method, top1[:1])
    assert verdicts(tmp_path)["c01"] is Verdict.INCONCLUSIVE


def test_where_every_run_without_norm_breaks_down_the_claim_holds(tmp_path, monkeypatch):
    gone = {"top1": [None, None, None], "max_grad_norm": [None, None, None]}
    monkeypatch.setitem(trees.VARIANTS, "ddf_no_norm", gone)
    assert verdicts(trees.whole(tmp_path))["c24"] is Verdict.REPRODUCED


def test_an_operator_off_its_budget_is_not_reproduced(tmp_path):
    trees.whole(tmp_path)
    path = tmp_path / "ddf_operator" / "checks.json"
    path.write_text(path.read_text().replace("2e-15", "2e-3"))
    assert verdicts(tmp_path)["c22"] is Verdict.NOT_REPRODUCED


def test_a_layer_that_stores_the_combined_filters_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setitem(trees.TIMINGS, "ddf", (46.0, 45.0, 48.0, 1400.0))
    assert verdicts(trees.whole(tmp_path))["c23"] is Verdict.NOT_REPRODUCED


def test_a_verdict_says_what_it_rests_on(tmp_path):
    trees.whole(tmp_path)
    assert "patches at 32×32" in judged(tmp_path, "c06").effects[0].basis
    assert "Some CPU, input 2x256x200x300" in judged(tmp_path, "c19").effects[0].basis


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("c05", "compare_networks/metrics.json is missing; make it with: dvc repro compare_"),
        ("c25", "detection/metrics.json is missing; make it with: dvc repro detection"),
        ("c33", "recipe .* not published"),
    ],
)
def test_an_untested_claim_says_what_it_needs(tmp_path, claim, why):
    assert re.search(why, judged(tmp_path, claim).why)


def test_the_csv_has_a_line_an_effect(tmp_path):
    found = claims.judge_all("ddf", Results(trees.whole(tmp_path)))
    rows = list(csv.DictReader(io.StringIO(claims.to_csv(found))))
    assert len(rows) == sum(max(len(judgement.effects), 1) for judgement in found)
    both = [row for row in rows if row["claim"] == "c08"]
    assert [row["effect_verdict"] for row in both] == ["inconclusive", "reproduced"]
    assert {row["runs"] for row in both} == {"3"}


def test_the_markdown_has_a_line_a_claim(tmp_path):
    found = claims.judge_all("ddf", Results(trees.whole(tmp_path)))
    text = claims.to_markdown(found)
    assert text.count("\n") == len(found) + 2
    assert (
        "| **reproduced** | top-1, DDF − base: 1.93 [1.55, 2.31] (1.9) | patches at 32×32" in text
    )
