"""Figures of joint depth upsampling: what they show, and what they refuse to."""

from __future__ import annotations

import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from repro.papers import load
from repro.report import own_tables, style
from repro.report.depth_figures import (
    DepthExample,
    plot_errors_by_factor,
    plot_examples,
    plot_per_image,
    plot_sampling,
)
from repro.stats import Estimate

FACTOR = 4


@pytest.fixture(autouse=True)
def in_style():
    with style.applied():
        yield
    plt.close("all")


def example(**changes) -> DepthExample:
    truth = np.arange(16 * 24, dtype=np.float32).reshape(16, 24) / 100
    truth[5, 6] = np.nan
    filled = np.nan_to_num(truth, nan=1.0)
    plain = DepthExample(
        "a room",
        filled[1::FACTOR, 1::FACTOR],
        np.zeros((16, 24, 3), np.uint8),
        truth,
        {"bilinear": filled + 0.02, "ddf_up_net": filled - 0.01},
    )
    return replace(plain, **changes)


def images(figure):
    """Position in the grid -> what is drawn there."""
    return {
        (axis.get_subplotspec().rowspan.start, axis.get_subplotspec().colspan.start): axis
        for axis in figure.axes
        if axis.get_subplotspec() is not None and axis.get_images()
    }


def test_the_grid_has_input_guidance_methods_truth_and_errors_below():
    figure = plot_examples([example()], "cm", 100)
    drawn = images(figure)
    assert sorted(drawn) == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3)]
    titles = [drawn[0, column].get_title(loc="center") for column in range(5)]
    assert titles == ["input", "guidance", "Bilinear", "DDF-Up-Net", "ground truth"]
    assert drawn[0, 0].get_images()[0].get_array().shape == (4, 6)
    error = drawn[1, 2].get_images()[0].get_array()
    assert np.nanmax(error) == pytest.approx(2.0, rel=1e-3)
    assert drawn[1, 2].get_xlabel() == "RMSE 2.00 cm"
    assert np.ma.masked_invalid(error).mask.sum() == 1, "the unknown pixel has no error"


def test_errors_share_one_scale_and_depths_one_for_each_example():
    near = example(name="near", truth=example().truth * 0.1)
    figure = plot_examples([example(), near], "cm", 100)
    drawn = images(figure)
    limits = {drawn[row, column].get_images()[0].get_clim() for row in (1, 3) for column in (2, 3)}
    assert len(limits) == 1
    of_example = [
        {drawn[row, column].get_images()[0].get_clim() for column in (0, 2, 3, 4)} for row in (0, 2)
    ]
    assert [len(own) for own in of_example] == [1, 1]
    assert of_example[0] != of_example[1]
    labels = [axis.get_ylabel() + axis.get_xlabel() for axis in figure.axes]
    assert labels.count("absolute error (cm)") == 1
    assert "near" in labels


def test_a_crop_is_cut_from_every_map():
    shown = example(crop=(4, 8, 8, 12)).cropped()
    assert shown.low.shape == (2, 3)
    assert shown.rgb.shape == (8, 12, 3)
    np.testing.assert_array_equal(shown.truth, example().truth[4:12, 8:20])
    np.testing.assert_array_equal(shown.low, example().low[1:3, 2:5])
    assert shown.predictions["bilinear"].shape == (8, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (2, 0, 8, 8)}, r"be multiples of 4, got \(2, 0, 8, 8\)"),
        ({"crop": (8, 0, 12, 8)}, r"crop must lie in \(16, 24\)"),
        ({"crop": (-4, 0, 8, 8)}, r"crop must lie in \(16, 24\)"),
        ({"crop": (0, 0, 0, 8)}, r"crop must lie in \(16, 24\)"),
        ({"rgb": np.zeros((8, 24, 3))}, r"must fit truth \(16, 24\), got .*rgb.*\(8, 24\)"),
        ({"predictions": {"jbu": np.zeros((4, 6))}}, r"must fit truth .*jbu.*\(4, 6\)"),
        ({"low": np.zeros((5, 6))}, r"must fit truth .*low \(5, 6\)"),
        ({"low": np.zeros((32, 48))}, r"must fit truth .*low \(32, 48\)"),
        ({"truth": np.full((16, 24), np.nan)}, "no depth is known"),
        ({"predictions": {}}, "at least one method"),
    ],
)
def test_maps_that_do_not_belong_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        plot_examples([example(**changes)], "cm")


