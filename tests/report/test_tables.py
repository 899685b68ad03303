"""Tables: the paper's figures, ours beside them, from exactly the runs that were asked for."""

from __future__ import annotations

import csv
import io
import shutil

import pytest
import trees

from repro import params
from repro.names import UnknownNameError
from repro.report import render, tables
from repro.report.cells import Measured
from repro.report.result_files import BrokenResultError, MissingResultError
from repro.report.results import Results


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(trees.whole(tmp_path / "tour"))


def cells(table, row):
    found = next(entry for entry in table.rows if entry.id == row)
    return {column.id: cell for column, cell in zip(table.columns, found.cells, strict=True)}


def read_csv(table) -> dict[str, dict[str, str]]:
    return {row["row"]: row for row in csv.DictReader(io.StringIO(render.to_csv(table)))}


def test_table_3a_has_the_papers_figures_and_ours(results):
    row = cells(tables.build("ddf_table3a", results), "ddf_spatial_only")
    assert row["spatial"].paper is True
    assert row["top1"].paper == 74.4
    assert row["top1"].ours.value == pytest.approx((68.3 + 69.4 + 68.2) / 3)
    assert row["top1"].ours.n == 3
    assert row["top1_difference"].paper == -2.8
    # Every seed differs by about the same: the paired interval is far narrower than the means'.
    difference, mean = row["top1_difference"].ours, row["top1"].ours
    assert difference.value == pytest.approx(-8 / 3)
    assert difference.high - difference.low < 0.2 * (mean.high - mean.low)
    assert row["params_m"].paper is None
    assert row["seeds"].ours == Measured(3)


def test_the_base_row_is_compared_with_nothing(results):
    table = tables.build("ddf_table3b", results)
    assert [row.id for row in table.rows if row.base] == ["ddf_filter_norm"]
    base = cells(table, "ddf_filter_norm")["top1_difference"]
    assert (base.paper, base.ours) == (None, None)
    assert "| base | base |" in render.to_markdown(table)


def test_costs_are_exact_and_show_their_distance_from_the_paper(results):
    cell = cells(tables.build("ddf_table3c", results), "ddf_sigma_0p2")["params_m"]
    assert cell.ours == Measured.counted(16.84372, "exact")
    assert cell.relative == pytest.approx(16.84372 / 16.8 - 1)
    assert "16.844 (+0.3 %, exact)" in render.to_markdown(tables.build("ddf_table3c", results))


def test_the_papers_figures_have_the_decimals_it_prints(results):
    text = render.to_markdown(tables.build("ddf_table3c", results))
    assert "| 2.300 |" in text, "the fact sheet says 2.3, beside 2.298 and 2.299"


def test_table_1_puts_counts_beside_formulas(results):
    row = cells(tables.build("ddf_table1", results), "ddf")
    assert row["params_formula"].paper == "c k^2 + sigma c^2 (1 + k^2)"
    assert row["params_count"].paper == pytest.approx(133376)
    assert row["params_count"].ours.value == 132864  # 51 hidden channels where the formula has 51.2
    assert row["space_count"].relative == 0
    assert row["time_slope_channels"].paper == 1.0
    assert row["time_slope_channels"].ours.value == pytest.approx(1, abs=0.02)


def test_table_2_puts_ratios_beside_the_papers(results):
    row = cells(tables.build("ddf_table2", results), "conv")
    ratio = row["latency_ms_over_ddf"]
    assert ratio.paper == 2.5
    assert ratio.ours.value == pytest.approx(120 / 46)
    assert (ratio.ours.low, ratio.ours.high) == pytest.approx((118 / 48, 123 / 45))
    assert row["memory_m_over_ddf"].ours == Measured.counted(360 / 246)


