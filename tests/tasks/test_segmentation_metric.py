"""Mean IoU against computations that share no code with it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from repro.data.segmentation import IGNORE, SegmentationData, SegmentationImage
from repro.tasks.segmentation_metric import (
    ClassAreas,
    bootstrap_difference,
    class_areas,
    confusion,
    iou,
    joined,
    majority_floor,
    mean_iou,
    pixel_accuracy,
    resampled_mean_iou,
)

CLASSES = 5


def random_pair(images=6, size=(13, 17), classes=CLASSES, seed=0):
    """Labels with some pixels ignored, and predictions that are right about half of the time."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images, *size), generator=random)
    guesses = torch.randint(classes, (images, *size), generator=random)
    right = torch.rand(labels.shape, generator=random) < 0.5
    predicted = torch.where(right, labels, guesses)
    labels[torch.rand(labels.shape, generator=random) < 0.1] = IGNORE
    return predicted, labels


def areas_of(predicted, labels, classes=CLASSES):
    return class_areas(confusion(predicted, labels, classes))


def miou_by_sets(predicted, labels, classes=CLASSES):
    """Exact, pixel by pixel, from the definition."""
    pixels = [
        (taken, true)
        for taken, true in zip(predicted.flatten().tolist(), labels.flatten().tolist(), strict=True)
        if true != IGNORE
    ]
    shares = []
    for label in range(classes):
        both = sum(taken == label and true == label for taken, true in pixels)
        either = sum(taken == label or true == label for taken, true in pixels)
        if either:
            shares.append(Fraction(both, either))
    return float(sum(shares) / len(shares))


@pytest.mark.parametrize("seed", range(3))
def test_mean_iou_is_that_of_the_definition(seed):
    predicted, labels = random_pair(seed=seed)
    found = float(mean_iou(areas_of(predicted, labels).total()))
    assert found == pytest.approx(miou_by_sets(predicted, labels), abs=1e-12)


def test_everything_agrees_with_torchmetrics():
    # Their own IoU is in single precision, and their MeanIoU divides image by image; their
    # confusion matrix is exact.
    from torchmetrics.functional.classification import (
        multiclass_confusion_matrix,
        multiclass_jaccard_index,
    )

    predicted, labels = random_pair(images=9)
    theirs = multiclass_confusion_matrix(predicted, labels, CLASSES, ignore_index=IGNORE)
    counts = confusion(predicted, labels, CLASSES)
    assert torch.equal(counts.sum(0), theirs)
    diagonal = theirs.double().diagonal()
    shares = diagonal / (theirs.sum(0) + theirs.sum(1) - diagonal)
    areas = class_areas(counts).total()
    np.testing.assert_allclose(iou(areas), shares.numpy(), rtol=0, atol=1e-9)
    assert float(mean_iou(areas)) == pytest.approx(shares.mean().item(), abs=1e-9)
    accuracy = diagonal.sum() / theirs.sum()
    assert float(pixel_accuracy(areas)) == pytest.approx(accuracy.item(), abs=1e-9)
    jaccard = multiclass_jaccard_index(predicted, labels, CLASSES, ignore_index=IGNORE)
    assert float(mean_iou(areas)) == pytest.approx(float(jaccard), abs=1e-6)


def test_rows_are_true_and_columns_taken():
    labels = torch.tensor([[[0, 0, 1, IGNORE]]])
    predicted = torch.tensor([[[0, 2, 1, 1]]])
    counts = confusion(predicted, labels, 3)
    assert counts.tolist() == [[[1, 0, 1], [0, 1, 0], [0, 0, 0]]]
    areas = class_areas(counts).total()
    np.testing.assert_allclose(iou(areas), [1 / 2, 1, 0])  # class 2 was only predicted
    assert float(pixel_accuracy(areas)) == pytest.approx(2 / 3)


def test_a_class_that_nobody_names_does_not_count():
    predicted = labels = torch.tensor([[[0, 1]]])
    areas = areas_of(predicted, labels, 4).total()
    assert np.isnan(iou(areas)).tolist() == [False, False, True, True]
    assert float(mean_iou(areas)) == 1


def test_the_set_is_divided_as_a_whole_not_image_by_image():
    predicted = torch.tensor([[[0, 0]], [[0, 1]]])
    labels = torch.tensor([[[0, 0]], [[1, 1]]])
    areas = areas_of(predicted, labels, 2)
    assert float(mean_iou(areas.total())) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert mean_iou(areas).tolist() == pytest.approx([1, 1 / 4])


def test_resamples_are_the_figures_of_the_drawn_images():
    predicted, labels = random_pair()
    areas = areas_of(predicted, labels)
    draws = np.random.default_rng(0).integers(0, 6, (20, 6))
    found = resampled_mean_iou(areas, draws)
    for draw, figure in zip(draws, found, strict=True):
        expected = miou_by_sets(predicted[draw], labels[draw])
        assert figure == pytest.approx(expected, abs=1e-12)