def test_examples_with_other_methods_are_refused():
    other = example(name="other", predictions={"jbu": example().truth})
    with pytest.raises(ValueError, match=r"other must have the methods \['bilinear', 'ddf_up_n"):
        plot_examples([example(), other], "cm")


def test_errors_stand_beside_the_papers():
    errors = {
        "bicubic": {4: Estimate(8.0, None, None, 1), 16: Estimate(22.0, None, None, 1)},
        "ddf_up_net": {4: Estimate(2.2, 2.0, 2.4, 3), 16: Estimate(7.8, 7.1, 8.5, 3)},
    }
    figure = plot_errors_by_factor(errors, "cm", {"bicubic": {4: 8.16}})
    left, right = figure.axes
    assert [left.get_title(loc="left"), right.get_title(loc="left")] == ["4×", "16×"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["Bicubic", "DDF-Up-Net"]
    assert left.get_xlabel() == "RMSE (cm)"
    assert [line.get_xdata()[0] for line in left.lines if line.get_marker() == "d"] == [8.16]
    assert not [line for line in right.lines if line.get_marker() == "d"]
    bands = [list(line.get_xdata()) for line in right.lines if len(line.get_xdata()) == 2]
    assert bands == [[7.1, 8.5]]
    assert left.get_xlim()[1] > 8.16


def test_every_image_is_a_dot():
    figure = plot_per_image({"pac_net": [2.0, 3.0, 4.0], "ddf_up_net": [1.0, 3.5, 2.0]}, "cm", 16)
    axis = figure.axes[0]
    np.testing.assert_array_equal(axis.collections[0].get_offsets()[:, 1], [1.0, 3.5, 2.0])
    assert axis.get_title(loc="left") == "DDF-Up-Net errs less on 67% of 3 images at 16×"
    assert axis.get_xlabel() == "RMSE of PAC-Net (cm)"
    assert axis.get_xlim() == axis.get_ylim()


def test_the_sampling_study_has_a_line_a_combination_and_the_printed_error():
    trials = pd.DataFrame(
        [
            (method, sampling, "exact", factor, convention, 5.0 + factor)
            for method in ("bilinear", "bicubic")
            for sampling in ("centre", "last")
            for factor in (4, 8)
            for convention in ("per_image", "pooled")
        ],
        columns=["method", "sampling", "alignment", "factor", "convention", "rmse"],
    )
    figure = plot_sampling(trials, "cm", {4: 8.16})
    left, right = figure.axes
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels == ["centre / exact", "last / exact"]
    dots = [line for line in left.lines if line.get_linestyle() == "None"]
    assert len(dots) == 8
    assert sum(line.get_markerfacecolor() == "none" for line in dots) == 4
    assert [list(line.get_xdata()) for line in left.lines if line not in dots] == [[8.16, 8.16]]
    assert all(line.get_linestyle() == "None" for line in right.lines)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_examples([], "cm"),
        lambda: plot_errors_by_factor({}, "cm"),
        lambda: plot_per_image({"pac_net": [1.0]}, "cm"),
        lambda: plot_per_image({"pac_net": [1.0], "jbu": [1.0, 2.0]}, "cm"),
        lambda: plot_per_image({"pac_net": [], "jbu": []}, "cm"),
        lambda: plot_sampling(pd.DataFrame(columns=["rmse"]), "cm"),
    ],
)
def test_nothing_to_draw_is_an_error(draw):
    with pytest.raises(ValueError, match="needs"):
        draw()


def test_every_figure_is_drawn_without_a_warning():
    errors = {"bicubic": {4: Estimate(8.0, None, None, 1)}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_examples([example(), example(crop=(0, 0, 8, 8))], "cm").canvas.draw()
        plot_errors_by_factor(errors, "cm", {"bicubic": {4: 8.16}}).canvas.draw()


@pytest.mark.parametrize("make", [own_tables.ddf_table7, own_tables.ddf_upsampling_ablation])
def test_no_two_upsamplers_look_alike(make):
    systems = [row.system for row in make().rows]
    assert set(systems) <= set(style.known_methods())
    looks = {(style.look(system).colour, style.look(system).marker) for system in systems}
    assert len(looks) == len(systems)
    labels = {style.look(system).label for system in systems}
    assert len(labels) == len(systems)


def test_table_7s_methods_are_called_as_the_paper_calls_them():
    for row in load("ddf").table("table7").rows:
        assert style.look(row.system).label == row.name
