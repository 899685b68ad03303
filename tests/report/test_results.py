"""A results tree is read strictly: what is missing or broken is named, with the command."""

from __future__ import annotations

import pytest
import trees

from repro.files import write_json, write_text
from repro.report.result_files import BrokenResultError, MissingResultError
from repro.report.results import Results
from repro.report.runs import CLASSIFICATION, DDF_ABLATION


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(trees.whole(tmp_path))


def test_a_run_is_read_by_seed(results):
    run = results.run(CLASSIFICATION, "resnet50")
    assert run.figures("top1") == {0: 71.0, 1: 72.1, 2: 70.8}
    assert run.details["dataset"] == "patches"


def test_a_seed_that_broke_down_has_no_figure(results):
    run = results.run(DDF_ABLATION, "ddf_no_norm")
    assert run.seeds == (0, 1, 2)
    assert run.figures("top1") == {0: 30.0, 2: 41.0}


def test_every_kind_of_file_is_read(results):
    assert results.cost("resnet50")["params"] == 25557032
    assert len(results.counts()) == len(trees.counts())
    assert results.check("unfold_equals_op")["tolerance"] == 1e-13
    assert results.timing("pac").p80_ms == 950.0
    assert results.timing("ddf").backend == "cpu"


@pytest.mark.parametrize(
    ("read", "file", "command"),
    [
        (
            lambda r: r.run(CLASSIFICATION, "resnet50"),
            "classification/resnet50/metrics.json",
            "dvc repro train_classification@resnet50",
        ),
        (lambda r: r.run(DDF_ABLATION, "ddf_no_norm"), "metrics.json", "dvc repro ablate_ddf"),
        (lambda r: r.cost("resnet50"), "costs.json", "dvc repro costs"),
        (lambda r: r.counts(), "complexity.json", "dvc repro ddf_operator"),
        (lambda r: r.check("unfold_equals_op"), "checks.json", "dvc repro ddf_operator"),
        (lambda r: r.timing("ddf"), "ddf_table2.csv", "dvc repro benchmark_kernels"),
    ],
)
def test_a_missing_file_comes_with_the_command_that_makes_it(tmp_path, read, file, command):
    with pytest.raises(MissingResultError, match=f"{file} is missing; make it with: {command}"):
        read(Results(tmp_path))


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda r: r.run(DDF_ABLATION, "ddf_kernel_7"), "no variant 'ddf_kernel_7' .*params.yaml"),
        (lambda r: r.cost("vgg"), "no costs of 'vgg'"),
        (lambda r: r.timing("involution"), "no forward row of 'involution'"),
    ],
)
def test_a_missing_entry_is_missing_too(results, read, message):
    with pytest.raises(MissingResultError, match=message):
        read(results)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "metrics.json is not valid JSON.*make it anew with: dvc repro .* --force"),
        ("[]", "must be a mapping, got list"),
        ('{"top1": [1.0]}', "must list the seeds of resnet50, got None"),
        ('{"seeds": [0, 1], "top1": [70.0]}', "2 seeds but 1 figures of 'top1'"),
    ],
)
def test_a_malformed_metrics_file_is_named(tmp_path, content, message):
    write_text(tmp_path / "classification" / "resnet50" / "metrics.json", content)
    with pytest.raises(BrokenResultError, match=message):
        Results(tmp_path).run(CLASSIFICATION, "resnet50")


def test_a_metric_that_was_not_recorded_is_named(results):
    with pytest.raises(BrokenResultError, match=r"lacks 'map' of resnet50; has: top1, top5"):
        results.run(CLASSIFICATION, "resnet50").figures("map")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("median_ms", "median", "row 'conv': KeyError"),
        ("120.0", "fast", "row 'conv': ValueError"),
        ("\ndwconv", "\nconv", "two forward rows of the op 'conv'"),
    ],
)
def test_a_malformed_benchmark_is_named(tmp_path, before, after, message):
    trees.write_timings(tmp_path)
    path = tmp_path / "benchmark" / "ddf_table2.csv"
    write_text(path, path.read_text().replace(before, after))
    with pytest.raises(BrokenResultError, match=message):
        Results(tmp_path).timing("conv")


def test_a_count_without_a_field_is_named(tmp_path):
    path = tmp_path / "ddf_operator" / "complexity.json"
    write_json(path, {"counts": [{"system": "ddf"}]})
    with pytest.raises(BrokenResultError, match="a count lacks 'channels'"):
        Results(tmp_path).counts()