def test_the_ablation_says_how_many_seeds_broke_down(results):
    row = cells(tables.build("ddf_ablation", results), "ddf_no_norm")
    assert row["seeds"].ours.value == "2 of 3"
    assert row["max_grad_norm"].ours.value == 900.0
    assert row["top1_difference"].ours.n == 2
    assert cells(tables.build("ddf_ablation", results), "ddf_add_resnet50")["top1"].paper == 78.8


def test_fdconvs_parts_are_compared_with_the_plain_network(results):
    table = tables.build("fdconv_ablation_modules", results)
    assert table.title == "FDConv, ablation modules"
    row = cells(table, "fdconv_no_fbm")
    assert [row[part].paper for part in ("fdw", "ksm", "fbm")] == [True, True, False]
    assert row["top1"].paper is None
    assert row["top1_difference"].ours.value == pytest.approx((1.5 + 1.8 + 1.9) / 3)
    assert row["params_m"].ours == Measured.counted(29.1)


def test_fdconvs_groups_are_compared_with_a_single_one(results):
    table = tables.build("fdconv_ablation_kernel_num", results)
    assert [row.id for row in table.rows if row.base] == ["fdconv_kernel_num_1"]
    difference = cells(table, "fdconv_resnet50")["top1_difference"].ours
    assert difference.value == pytest.approx((1.4 + 1.4 + 1.6) / 3)


def test_only_the_rows_that_are_asked_for_are_read(results):
    shutil.rmtree(results.root / "classification" / "ddf_channel_only")
    table = tables.build("ddf_table3a", results, ["ddf", "base_model"])
    assert [row.id for row in table.rows] == ["base_model", "ddf"]
    with pytest.raises(MissingResultError, match="train_classification@ddf_channel_only"):
        tables.build("ddf_table3a", results)


def test_a_stand_in_is_called_one(results):
    text = "\n".join(tables.build("ddf_table3a", results).notes)
    assert "patches at 32×32, 12 classes, 6,000 training images" in text
    assert "8 epochs, small networks, 3 seeds" in text
    assert "A small stand-in for ImageNet-1k validation" in text


def test_the_papers_own_protocol_is_no_stand_in(tmp_path):
    trees.whole(tmp_path)
    for method, top1 in trees.TOP1.items():
        trees.write_run(tmp_path, method, top1, dataset="imagenet", size="full")
    text = "\n".join(tables.build("ddf_table3a", Results(tmp_path)).notes)
    assert "stand-in" not in text


def test_published_runs_stand_between_the_papers_and_ours(results, tmp_path):
    published = Results(tmp_path / "published")
    trees.write_run(published.root, "resnet50", [90.0, 91.0, 92.0], dataset="cifar10")
    table = tables.build("ddf_table3a", results, published=published)
    assert cells(table, "base_model")["top1"].published.value == 91.0
    assert cells(table, "ddf")["top1"].published is None
    assert "Top-1 (%), published" in render.to_markdown(table)
    assert any("Published with this project: cifar10" in note for note in table.notes)


def test_different_seeds_cannot_be_paired(results):
    trees.write_run(results.root, "ddf_resnet50", [72.0, 73.0])
    with pytest.raises(
        BrokenResultError, match=r"ddf_resnet50 was run with the seeds \[0, 1\] but resnet50 with"
    ):
        tables.build("ddf_table3a", results)


def test_one_seed_has_no_interval(tmp_path):
    trees.whole(tmp_path)
    for method, top1 in trees.TOP1.items():
        trees.write_run(tmp_path, method, top1[:1])
    table = tables.build("ddf_table3a", Results(tmp_path))
    assert "| 71.0 |" in render.to_markdown(table)
    assert "one seed" in table.notes[0]


def test_files_are_written_and_their_bytes_repeat(results, tmp_path):
    table = tables.build("ddf_table3a", results)
    first = tables.write(table, tmp_path / "a")
    second = tables.write(tables.build("ddf_table3a", results), tmp_path / "b")
    assert [path.name for path in first] == [f"ddf_table3a.{end}" for end in ("csv", "md", "html")]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_folder_that_cannot_be_written_is_named(results, tmp_path):
    (tmp_path / "tables").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"cannot write .*tables/ddf_table1\.csv"):
        tables.write(tables.build("ddf_table1", results), tmp_path / "tables")