def test_areas_of_batches_are_joined_in_order():
    predicted, labels = random_pair()
    whole = areas_of(predicted, labels)
    parts = joined([areas_of(predicted[:4], labels[:4]), areas_of(predicted[4:], labels[4:])])
    for name in ("right", "true", "taken"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_a_bootstrap_interval_covers_what_it_says():
    """Predictions that are right by a coin: the interval of the mean IoU holds its true value."""
    covered = 0
    for trial in range(60):
        predicted, labels = random_pair(images=40, size=(6, 6), classes=2, seed=trial)
        estimate = bootstrap_difference(areas_of(predicted, labels, 2), resamples=400)
        # Right with probability 3/4, so 3/4 in both and 5/4 in either.
        covered += estimate.low <= 100 * 3 / 5 <= estimate.high
    assert 50 <= covered <= 60


def test_a_paired_interval_is_narrower_than_an_unpaired_one():
    predicted, labels = random_pair(images=30)
    wrong = predicted.clone()
    wrong[:, ::4] = (wrong[:, ::4] + 1) % CLASSES
    better, worse = areas_of(predicted, labels), areas_of(wrong, labels)
    paired = bootstrap_difference(better, worse, resamples=2000)
    assert 0 < paired.low < paired.mean < paired.high
    separate = [bootstrap_difference(side, resamples=2000) for side in (better, worse)]
    assert paired.mean == pytest.approx(separate[0].mean - separate[1].mean)
    assert paired.half_width < sum(estimate.half_width for estimate in separate)
    assert (paired.n, paired.confidence) == (30, 0.95)
    again = bootstrap_difference(better, worse, resamples=2000)
    assert again == paired


def test_a_difference_of_other_images_is_refused():
    one, other = areas_of(*random_pair(seed=0)), areas_of(*random_pair(seed=1))
    with pytest.raises(ValueError, match="the same images"):
        bootstrap_difference(one, other)


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"resamples": 0}])
def test_an_interval_out_of_range(options):
    with pytest.raises(ValueError, match="got confidence"):
        bootstrap_difference(areas_of(*random_pair()), **options)


def test_an_image_without_labels_counts_nothing():
    predicted, labels = random_pair(images=3)
    areas = areas_of(predicted, labels)
    labels[1] = IGNORE
    predicted[1] = 4
    without = areas_of(predicted, labels)
    for name in ("right", "true", "taken"):
        assert not getattr(without, name)[1].any()
        np.testing.assert_array_equal(getattr(without, name)[0], getattr(areas, name)[0])


def test_a_set_without_any_label():
    nothing = ClassAreas(*(np.zeros((2, CLASSES), dtype=np.int64) for _ in range(3)))
    with pytest.raises(ValueError, match="no mean IoU"):
        mean_iou(nothing.total())
    with pytest.raises(ValueError, match="no accuracy"):
        pixel_accuracy(nothing.total())


@pytest.mark.parametrize(("name", "value"), [("predicted", 5), ("labels", 7), ("labels", -1)])
def test_a_number_out_of_range_is_named(name, value):
    pair = dict(zip(("predicted", "labels"), random_pair(), strict=True))
    pair["labels"][2, 0, 0] = 0
    pair[name][2, 0, 0] = value
    with pytest.raises(ValueError, match=rf"{name} of image 2 must lie in 0\.\.4, got"):
        confusion(**pair, num_classes=CLASSES)


def test_shapes_that_differ():
    with pytest.raises(ValueError, match=r"got \(1, 2, 3\) and \(1, 3, 2\)"):
        confusion(torch.zeros(1, 2, 3), torch.zeros(1, 3, 2), 2)


def labelled(*rows):
    """A dataset part of one-line images."""
    return tuple(
        SegmentationImage(
            str(number), np.zeros((1, len(row), 3), np.uint8), np.array([row], dtype=np.uint8)
        )
        for number, row in enumerate(rows)
    )


def small_data(train, test):
    return SegmentationData("small", ("a", "b", "c"), ((0, 0, 0),) * 3, train, test, "", "")


def test_the_floor_is_the_commonest_label_of_each_pixel():
    # Pixel 0: class 1; pixel 1: a tie of 0 and 2; pixel 2: never labelled, and 1 is commonest.
    train = labelled([1, 0, 255], [1, 2, 255], [1, 255, 255], [0, 255, 255])
    floor = majority_floor(small_data(train, labelled([1, 0, 1], [2, 0, 255])))
    # Predicted is 1 0 1: class 0 has 2 of 2, class 1 has 2 of 3, class 2 has 0 of 1.
    assert floor["miou"] == pytest.approx(100 * (1 + 2 / 3 + 0) / 3)
    assert floor["pixel_accuracy"] == pytest.approx(80)


def test_a_floor_needs_images_of_one_size_and_a_label():
    for train, test in (([0, 1], [0]), ([0], [0, 1])):
        with pytest.raises(ValueError, match="differ in size"):
            majority_floor(small_data(labelled(train), labelled(test)))
    with pytest.raises(ValueError, match="differ in size"):
        majority_floor(small_data(labelled([0, 1], [0]), labelled([0, 1])))
    with pytest.raises(ValueError, match="no training pixel of small has a label"):
        majority_floor(small_data(labelled([255]), labelled([0])))
