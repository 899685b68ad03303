"""The task of joint depth upsampling: what its networks are given, and what is measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from depth_pairs import SIDE, pair, small_data

from repro.data.errors import DataError
from repro.names import UnknownNameError
from repro.tasks.depth_error import BORDER, rmse
from repro.tasks.joint_upsampling import JointUpsamplingTask, as_batch, example, measure


def task(**options) -> JointUpsamplingTask:
    settings = {"crop": 16, "held_out": 1, **options}
    return JointUpsamplingTask("ddf_up_net_narrow", 4, small_data(), **settings)


def test_a_batch_is_scaled_by_its_own_coarse_samples():
    examples = [
        example(*(getattr(pair("a", seed), n) for n in ("rgb", "depth")), 4, "centre")
        for seed in (1, 2)
    ]
    batch = as_batch(examples)
    assert batch["low"].shape == (2, 1, SIDE // 4, SIDE // 4)
    assert batch["rgb"].shape == (2, 3, SIDE, SIDE)
    assert batch["low"].amin((1, 2, 3)).tolist() == [0, 0]
    assert batch["low"].amax((1, 2, 3)).tolist() == pytest.approx([1, 1])
    stored = (
        batch["target"] * batch["span"][:, None, None, None] + batch["floor"][:, None, None, None]
    )
    np.testing.assert_allclose(stored[1, 0].numpy(), examples[1].depth, rtol=1e-6)


def test_flat_depth_is_not_divided_by_zero():
    flat = np.full((16, 16), 3.0, np.float32)
    batch = as_batch([example(pair("a", 1).rgb[:16, :16], flat, 4, "centre")])
    assert batch["low"].abs().max() == 0
    assert batch["span"].item() == 1


def test_an_unknown_sample_takes_its_neighbours_depth_and_is_counted():
    one = pair("a", 1, hole=True)
    found = example(one.rgb, one.depth, 4, "centre")
    assert found.filled == 1
    assert np.isfinite(found.low).all()
    assert np.isnan(found.depth).sum() == 16


def test_unknown_pixels_teach_nothing():
    made = task()
    one = pair("a", 1, hole=True)
    batch = as_batch([example(one.rgb, one.depth, 4, "centre")])
    torch.manual_seed(0)
    model = made.build_model()
    loss = made.losses(model, batch)["l2"]
    known = ~torch.isnan(batch["target"])
    off = (model(batch["low"], batch["rgb"]) - batch["target"])[known]
    assert loss.item() == pytest.approx(off.square().mean().item(), rel=1e-5)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_crops_depend_on_seed_epoch_and_number_alone():
    made = task(crops_per_epoch=7)
    whole = list(made.train_batches(2, seed=3, epoch=1))
    resumed = list(made.train_batches(2, seed=3, epoch=1).starting_at(2))
    assert len(whole) == 3
    for before, after in zip(whole[2:], resumed, strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)
    other = next(iter(made.train_batches(2, seed=3, epoch=2)))
    assert not torch.equal(whole[0]["rgb"], other["rgb"])


def test_every_training_image_comes_once_before_any_comes_again():
    made = task(crops_per_epoch=8)
    order = made.train_batches(1, seed=0, epoch=0).order
    assert sorted(order[:4]) == sorted(order[4:]) == [0, 1, 2, 3]


def test_held_out_images_are_not_learnt():
    made = task(held_out=2)
    assert len(made.held_out) == 2
    assert not set(made.held_out) & set(made.learnt)
    assert len(list(made.test_batches(8))) == 2


def test_evaluate_is_the_mean_error_of_whole_images_in_the_unit():
    made = task()
    torch.manual_seed(0)
    model = made.build_model().eval()
    with torch.no_grad():
        found = made.evaluate(model, made.test_batches(1))["rmse"]
    whole = made.data.train[made.held_out[0]]
    one = example(whole.rgb, whole.depth, 4, "centre")
    predicted = made.upsampler(model)(one.low, one.rgb)
    assert found == pytest.approx(100 * rmse(predicted, whole.depth), rel=1e-5)


def test_an_exact_prediction_has_no_error_and_a_shift_is_its_own_error():
    one = pair("a", 1, hole=True)
    exact = measure(lambda low, rgb: np.nan_to_num(one.depth, nan=5), one, 4, "centre", 100.0)
    assert exact.rmse == exact.edge_rmse == 0
    assert exact.pixels == (SIDE - 2 * BORDER) ** 2 - 16
    shifted = measure(lambda low, rgb: np.nan_to_num(one.depth) + 0.5, one, 4, "centre", 100.0)
    assert shifted.rmse == pytest.approx(50)


def test_an_image_without_edges_has_no_edge_error():
    flat = dataclasses.replace(pair("a", 1), depth=np.full((SIDE, SIDE), 2.0, np.float32))
    found = measure(lambda low, rgb: flat.depth, flat, 4, "centre", 1.0)
    assert found.edge_rmse is None
    assert found.edge_pixels == 0


def test_a_variant_may_have_a_loss_of_its_own():
    made = JointUpsamplingTask("ddf_up_net_l1", 4, small_data(), crop=16, held_out=1)
    assert made.loss == made.identity()["loss"] == "l1"


def test_identity_names_what_decides_the_result():
    first = task().identity()
    assert first != task(crop=32).identity()
    assert first != task(loss="l1").identity()
    assert first != task(sampling="area").identity()
    assert first == task().identity()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 18}, "multiple of factor=4"),
        ({"crop": 64}, "fit into 32x32"),
        ({"held_out": 5}, "5 training pairs"),
        ({"held_out": 0}, "5 training pairs"),
    ],
)
def test_what_cannot_be_trained_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        task(**options)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="l2"):
        task(loss="l3")
    with pytest.raises(UnknownNameError, match="centre"):
        task(sampling="center")
    with pytest.raises(UnknownNameError, match="ddf_up_net"):
        JointUpsamplingTask("ddf_up", 4, small_data())


def test_data_without_training_pairs_are_refused():
    data = dataclasses.replace(small_data(), train=())
    with pytest.raises(DataError, match="for testing alone"):
        JointUpsamplingTask("pac_net", 4, data, crop=16)