def test_the_csv_holds_every_digit(results):
    row = read_csv(tables.build("ddf_table3c", results))["ddf_sigma_0p4"]
    assert row["params_m_paper"] == "19.4"
    assert row["params_m_ours"] == "19.353"
    assert float(row["top1_ours"]) == pytest.approx(73.2)
    assert float(row["top1_difference_ours_low"]) < 0 < float(row["top1_difference_ours_high"])


def test_the_html_is_whole_and_escaped(results):
    text = render.to_page(tables.build("ddf_table2", results))
    assert text.startswith("<!doctype html>")
    assert "http" not in text.replace("http-equiv", "")
    assert '<span class="interval">[118.0, 123.0]</span>' in text


def test_the_rows_in_params_yaml_exist():
    chosen = tables.rows_from_params(params.load())
    assert {"ddf_table1", "ddf_table2", "ddf_table3a", "ddf_table3b", "ddf_table3c"} <= set(chosen)


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ({"ddf_table3": ["ddf"]}, UnknownNameError, "unknown table .*did you mean ddf_table3"),
        ({"ddf_table3a": ["dff"]}, UnknownNameError, "unknown row of ddf_table3a 'dff'; did you"),
        ({"ddf_table3a": "ddf"}, ValueError, "must be a list of row ids, got 'ddf'"),
        (None, ValueError, "must map table ids to row ids under tables"),
    ],
)
def test_wrong_rows_in_params_yaml_are_refused(chosen, error, message):
    with pytest.raises(error, match=message):
        tables.rows_from_params({"tables": chosen})


def test_unknown_names_are_refused(results):
    with pytest.raises(UnknownNameError, match="unknown table 'table3a'"):
        tables.build("table3a", results)
    with pytest.raises(UnknownNameError, match="unknown row of table3a 'sigmoid'"):
        tables.build("ddf_table3a", results, ["sigmoid"])


def test_table_4_names_the_network_behind_a_row(results):
    table = tables.build("ddf_table4", results)
    row = cells(table, "r50_condconv")
    assert row["params_m"].ours == Measured.counted(104.8, "exact")
    assert row["top1"].paper == 78.6
    assert row["top1_difference"].paper == pytest.approx(1.4)
    assert row["top1_difference"].ours.value == pytest.approx(0.0)
    assert [row.id for row in table.rows if row.base] == ["r18_base", "r50_base"]


def test_table_5_compares_figures_of_one_protocol_only(results):
    table = tables.build("ddf_table5", results)
    assert cells(table, "se_resnet101")["top1"].paper == 79.3
    assert cells(table, "se_resnet101")["top1_official"].paper == 78.3
    assert cells(table, "bam_resnet50")["top1"].paper is None
    assert cells(table, "ddf_resnet101")["top1_difference"].paper == pytest.approx(1.3)
    assert cells(table, "ddf_resnet101")["top1_difference"].ours.value == pytest.approx(1.3)


def test_a_cost_that_differs_says_why_below_the_table(results):
    table = tables.build("ddf_table5", results)
    text = render.to_markdown(table)
    assert "25.060 (-2.5 %, differs)" in text
    assert "- Params of “Res2Net50 (14w-8s)”: another network's count." in text
    row = read_csv(table)["res2net50_14w_8s"]
    assert row["params_m_verdict"] == "differs"


def test_the_backbones_of_detectors_are_compared_as_classifiers(results):
    row = cells(tables.build("fdconv_backbones", results), "fdconv_resnet50")
    assert row["top1"].paper is None
    assert row["top1_difference"].ours.value == pytest.approx(0.766667, abs=1e-5)
    assert row["params_m"].ours == Measured.counted(29.204)
