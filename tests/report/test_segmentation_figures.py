"""The figures of semantic segmentation show what they are given, or say what is wrong with it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from repro.report import segmentation_figures as figures

COLOURS = [(200, 0, 0), (0, 200, 0)]
NAMES = ["one", "two"]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def maps(count=2):
    images = [np.full((8, 12, 3), 90, np.uint8)] * count
    truths = [np.tile(np.array([0, 1, 255], np.uint8), (8, 4))] * count
    return images, truths


def test_classes_get_their_colours_and_unlabelled_pixels_none_of_them():
    shown = figures.coloured(np.array([[0, 1, 255]], np.uint8), COLOURS)
    assert shown[0, :2].tolist() == [list(colour) for colour in COLOURS]
    assert tuple(shown[0, 2]) not in COLOURS


def test_predictions_stand_beside_the_truth_with_the_share_that_is_right():
    images, truths = maps()
    own = [np.zeros((8, 12), np.uint8)] * 2
    drawn = figures.plot_predictions(images, truths, {"upernet_r50": own}, COLOURS, NAMES)
    assert len(drawn.axes) == 2 * 3
    titles = [axis.get_title() for axis in drawn.axes[:3]]
    assert titles == ["image", "truth", "UPerNet R50"]
    assert drawn.axes[2].get_xlabel() == "50% right", "pixels without a label do not count"


@pytest.mark.parametrize("wrong", ["none", "fewer"])
def test_maps_must_be_as_many_as_images(wrong):
    images, truths = maps() if wrong == "fewer" else ([], [])
    with pytest.raises(ValueError, match="images need as many maps"):
        figures.plot_predictions(images, truths, {"m": truths[:1]}, COLOURS, NAMES)


def test_modulation_maps_have_one_scale_around_one():
    edge = np.zeros((8, 12), bool)
    edge[4] = True
    own = np.stack([np.full((2, 3), value) for value in (1.0, 1.2, 0.9)])
    drawn = figures.plot_band_maps(np.zeros((8, 12, 3), np.uint8), own, edge)
    for axis in drawn.axes[1:4]:
        assert axis.images[0].get_clim() == pytest.approx((0.8, 1.2))
    figures.plot_band_maps(np.zeros((8, 12, 3), np.uint8), np.ones((3, 2, 3)), edge)


def test_boundary_ratios_are_a_dot_a_seed():
    rows = [
        {"method": "upernet_r50_fdconv", "seed": seed, "image": "a", "band": band, "ratio": 1.1}
        for seed in (0, 1)
        for band in (1, 2, 3)
    ]
    (axis,) = figures.plot_boundary_ratios(pd.DataFrame(rows)).axes
    dots = [line for line in axis.lines if line.get_marker() == "o" and len(line.get_xdata()) == 2]
    assert len(dots) == 3
    assert [label.get_text() for label in axis.get_xticklabels()] == list(figures.BANDS[:3])


def test_spectra_are_dashed_before_and_solid_after():
    table = pd.DataFrame(
        {"method": "m", "seed": [0, 0], "frequency": [0.1, 0.3], "before": [0.9, 0.1], "after": 0.5}
    )
    (axis,) = figures.plot_spectra(table).axes
    assert [line.get_linestyle() for line in axis.lines[:2]] == ["--", "-"]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["m, before", "m, after"]


def test_scores_show_the_floor():
    (axis,) = figures.plot_scores({"upernet_r50": [30.0, 32.0], "m": [10.0]}, floor=17.0).axes
    assert "without looking" in axis.texts[0].get_text()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["UPerNet R50", "m"]
    (without,) = figures.plot_scores({"m": [10.0]}).axes
    assert not without.texts
