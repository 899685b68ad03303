"""The figures of detection draw what they are given."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from repro.data.scenes import Recipe, load_scenes
from repro.report import style
from repro.report.detection_figures import (
    Drawn,
    plot_average_precision,
    plot_curves,
    plot_detections,
)

SCENES = load_scenes(0, Recipe(train_count=2, test_count=2, side=64, fewest=3, most=3))
IMAGES = [SCENES.test[0], SCENES.test[1]]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def prediction(scores):
    count = len(scores)
    boxes = np.tile([0.0, 0.0, 8.0, 8.0], (count, 1))
    masks = np.zeros((count, 64, 64), dtype=bool)
    return {
        "boxes": boxes,
        "labels": np.arange(1, count + 1),
        "scores": np.array(scores),
        "masks": masks,
    }


def test_the_best_detections_are_drawn():
    found = Drawn.found(prediction([0.2, 0.9, 0.5]), 2)
    assert found.labels.tolist() == [2, 3]
    assert found.boxes.shape == (2, 4)
    assert found.masks.shape == (2, 64, 64)
    assert len(Drawn.found(prediction([0.2]), 5).labels) == 1


def test_a_box_is_drawn_for_each_object_and_a_cover_for_each_mask():
    drawn = [Drawn.truth(image) for image in IMAGES]
    boxes = [Drawn.truth(image, masks=False) for image in IMAGES]
    rows = {"truth": drawn, "boxes": boxes}
    figure = plot_detections(IMAGES, rows, SCENES.class_names)
    axes = np.array(figure.axes).reshape(2, 2)
    for column, image in enumerate(IMAGES):
        assert len(axes[0, column].patches) == len(axes[1, column].patches) == len(image.labels)
        assert len(axes[0, column].images) == 1 + len(image.labels)
        assert len(axes[1, column].images) == 1
    assert axes[1, 0].get_ylabel() == "boxes"
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    labels = {int(label) for image in IMAGES for label in image.labels}
    assert names == {SCENES.class_names[label - 1] for label in labels}


def test_nothing_found_is_drawn_too():
    none = Drawn(np.zeros((0, 4)), np.zeros(0, dtype=np.int64))
    figure = plot_detections(IMAGES[:1], {"none": [none]}, SCENES.class_names)
    assert not figure.legends


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"the 2 images, got \{'truth': 1\}"):
        plot_detections(IMAGES, {"truth": [Drawn.truth(IMAGES[0])]}, SCENES.class_names)


def test_curves_tell_their_area():
    figure = plot_curves({"nearest": np.full(101, 0.25), "ddf_up": np.full(101, 0.5)})
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["Nearest: 25.0", "DDF-Up: 50.0"]


def test_average_precision_has_a_dot_a_seed_and_a_floor():
    blocks = {"A": {"nearest": {0: 10.0, 1: 12.0}, "ddf_up": {}}}
    figure = plot_average_precision(blocks, {"A": 3.0})
    axis = figure.axes[0]
    assert axis.lines[0].get_xdata()[0] == 3.0
    assert axis.lines[1].get_xdata().tolist() == [10.0, 12.0]
    assert axis.lines[1].get_color() == style.look("nearest").colour
    assert [text.get_text().strip() for text in axis.texts] == ["broke down in every seed"]
