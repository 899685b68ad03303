"""The plot and the table of a comparison show every method, and what its interval says."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from repro.report import style
from repro.report.ablation import plot_blocks, tabulate
from repro.stats import mean_interval

AHEAD, OPEN, GONE, WIDE = (
    {0: 2.0, 1: 2.2, 2: 2.1},
    {0: -1.0, 1: 2.0, 2: 0.5},
    {},
    {0: -20.0, 1: 20.0, 2: 0.0},
)
BLOCKS = {
    "first": {"ddf_resnet50": AHEAD, "se_resnet50": OPEN},
    "second": {"fdconv_resnet50": GONE, "my_layer": WIDE, **{f"m{i}": OPEN for i in range(8)}},
}


@pytest.fixture
def drawn():
    with style.applied():
        figure = plot_blocks(BLOCKS)
    yield figure.axes
    plt.close(figure)


def bands(axis):
    """Height -> how dark the band of that line is."""
    return {line.get_ydata()[0]: line.get_alpha() for line in axis.lines if line.get_alpha()}


def test_a_band_is_dark_where_it_misses_zero(drawn):
    assert bands(drawn[0]) == {0: 0.6, 1: 0.2}


def test_every_method_has_a_line_with_its_name(drawn):
    labels = [[label.get_text() for label in axis.get_yticklabels()] for axis in drawn]
    assert labels == [[style.look(name).label for name in block] for block in BLOCKS.values()]
    assert [axis.get_title(loc="left") for axis in drawn] == list(BLOCKS)
    assert 0 not in bands(drawn[1])
    assert "broke down in every seed" in drawn[1].texts[0].get_text()


def test_a_band_that_leaves_the_picture_ends_in_arrows(drawn):
    low, high = drawn[1].get_xlim()
    wide = mean_interval(list(WIDE.values()))
    assert wide.low < low < -20
    assert 20 < high < wide.high
    arrows = [line for line in drawn[1].lines if line.get_marker() in "<>"]
    assert [line.get_ydata()[0] for line in arrows] == [1, 1]


def test_the_table_has_accuracy_difference_and_time():
    metrics = {
        "resnet50": run("resnet50", {"mean": 50.0, "low": 49.0, "high": 51.0, "n": 3}, None),
        "ddf_resnet50": run(
            "resnet50",
            {"mean": 52.0, "low": 51.0, "high": 53.0, "n": 3},
            {"mean": 2.0, "low": 1.5, "high": 2.5, "n": 3},
        ),
        "ddf_no_norm": {"base": "resnet50", "mean": {}, "train_seconds": [None]}
        | {"difference_top1": None},
    }
    table = tabulate({"Table 9": list(metrics)}, metrics)
    assert [network for _, network in table.index] == ["ResNet-50", "DDF-ResNet50", "no norm"]
    assert list(table["top-1, %"]) == ["50.00 ± 1.00 (n=3)", "52.00 ± 1.00 (n=3)", "broke down"]
    assert list(table["less the base's, points"]) == ["base", "2.00 ± 0.50 (n=3)", "broke down"]
    assert list(table["seconds a run"]) == ["1.5", "1.5", ""]


def run(base, top1, difference):
    mean = {"top1": {**top1, "confidence": 0.95}}
    found = difference and {**difference, "confidence": 0.95}
    return {"base": base, "mean": mean, "train_seconds": [1.0, 2.0], "difference_top1": found}
