"""Table 7 and its ablation: errors with their unit, differences over images and seeds."""

from __future__ import annotations

import csv
import io

import depth_trees
import numpy as np
import pytest

from repro.files import read_json, write_json
from repro.report import render, tables
from repro.report.cells import Measured
from repro.report.result_files import BrokenResultError, MissingResultError
from repro.report.results import Results
from repro.report.table_specs import specs


@pytest.fixture
def results(tmp_path) -> Results:
    return tree(tmp_path / "tour")


def tree(root) -> Results:
    depth_trees.whole(root)
    write_json(root / "costs.json", depth_trees.COSTS)
    return Results(root)


def cells(table, row):
    found = next(entry for entry in table.rows if entry.id == row)
    return {column.id: cell for column, cell in zip(table.columns, found.cells, strict=True)}


def test_table_7_has_the_papers_rows_and_those_of_pacs_readme():
    rows = {row.id: row for row in specs()["ddf_table7"].table.rows}
    assert len(rows) == 13
    assert rows["bilinear"].name == "Bilinear (PAC's README)"
    assert (rows["bilinear"].source, rows["bicubic"].source) == ("pac_repo", "paper")
    assert rows["pac_net_lite"].values["rmse_x16"] == 8.52
    assert rows["djf"].values["rmse_x4"] == 3.54, "Table 7's, not the README's"


def test_every_row_has_its_error_at_every_factor(results):
    table = tables.build("ddf_table7", results)
    for row, error in depth_trees.AT_X4.items():
        own = cells(table, row)
        for factor in depth_trees.FACTORS:
            expected = error * depth_trees.GROWTH[factor]
            assert own[f"rmse_x{factor}"].ours.value == pytest.approx(expected, rel=0.01)
            assert own[f"rmse_x{factor}"].paper is not None
        assert own["edge_rmse_x16"].ours.value > own["rmse_x16"].ours.value
        assert own["edge_rmse_x16"].paper is None


def test_differences_are_to_pac_net_on_the_same_images(results):
    row = cells(tables.build("ddf_table7", results), "ddf_up_net")
    cell = row["rmse_x8_difference"]
    assert cell.paper == pytest.approx(-0.19)
    own = [
        np.mean([depth_trees.image_errors(error * 2, seed) for seed in depth_trees.SEEDS])
        for error in (2.17, 2.4)
    ]
    assert cell.ours.value == pytest.approx(own[0] - own[1])
    assert cell.ours.low < cell.ours.value < cell.ours.high < 0
    assert cell.ours.n == 3
    base = cells(tables.build("ddf_table7", results), "pac_net")
    assert base["rmse_x8_difference"].ours is None


def test_a_method_without_training_has_neither_seeds_nor_costs(results):
    table = tables.build("ddf_table7", results)
    row = cells(table, "gf")
    assert row["rmse_x4"].ours == Measured.counted(pytest.approx(4.9))
    assert (row["seeds"].ours, row["params_x16"].ours, row["macs_x16"].ours) == (None, None, None)
    trained = cells(table, "djf")
    assert trained["seeds"].ours == Measured(3)
    assert trained["params_x16"].ours == Measured.counted(983.0)
    assert trained["macs_x16"].ours == Measured.counted(40.0)


def test_only_the_rows_of_params_yaml_are_read(results):
    path = results.root / "joint_upsampling" / "metrics.json"
    content = read_json(path)
    del content["variants"]["bilinear"]
    write_json(path, content)
    table = tables.build("ddf_table7", results, ["bicubic", "pac_net", "ddf_up_net"])
    assert [row.id for row in table.rows] == ["bicubic", "pac_net", "ddf_up_net"]
    with pytest.raises(MissingResultError, match="no variant 'bilinear'"):
        tables.build("ddf_table7", results)


def test_pixels_beside_centimetres_are_called_so(tmp_path):
    published, ours = tree(tmp_path / "published"), tree(tmp_path / "tour")
    depth_trees.write(ours.root, unit="px", dataset="bundled_rgbd")
    table = tables.build("ddf_table7", ours, published=published)
    text = render.to_markdown(table)
    assert "RMSE, 4×, paper (cm) | RMSE, 4×, published (cm) | RMSE, 4×, ours (px)" in text
    assert "Our errors are in px, the paper's in cm" in text
    html = render.to_html(table)
    assert ">RMSE, 4×</th>" in html
    assert all(f">{side}</th>" in html for side in ("paper (cm)", "published (cm)", "ours (px)"))
    row = next(csv.DictReader(io.StringIO(render.to_csv(table))))
    assert row["rmse_x4_cm_paper"] == "5.43"
    assert float(row["rmse_x4_px_ours"]) == pytest.approx(5.4)
    assert "rmse_x4_difference_px_ours_low" in row


