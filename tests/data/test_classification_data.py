"""Every dataset gives the same interface, and every batch can be made again."""

from __future__ import annotations

import itertools

import pytest
import torch

from repro.data import DataError, classification, classification_names, load_classification
from repro.data.in_memory import channel_statistics
from repro.names import UnknownNameError

PARTS = {"cifar10": 32, "tinyimagenet20": 64, "imagenet": 300}


@pytest.fixture(params=PARTS)
def data(request, class_folders):
    root = class_folders(request.param, PARTS[request.param])
    return load_classification(request.param, root=root, workers=0)


def equal(a, b) -> bool:
    return all(torch.equal(*pair) for pair in zip(a, b, strict=True))


def test_batches_are_normalised_images_with_labels(data):
    batches = data.train_batches(4, seed=0, epoch=0)
    assert len(batches) == len(list(batches)) == 3
    for x, y in batches:
        assert x.shape == (4, 3, data.image_size, data.image_size)
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert x.abs().max() < 10
    assert data.num_classes == 2
    assert (data.train_count, data.test_count) == (12, 6)


def test_an_epoch_shows_each_image_once(data):
    labels = torch.cat([y for _, y in data.train_batches(4, seed=0, epoch=0)])
    assert labels.bincount().tolist() == [6, 6]


def test_an_incomplete_last_batch_is_left_out_in_training_but_not_in_testing(data):
    assert [len(y) for _, y in data.train_batches(5, seed=0, epoch=0)] == [5, 5]
    assert [len(y) for _, y in data.test_batches(4)] == [4, 2]


def test_a_batch_larger_than_the_set_holds_all_of_it(data):
    assert [len(y) for _, y in data.train_batches(100, seed=0, epoch=0)] == [12]


def test_batches_depend_on_seed_and_epoch_alone(data):
    first = list(data.train_batches(4, seed=1, epoch=2))
    torch.manual_seed(5)
    list(data.train_batches(4, seed=1, epoch=1))
    again = list(data.train_batches(4, seed=1, epoch=2))
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    for seed, epoch in ((0, 2), (1, 3)):
        other = next(iter(data.train_batches(4, seed=seed, epoch=epoch)))
        assert not equal(first[0], other)


def test_they_leave_the_global_generator_alone(data):
    state = torch.get_rng_state()
    list(data.train_batches(4, seed=0, epoch=0))
    list(data.test_batches(4))
    assert torch.equal(state, torch.get_rng_state())


def test_an_epoch_can_start_anywhere(data):
    batches = data.train_batches(4, seed=0, epoch=0)
    rest = itertools.islice(batches, 2, None)
    assert all(equal(a, b) for a, b in zip(rest, batches.starting_at(2), strict=True))
    assert list(batches.starting_at(3)) == []


def test_without_augmentation_only_the_order_changes(data):
    def images_by_label(epoch):
        batches = data.train_batches(12, seed=0, epoch=epoch, augment=False)
        x, y = next(iter(batches))
        return x[torch.stack([y.float(), x.flatten(1).mean(1)], 1).sum(1).argsort()]

    torch.testing.assert_close(images_by_label(0), images_by_label(1))


def test_test_batches_are_always_the_same(data):
    first, again = list(data.test_batches(4)), list(data.test_batches(4))
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_must_hold_something(data, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        data.train_batches(batch_size, seed=0, epoch=0)
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        data.test_batches(batch_size)


def test_worker_processes_make_the_same_batches(class_folders):
    root = class_folders("imagenet", 64)
    alone = load_classification("imagenet", root=root, workers=0)
    helped = load_classification("imagenet", root=root, workers=2)
    batches = [list(d.train_batches(4, seed=0, epoch=0)) for d in (alone, helped)]
    assert all(equal(a, b) for a, b in zip(*batches, strict=True))


def test_a_damaged_image_met_while_streaming_is_named(class_folders):
    root = class_folders("imagenet", 64)
    data = load_classification("imagenet", root=root, workers=0)
    (root / "imagenet" / "test" / "bee" / "0.png").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"bee/0\.png: cannot be decoded"):
        list(data.test_batches(4))


def test_channel_statistics_are_those_of_the_bytes():
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 7, 7), generator=random).to(torch.uint8)
    mean, deviation = channel_statistics(images)
    values = images.double().transpose(0, 1).flatten(1)
    assert mean == pytest.approx(values.mean(1).tolist())
    assert deviation == pytest.approx(values.std(1, unbiased=False).tolist())


def test_an_unknown_name_says_what_was_probably_meant():
    with pytest.raises(UnknownNameError, match="unknown dataset 'cifar'; did you mean cifar10"):
        load_classification("cifar")


def test_a_missing_dataset_says_where_it_was_looked_for_and_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match=r"not in .*cifar10 or .*CIFAR-10-images; .*git clone"):
        load_classification("cifar10", root=tmp_path)


def test_no_data_root_says_how_to_set_one(monkeypatch):
    monkeypatch.setattr("repro.params.data_root", lambda: None)
    with pytest.raises(DataError, match="set REPRO_DATA, or data_root in"):
        load_classification("cifar10")


def test_the_data_root_comes_from_the_environment(class_folders, monkeypatch):
    monkeypatch.setenv("REPRO_DATA", str(class_folders("cifar10", 32)))
    assert load_classification("cifar10").train_count == 12


def test_every_name_is_patches_or_in_the_registry():
    datasets = classification.registry.DATASETS.values()
    readable = {d.name for d in datasets if d.has_reader and d.task.startswith("classification")}
    assert set(classification_names()) == {"patches", *readable}
