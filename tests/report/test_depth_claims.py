"""The claims on joint depth upsampling: which error decides each, and in which unit."""

from __future__ import annotations

import depth_trees
import pytest

from repro.files import write_json
from repro.papers import load
from repro.report import claims
from repro.report.results import Results
from repro.report.verdicts import Direction, Verdict


def judged(root, claim):
    paper = load("ddf")
    return claims.judge(paper, paper.claim(claim), Results(root))


def errors(**changes):
    return {**depth_trees.AT_X4, **changes}


def test_pac_nets_printed_gaps_are_looked_for_at_every_factor(tmp_path):
    depth_trees.write(tmp_path)
    found = judged(tmp_path, "c30")
    assert [effect.paper for effect in found.effects] == [0.23, 0.19, 0.37]
    assert [effect.verdict for effect in found.effects] == [
        Verdict.REPRODUCED,
        Verdict.DIRECTION_ONLY,  # 0.46 and 0.83 in the made-up runs
        Verdict.DIRECTION_ONLY,
    ]
    assert found.effects[0].ours.value == pytest.approx(0.23, rel=0.01)
    assert found.effects[0].name == "RMSE, PAC-Net − DDF-Up-Net, 4× (cm)"


def test_a_size_in_pixels_is_not_the_papers_size_in_centimetres(tmp_path):
    depth_trees.write(tmp_path, unit="px")
    found = judged(tmp_path, "c30").effects[0]
    assert found.verdict is Verdict.DIRECTION_ONLY
    assert found.name.endswith("(ours in px, the paper's in cm)")
    assert judged(tmp_path, "c29").effects[0].verdict is Verdict.DIRECTION_ONLY


def test_a_direction_in_another_unit_is_judged_below_zero_too():
    below = Direction(above=False, size=(-1.0, -1.0), same_unit=False)
    assert below.judge(-1.5, -0.5) is Verdict.DIRECTION_ONLY
    assert below.judge(0.5, 1.5) is Verdict.NOT_REPRODUCED


def test_the_lowest_error_leads_every_row_of_the_table(tmp_path):
    depth_trees.write(tmp_path)
    effect = judged(tmp_path, "c29").effects[0]
    assert effect.name == "RMSE, any other − DDF-Up-Net, 4× (cm): pac_net"
    assert effect.paper == pytest.approx(0.23)
    assert effect.verdict is Verdict.REPRODUCED, "the size is that of the smallest lead"
    assert "intervals at 99.5% for 10 rivals" in effect.basis
    alone = judged(tmp_path, "c30").effects[0].ours
    assert effect.ours.high - effect.ours.low > 1.2 * (alone.high - alone.low)


def test_a_classical_method_that_is_better_settles_it(tmp_path):
    depth_trees.write(tmp_path, errors=errors(jbu=1.5))
    effect = judged(tmp_path, "c29").effects[0]
    assert effect.name.endswith(": jbu")
    assert effect.verdict is Verdict.NOT_REPRODUCED


def test_equal_errors_decide_nothing(tmp_path):
    depth_trees.write(tmp_path, errors=errors(ddf_up_net=2.4))
    assert judged(tmp_path, "c32").effects[0].verdict is not Verdict.REPRODUCED


def test_the_opposite_order_is_not_reproduced(tmp_path):
    depth_trees.write(tmp_path, errors=errors(ddf_up_net=2.6))
    assert judged(tmp_path, "c30").verdict is Verdict.NOT_REPRODUCED
    assert judged(tmp_path, "c32").verdict is Verdict.NOT_REPRODUCED


def test_detail_is_judged_at_the_edges_and_16x(tmp_path):
    depth_trees.write(tmp_path)
    found = judged(tmp_path, "c32")
    assert found.verdict is Verdict.REPRODUCED
    overall = judged(tmp_path, "c30").effects[2].ours
    assert found.effects[0].ours.value == pytest.approx(2.5 * overall.value)


def test_one_seed_decides_nothing(tmp_path):
    depth_trees.write(tmp_path, seeds=(0,))
    for claim in ("c29", "c30", "c32"):
        assert judged(tmp_path, claim).verdict is Verdict.INCONCLUSIVE


def test_compute_is_compared_in_time_and_in_operations(tmp_path):
    write_json(tmp_path / "costs.json", depth_trees.COSTS)
    timed, counted = judged(tmp_path, "c31").effects
    assert timed.verdict is Verdict.NOT_TESTED
    assert "ddf_table2.csv is missing" in timed.reason
    assert counted.verdict is Verdict.REPRODUCED
    assert counted.ours.value == pytest.approx(98 / 1.2)
    near = {"macs": 98_000_000_000 / 8}
    write_json(tmp_path / "costs.json", {**depth_trees.COSTS, "ddf_up_layer": near})
    assert judged(tmp_path, "c31").effects[1].verdict is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("c29", "joint_upsampling/metrics.json is missing; make it with: dvc repro joint_upsampl"),
        ("c31", "costs.json is missing; make it with: dvc repro costs"),
        ("c32", "joint_upsampling/metrics.json is missing"),
    ],
)
def test_without_runs_a_claim_says_what_it_needs(tmp_path, claim, why):
    assert why in judged(tmp_path, claim).why


def test_a_factor_that_was_not_run_is_not_tested(tmp_path):
    depth_trees.write(tmp_path, factors=(4, 8))
    verdicts = [effect.verdict for effect in judged(tmp_path, "c30").effects]
    assert verdicts[2] is Verdict.NOT_TESTED
    assert "no errors at 16x" in judged(tmp_path, "c30").effects[2].reason
