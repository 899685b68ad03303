"""FDConv's Tables 2, 4 and 5: every row, the standing of its figures, paired differences."""

from __future__ import annotations

import numpy as np
import pytest
import segmentation_trees

from repro import params
from repro.files import read_json, write_json
from repro.models.segmentation import SEGMENTERS
from repro.report import tables
from repro.report.class_areas import miou_difference, read_class_areas
from repro.report.result_files import BrokenResultError, MissingResultError
from repro.report.results import Results
from repro.report.runs import SEGMENTATION

TABLES = ("fdconv_table2", "fdconv_table4", "fdconv_table5")


@pytest.fixture
def results(tmp_path) -> Results:
    segmentation_trees.whole(tmp_path)
    write_json(tmp_path / "printed_costs.json", segmentation_trees.printed_costs())
    return Results(tmp_path)


def cells(table, row):
    found = next(entry for entry in table.rows if entry.id == row)
    return {column.id: cell for column, cell in zip(table.columns, found.cells, strict=True)}


def test_every_row_has_costs_a_figure_and_a_standing(results):
    rows = []
    for table_id in TABLES:
        table = tables.build(table_id, results)
        for row in table.rows:
            own = cells(table, row.id)
            metric = "miou_ss" if table_id == "fdconv_table2" else "miou"
            assert own["params_m"].ours.exact
            assert own["flops_g"].ours.exact
            assert own[metric].ours.n == 3
            assert own["standing"].paper in ("second-hand", "not known")
            assert (own["standing"].paper == "not known") == (own[metric].paper is None)
            rows.append(row.id)
    assert rows == segmentation_trees.ROWS


def test_added_params_have_a_verdict_where_the_paper_is_quoted(results):
    table = tables.build("fdconv_table2", results)
    for row in ("upernet_r50_odconv_4x", "upernet_r50_fdconv"):
        assert cells(table, row)["params_delta_m"].ours_verdict == "exact"
    assert cells(table, "upernet_r50")["params_delta_m"].ours is None
    other = tables.build("fdconv_table4", results)
    assert cells(other, "mask2former_r50_fdconv")["params_delta_m"].ours_verdict is None


def test_differences_are_to_the_base_above_over_images_and_seeds(results):
    table = tables.build("fdconv_table5", results)
    cell = cells(table, "maskdino_swin_l_22k_fdconv")["miou_difference"].ours
    figures = results.run(SEGMENTATION, "maskdino_swin_l_22k_fdconv").figures("miou")
    base = results.run(SEGMENTATION, "maskdino_swin_l_22k").figures("miou")
    assert cell.value == pytest.approx(np.mean([figures[s] - base[s] for s in figures]))
    assert 0 < cell.low < cell.value < cell.high
    assert cells(table, "maskdino_swin_l_22k")["miou_difference"].ours is None


def test_several_scales_belong_to_table_2(results):
    table = tables.build("fdconv_table2", results)
    own = cells(table, "upernet_r50_fdconv")
    assert own["miou_ms"].ours.value > own["miou_ss"].ours.value
    assert own["miou_ms_difference"].ours.n == 3


def test_notes_say_what_is_second_hand_and_what_not_looking_gives(results):
    notes = " ".join(tables.build("fdconv_table5", results).notes)
    assert "second-hand" in notes
    assert "gives 10.0 %" in notes
    assert "56.7" in notes
    assert "3 seeds, 48 training steps" in notes


def test_the_interval_knows_images_and_seeds(results):
    path = results.root / "segmentation" / "per_image.csv"
    areas = read_class_areas(path, "segmentation")["upernet_r50", "miou"]
    counts = np.eye(areas.true.shape[1])[:2] * 3  # sets of one image, three times
    right, true, taken = (side[:, 1] for side in (areas.right, areas.true, areas.taken))
    expected = [segmentation_trees.miou(*(s[None, i] for s in (right, true, taken))) for i in (0,)]
    assert areas.miou(counts)[1, 0] == pytest.approx(expected[0], rel=1e-12)
    found = miou_difference(results, SEGMENTATION, "upernet_r50_fdconv", "upernet_r50")
    assert found.n == 3
    assert found.low < found.mean < found.high


def test_a_class_that_is_nowhere_does_not_count(tmp_path):
    path = tmp_path / "per_image.csv"
    path.write_text(
        "method,seed,metric,image,class,right,true,taken\n"
        "a,0,miou,x,0,5,10,5\na,0,miou,x,2,5,5,10\nb,0,miou,x,1,1,1,1\n"
    )
    areas = read_class_areas(path, "segmentation")["a", "miou"]
    assert areas.miou(np.ones((1, 1)))[0, 0] == pytest.approx(50.0)


def test_counts_that_contradict_the_metrics_are_refused(results):
    path = results.root / "segmentation" / "metrics.json"
    content = read_json(path)
    content["variants"]["upernet_r50"]["miou"][1] += 0.01
    write_json(path, content)
    with pytest.raises(BrokenResultError, match="upernet_r50, seed 1"):
        miou_difference(results, SEGMENTATION, "upernet_r50_fdconv", "upernet_r50")


def test_other_images_are_no_pair(results):
    path = results.root / "segmentation" / "per_image.csv"
    text = path.read_text()
    line = next(own for own in text.splitlines() if own.startswith("upernet_r50,0,miou,000,0,"))
    right, true, taken = (int(x) for x in line.split(",")[-3:])
    start = line.rsplit(",", 3)[0]
    # One pixel fewer of the class, taken for it or not: the share stays what it was to 1e-3 only.
    path.write_text(text.replace(line, f"{start},{right},{true - 1},{taken + 1}"))
    with pytest.raises(BrokenResultError, match="same images"):
        miou_difference(results, SEGMENTATION, "upernet_r50_fdconv", "upernet_r50")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,seed\na,0\n", "per_image.csv"),
        ("method,seed,metric,image,class,right,true,taken\n", "counts of pixels"),
        ("method,seed,metric,image,class,right,true,taken\na,0,m,x,0,x,1,1\n", "per_image.csv"),
        ("method,seed,metric,image,class,right,true,taken\na,0,m,x,0,-1,1,1\n", "none below 0"),
        ("method,seed,metric,image,class,right,true,taken\n" + 2 * "a,0,m,x,0,1,1,1\n", "twice"),
    ],
)
def test_broken_counts_are_named(tmp_path, text, message):
    path = tmp_path / "per_image.csv"
    path.write_text(text)
    with pytest.raises(BrokenResultError, match=message):
        read_class_areas(path, "segmentation")


def test_a_missing_file_names_the_stage(tmp_path):
    with pytest.raises(MissingResultError, match="dvc repro segmentation"):
        read_class_areas(tmp_path / "per_image.csv", "segmentation")


def test_every_row_is_trained_beside_its_base_at_every_scale():
    chosen = params.load()
    shown = {row for table in TABLES for row in chosen["tables"][table]}
    for scale in params.SCALES:
        trained = set(chosen["segmentation"][scale]["methods"])
        assert shown <= trained
        assert {SEGMENTERS[row].base for row in shown} - {None} <= trained
