"""Errors of single images and of the sampling study are read strictly."""

from __future__ import annotations

import depth_trees
import numpy as np
import pytest

from repro.files import read_json, write_json, write_text
from repro.report.depth_errors import error_difference
from repro.report.result_files import BrokenResultError, MissingResultError
from repro.report.results import Results
from repro.report.runs import JOINT_UPSAMPLING, UPSAMPLING_ABLATION


@pytest.fixture
def results(tmp_path) -> Results:
    depth_trees.whole(tmp_path)
    return Results(tmp_path)


def difference(results, method="ddf_up_net", base="pac_net", factor=4, **options):
    return error_difference(results, JOINT_UPSAMPLING, method, base, factor, **options)


def edit(results, name, before, after, count=-1):
    path = results.root / "joint_upsampling" / name
    text = path.read_text()
    assert before in text
    write_text(path, text.replace(before, after, count))


def test_errors_are_read_by_seed_and_image(results):
    found = results.image_errors(JOINT_UPSAMPLING, "pac_net", 8)
    assert found.seeds == depth_trees.SEEDS
    assert found.images[:2] == ("0000", "0001")
    expected = [depth_trees.image_errors(2.4 * 2, seed) for seed in depth_trees.SEEDS]
    np.testing.assert_allclose(found.rmse, expected)
    np.testing.assert_allclose(found.edge_rmse, 2.5 * found.rmse)
    assert found.pixels[0] == 300000
    assert results.image_errors(JOINT_UPSAMPLING, "jbu", 8).seeds == (None,)


def test_the_sampling_study_is_read(results):
    trials = results.sampling()
    assert {(trial.sampling, trial.factor) for trial in trials} == {
        (sampling, factor) for sampling in ("centre", "last") for factor in depth_trees.FACTORS
    }
    assert trials[0].rmse == 5.4


def test_a_seed_that_broke_down_is_left_out_on_both_sides(results):
    depth_trees.break_down(results.root, "pac_net", 4, 1)
    assert results.image_errors(JOINT_UPSAMPLING, "pac_net", 4).seeds == (0, 2)
    assert difference(results).n == 2
    assert difference(results, factor=8).n == 3


def test_a_seed_without_all_its_figures_broke_down_too(results):
    path = results.root / "joint_upsampling" / "per_image.csv"
    (line,) = (own for own in path.read_text().splitlines() if own.startswith("djf,4,1,0003,"))
    cells = line.split(",")
    edit(results, "per_image.csv", line, ",".join([*cells[:4], "nan", "", *cells[6:]]))
    assert results.image_errors(JOINT_UPSAMPLING, "djf", 4).seeds == (0, 2)


def test_a_method_that_broke_down_in_every_seed_has_no_difference(results):
    depth_trees.break_down(results.root, "pac_net", 4, *depth_trees.SEEDS)
    assert difference(results) is None
    assert difference(results, "jbu") is None
    assert difference(results, factor=8).n == 3


def test_images_without_edges_are_left_out_of_the_edge_error_alone(results):
    path = results.root / "joint_upsampling" / "per_image.csv"
    lines = [
        ",".join([*line.split(",")[:5], "", line.split(",")[6], "0"]) if ",0003," in line else line
        for line in path.read_text().splitlines()
    ]
    write_text(path, "\n".join(lines) + "\n")
    own = {
        name: depth_trees.image_errors(error, None) for name, error in (("jbu", 4.0), ("gf", 4.9))
    }
    kept = np.arange(depth_trees.IMAGES) != 3
    edge = difference(results, "jbu", "gf", edge=True)
    assert edge.mean == pytest.approx(2.5 * (own["jbu"] - own["gf"])[kept].mean())
    assert difference(results, "jbu", "gf").mean == pytest.approx(4.0 - 4.9)


def test_differences_follow_the_convention_of_the_run(results, tmp_path):
    averaged = difference(results)
    squares = [
        np.sqrt(np.mean(depth_trees.image_errors(depth_trees.AT_X4[name], seed) ** 2))
        for name in ("ddf_up_net", "pac_net")
        for seed in depth_trees.SEEDS
    ]
    path = results.root / "joint_upsampling" / "metrics.json"
    content = read_json(path)
    content["convention"] = "pooled"
    content["variants"]["ddf_up_net"]["rmse_x4"] = squares[:3]
    content["variants"]["pac_net"]["rmse_x4"] = squares[3:]
    write_json(path, content)
    pooled = difference(results)
    assert pooled.mean == pytest.approx(np.mean(squares[:3]) - np.mean(squares[3:]))
    assert pooled.mean < averaged.mean < 0


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda r: difference(r), "metrics.json is missing; make it with: dvc repro joint_upsam"),
        (
            lambda r: r.image_errors(JOINT_UPSAMPLING, "gf", 4),
            "per_image.csv is missing; make it with: dvc repro joint_upsampling",
        ),
        (
            lambda r: r.image_errors(UPSAMPLING_ABLATION, "ddf_up_net", 4),
            "per_image.csv is missing; make it with: dvc repro ablate_joint_upsampling",
        ),
        (lambda r: r.sampling(), "sampling.csv is missing; make it with: dvc repro joint_upsam"),
    ],
)
def test_a_missing_file_comes_with_its_command(tmp_path, read, message):
    with pytest.raises(MissingResultError, match=message):
        read(Results(tmp_path))


