"""The claims on semantic segmentation and on modulation maps: which figures decide each."""

from __future__ import annotations

import pytest
import segmentation_trees

from repro.papers import load
from repro.report import claims
from repro.report.results import Results
from repro.report.verdicts import Verdict


def judged(root, claim):
    paper = load("fdconv")
    return claims.judge(paper, paper.claim(claim), Results(root))


@pytest.mark.parametrize(
    ("claim", "sizes"), [("f10", [3.1, 0.5]), ("f13", [1.0]), ("f14", [0.5, None])]
)
def test_gains_are_looked_for_row_by_row(tmp_path, claim, sizes):
    found = judged(segmentation_trees.whole(tmp_path), claim)
    assert [effect.paper for effect in found.effects] == sizes
    for effect in found.effects:
        assert effect.ours.low > 0
        assert effect.verdict is (Verdict.DIRECTION_ONLY if effect.paper else Verdict.REPRODUCED)
    assert "mosaics" in found.effects[0].basis


def test_a_loss_is_not_reproduced(tmp_path):
    found = judged(segmentation_trees.whole(tmp_path, mask2former_r50_fdconv=0.4), "f13")
    assert found.verdict is Verdict.NOT_REPRODUCED


def test_high_bands_must_be_high_at_boundaries_and_higher_than_low_ones(tmp_path):
    segmentation_trees.whole(tmp_path)
    found = judged(tmp_path, "f21")
    assert [round(effect.ours.value, 2) for effect in found.effects] == [0.2, 0.3]
    assert found.verdict is Verdict.REPRODUCED
    segmentation_trees.write_boundaries(tmp_path / "segmentation", highest=0.8, lowest=0.9)
    assert judged(tmp_path, "f21").verdict is Verdict.NOT_REPRODUCED
    segmentation_trees.write_boundaries(tmp_path / "segmentation", highest=1.1, lowest=1.2)
    assert [effect.verdict for effect in judged(tmp_path, "f21").effects] == [
        Verdict.REPRODUCED,
        Verdict.NOT_REPRODUCED,
    ]


def test_the_least_band_has_to_vary(tmp_path):
    found = judged(segmentation_trees.whole(tmp_path), "f20").effects[0]
    assert found.ours.value == pytest.approx(0.01, rel=0.1)
    assert found.verdict is Verdict.REPRODUCED


def test_without_runs_nothing_is_tested(tmp_path):
    for claim in ("f10", "f13", "f14", "f20", "f21"):
        found = judged(tmp_path, claim)
        assert found.verdict is Verdict.NOT_TESTED
        assert "dvc repro segmentation" in found.why