def test_a_shared_unit_is_said_once(results):
    table = tables.build("ddf_table7", results)
    assert "RMSE, 4× (cm), paper | RMSE, 4× (cm), ours" in render.to_markdown(table)
    assert "rmse_x4_cm_ours" in render.to_csv(table).splitlines()[0]


def test_notes_say_what_the_figures_rest_on(results):
    text = "\n".join(tables.build("ddf_table7", results).notes)
    assert "nyu_depth_v2, 1,000 training images, 449 test images, 20,000 training steps" in text
    assert "3 seeds, depth sampled at “centre”" in text
    assert "the mean over images of each image's RMSE, without the 6 pixels along" in text
    assert "Less data" not in text
    assert "bilinear at 5.43 cm where Table 7 has bicubic at 8.16" in text
    depth_trees.write(results.root, train_images=250)
    text = "\n".join(tables.build("ddf_table7", results).notes)
    assert "Less data than the paper's" in text


def test_one_seed_gives_no_interval(tmp_path):
    results = tree(tmp_path)
    depth_trees.write(tmp_path, seeds=(0,))
    row = cells(tables.build("ddf_table7", results), "ddf_up_net")
    assert row["rmse_x4"].ours.low is None
    assert row["rmse_x4_difference"].ours.low is None


def test_a_factor_that_was_not_run_stays_empty(tmp_path):
    results = tree(tmp_path)
    depth_trees.write(tmp_path, factors=(4, 8))
    row = cells(tables.build("ddf_table7", results), "ddf_up_net")
    assert row["rmse_x4"].ours is not None
    assert row["rmse_x16"].paper == 7.72
    assert (row["rmse_x16"].ours, row["rmse_x16_difference"].ours) == (None, None)
    assert row["edge_rmse_x16"].ours is None


def test_a_seed_that_broke_down_is_counted(results):
    depth_trees.break_down(results.root, "djf", 16, 0)
    row = cells(tables.build("ddf_table7", results, ["djf"]), "djf")
    assert row["seeds"].ours == Measured("2 of 3")
    assert (row["rmse_x8_difference"].ours.n, row["rmse_x16_difference"].ours.n) == (3, 2)


def test_a_method_that_broke_down_stays_empty(results):
    depth_trees.break_down(results.root, "djf", 16, *depth_trees.SEEDS)
    row = cells(tables.build("ddf_table7", results), "djf")
    assert row["seeds"].ours == Measured("0 of 3")
    assert (row["rmse_x16"].ours, row["rmse_x16_difference"].ours) == (None, None)
    assert row["rmse_x8_difference"].ours is not None


def test_the_ablation_compares_variants_at_one_factor(results):
    table = tables.build("ddf_upsampling_ablation", results)
    row = cells(table, "ddf_up_net_no_guidance")
    assert row["rmse"].ours.value == pytest.approx(5.9, rel=0.01)
    assert row["rmse_difference"].ours.value == pytest.approx(1.5, rel=0.01)
    assert row["rmse_difference"].paper is None
    assert row["params"].ours.value == pytest.approx(583.0)
    assert [entry.id for entry in table.rows if entry.base] == ["ddf_up_net"]
    assert "RMSE (8×, cm)" in render.to_markdown(table)
    assert "rmse_8x_cm_ours" in render.to_csv(table)


def test_an_ablation_at_two_factors_is_refused(results):
    depth_trees.write(results.root, "ablate_joint_upsampling", depth_trees.VARIANTS, factors=(4, 8))
    with pytest.raises(BrokenResultError, match=r"must have one factor, got \[4, 8\]"):
        tables.build("ddf_upsampling_ablation", results)


def test_a_run_without_a_unit_is_refused(results):
    depth_trees.write(results.root, unit=None)
    with pytest.raises(BrokenResultError, match="must name the unit of its errors, got None"):
        tables.build("ddf_table7", results)