def test_a_missing_method_or_factor_is_missing(results):
    with pytest.raises(MissingResultError, match="no line of 'sgf' at 4x"):
        results.image_errors(JOINT_UPSAMPLING, "sgf", 4)
    with pytest.raises(MissingResultError, match="no errors at 2x; add the factor to joint_"):
        difference(results, factor=2)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("edge_pixels", "edges", "lacks the columns edge_pixels"),
        ("pac_net,4,1,0003,", "pac_net,4,1,0003,much", "line .*ValueError"),
        ("pac_net,4,1,", "pac_net,four,1,", "line .*ValueError.*four"),
        ("pac_net,4,1,0003,", "pac_net,4,1,0004,", "pac_net at 4x, seed 1 has '0004' twice"),
        ("pac_net,4,1,0003,", "pac_net,4,1,0300,", "seed 1 and another seed do not .* '0003'"),
        ("jbu,4,,0003,", "jbu,4,0,0003,", "jbu at 4x.* do not hold the same images"),
    ],
)
def test_a_malformed_file_of_image_errors_is_named(results, before, after, message):
    edit(results, "per_image.csv", before, after, 1)
    with pytest.raises(BrokenResultError, match=message):
        difference(results)


def test_an_empty_file_is_named(results):
    write_text(results.root / "joint_upsampling" / "per_image.csv", "method,factor\n")
    with pytest.raises(BrokenResultError, match=r"lacks the columns method, .*or any line"):
        difference(results)


def test_a_file_that_changed_is_read_anew(results):
    before = results.image_errors(JOINT_UPSAMPLING, "gf", 4).rmse[0, 0]
    depth_trees.write(results.root, errors={**depth_trees.AT_X4, "gf": 9.0})
    assert results.image_errors(JOINT_UPSAMPLING, "gf", 4).rmse[0, 0] > before + 1


def test_methods_tested_on_other_images_do_not_pair(results):
    edit(results, "per_image.csv", "pac_net,4,0,0003,", "pac_net,4,0,0300,")
    edit(results, "per_image.csv", "pac_net,4,1,0003,", "pac_net,4,1,0300,")
    edit(results, "per_image.csv", "pac_net,4,2,0003,", "pac_net,4,2,0300,")
    with pytest.raises(BrokenResultError, match="the same images at 4x; they differ in 0003"):
        difference(results)


def test_methods_run_with_other_seeds_do_not_pair(tmp_path):
    depth_trees.write(tmp_path)
    path = tmp_path / "joint_upsampling" / "metrics.json"
    content = read_json(path)
    content["variants"]["pac_net"]["seeds"] = [0, 1, 5]
    write_json(path, content)
    edit(Results(tmp_path), "per_image.csv", "pac_net,4,2,", "pac_net,4,5,")
    with pytest.raises(BrokenResultError, match=r"seeds \[0, 1, 2\] but pac_net with \[0, 1, 5\]"):
        difference(Results(tmp_path))


def test_two_files_of_different_runs_are_found_out(results):
    path = results.root / "joint_upsampling" / "metrics.json"
    content = read_json(path)
    content["variants"]["pac_net"]["rmse_x4"][2] += 0.1
    write_json(path, content)
    with pytest.raises(
        BrokenResultError, match=r"disagree: rmse_x4 of pac_net is 2\.49.* and 2\.39"
    ):
        difference(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convention": "median"}, "unknown convention 'median'"),
        ({"factors": "4"}, "must list its factors, got '4'"),
    ],
)
def test_a_run_that_does_not_say_how_it_was_made_is_refused(results, change, message):
    path = results.root / "joint_upsampling" / "metrics.json"
    write_json(path, {**read_json(path), **change})
    with pytest.raises(BrokenResultError, match=message):
        difference(results)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("alignment", "aligned", "line 2: KeyError"),
        ("5.4\n", "?\n", "line 2: ValueError"),
        ("per_image,", "median,", "line 2: convention must be per_image or pooled, got 'median'"),
    ],
)
def test_a_malformed_sampling_study_is_named(results, before, after, message):
    edit(results, "sampling.csv", before, after, 1)
    with pytest.raises(BrokenResultError, match=message):
        results.sampling()
