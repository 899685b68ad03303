"""The tables and claims of detection, from results that were made up."""

from __future__ import annotations

import detection_trees
import pytest
import trees

from repro import papers
from repro.report import claims, figures, render, tables
from repro.report.cells import Measured
from repro.report.claim_tests.detection import TIE
from repro.report.result_files import MissingResultError
from repro.report.results import Results
from repro.report.verdicts import Verdict


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(trees.whole(tmp_path / "real"))


def cells(table, row):
    found = next(entry for entry in table.rows if entry.id == row)
    return {column.id: cell for column, cell in zip(table.columns, found.cells, strict=True)}


def judged(root, paper, claim):
    sheet = papers.load(paper)
    return claims.judge(sheet, sheet.claim(claim), Results(root))


def test_table_6_compares_upsamplers_with_nearest(results):
    table = tables.build("ddf_table6", results)
    assert [row.id for row in table.rows if row.base] == ["nearest"]
    row = cells(table, "ddf_up")
    assert (row["map"].paper, row["map_s"].paper, row["map_l"].paper) == (38.6, 22.1, 49.9)
    assert row["map_difference"].paper == 1.2
    assert row["ap50"].paper is None
    assert row["ap50"].ours.value == pytest.approx(38.6 + 20 + 0.3, abs=0.05)
    difference, mean = row["map_difference"].ours, row["map"].ours
    assert difference.value == pytest.approx(1.2, abs=0.05)
    assert difference.high - difference.low < 0.2 * (mean.high - mean.low), "paired by seed"
    assert row["flops_g"].ours == Measured.counted(0.58, "exact")
    assert cells(table, "carafe")["flops_g"].ours_verdict == "differs"
    text = "\n".join(table.notes)
    assert "FLOPs of the upsamplers of “CARAFE”: what the paper counts is not said." in text


def test_fdconvs_table_1_has_detectors_in_two_blocks(results):
    table = tables.build("fdconv_table1", results)
    assert [row.id for row in table.rows if row.base] == ["faster_rcnn_r50", "mask_rcnn_r50"]
    base = cells(table, "mask_rcnn_r50")
    assert base["params_m"].ours == Measured.counted(46.5, "exact")
    assert base["params_delta_m"].ours is None
    row = cells(table, "mask_rcnn_fdconv")
    assert row["ap_mask_difference"].paper == 2.2
    assert row["ap_mask_difference"].ours.value == pytest.approx(2.2, abs=0.05)
    assert row["params_m"].ours is None
    assert cells(table, "mask_rcnn_kw_1x")["flops_delta_g"].ours == Measured.counted(2.038)
    notes = "\n".join(table.notes)
    assert "Faster R-CNN: bccd, 3 classes" in notes
    assert "Mask R-CNN: dsb2018_nuclei, 1 class, 268 training images" in notes
    assert "reach an AP of 0.25 % on bccd" in notes


def test_boxes_have_no_masks_to_compare(results):
    row = cells(tables.build("fdconv_table1", results), "faster_rcnn_fdconv")
    assert row["ap_mask"].ours is None
    assert row["ap_mask_difference"].ours is None


def test_table_3_is_compared_with_bases_that_the_paper_does_not_print(results):
    table = tables.build("fdconv_table3", results)
    row = cells(table, "mask_rcnn_swin_t_fdconv")
    assert row["ap_box"].paper == 44.5
    assert row["ap_box_difference"].paper is None
    assert row["ap_box_difference"].ours.value == pytest.approx(1.8, abs=0.05)
    assert "| Swin-T + FDConv |" in render.to_markdown(table)


def test_a_seed_that_broke_down_is_counted(tmp_path):
    trees.whole(tmp_path)
    detection_trees.write(tmp_path, ddf_up={"ap": [38.6, None, 38.9]})
    row = cells(tables.build("ddf_table6", Results(tmp_path)), "ddf_up")
    assert row["seeds"].ours.value == "2 of 3"
    assert row["map_difference"].ours.n == 2


def test_objects_of_no_size_leave_an_empty_cell(tmp_path):
    trees.whole(tmp_path)
    detection_trees.write(tmp_path, ddf_up={"ap_large": [None, None, None]})
    assert cells(tables.build("ddf_table6", Results(tmp_path)), "ddf_up")["map_l"].ours is None


def test_a_run_that_is_missing_names_the_stage(results):
    (results.root / "detection" / "metrics.json").unlink()
    with pytest.raises(MissingResultError, match="dvc repro detection"):
        tables.build("ddf_table6", results)


def test_a_tie_that_is_too_wide_is_no_tie(tmp_path):
    trees.whole(tmp_path)
    ahead = [38.5 + 2 * TIE, 38.8 + 2 * TIE, 39.1 + 2 * TIE]
    detection_trees.write(tmp_path, ddf_up={"ap": ahead})
    assert judged(tmp_path, "ddf", "c27").effects[0].verdict is Verdict.NOT_REPRODUCED


def test_detectors_that_learnt_nothing_are_no_tie(tmp_path):
    trees.whole(tmp_path)
    low = {"ap": [0.3, 0.31, 0.32]}
    detection_trees.write(tmp_path, ddf_up=low, carafe={"ap": [0.31, 0.31, 0.31]})
    judgement = judged(tmp_path, "ddf", "c27")
    assert judgement.effects[0].verdict is Verdict.NOT_TESTED
    assert "reaches an AP of 0.31 %, boxes that ignore the image 0.25 %" in judgement.why
    assert judgement.effects[1].verdict is Verdict.REPRODUCED
    assert judgement.verdict is Verdict.NOT_TESTED
    # One that learnt is enough: then the other is worse.
    assert judged(tmp_path, "ddf", "c25").effects[0].verdict is Verdict.NOT_REPRODUCED


def test_being_last_refutes_a_lead(tmp_path):
    trees.whole(tmp_path)
    detection_trees.write(tmp_path, faster_rcnn_fdconv={"ap": [30.0, 30.3, 30.6]})
    assert judged(tmp_path, "fdconv", "f02").verdict is Verdict.NOT_REPRODUCED
    assert judged(tmp_path, "fdconv", "f01").verdict is Verdict.NOT_REPRODUCED


def test_a_gain_that_costs_too_much_is_found_out(tmp_path):
    trees.whole(tmp_path)
    detection_trees.write(tmp_path, faster_rcnn_dyconv_4x={"ap": [99.0, 99.3, 99.6]})
    effects = judged(tmp_path, "fdconv", "f26").effects
    assert effects[1].verdict is Verdict.NOT_REPRODUCED
    assert effects[0].verdict is Verdict.REPRODUCED


def test_claims_say_what_is_missing(tmp_path):
    trees.whole(tmp_path)
    (tmp_path / "detection" / "metrics.json").unlink()
    judgement = judged(tmp_path, "fdconv", "f05")
    assert judgement.verdict is Verdict.NOT_TESTED
    assert "dvc repro detection" in judgement.why


def test_the_blocks_of_a_table_are_told_apart_in_the_plot(results):
    table = tables.build("fdconv_table1", results)
    found = figures.differences([table], ("ap_box_difference",))
    titles = list(dict.fromkeys(one.table for one in found))
    assert titles == ["FDConv, Table 1: Faster R-CNN", "FDConv, Table 1: Mask R-CNN"]
    assert found[-1].method == "mask_rcnn_fdconv"
    assert (found[-1].paper, found[-1].ours) == (2.8, pytest.approx(2.8, abs=0.05))
