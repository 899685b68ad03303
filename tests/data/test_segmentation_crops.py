"""Random crops: what is cut, what is filled up, and what decides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from repro.data import mosaics
from repro.data.augment import generator
from repro.data.segmentation import IGNORE, SegmentationImage
from repro.data.segmentation_crops import CropBatches, RandomCrops, WholeImages, normalised

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def data():
    return mosaics.make(0, 7, 5)


def coded(height=40, width=60, classes=10):
    """An image whose red and green tell each pixel's row and column, labels by column."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows * 4, columns * 4, np.full_like(rows, 7)], axis=-1).astype(np.uint8)
    return SegmentationImage("coded", image, (columns // (width // classes)).astype(np.uint8))


def colours_of(x):
    """Bytes (H, W, 3) of a normalised (3, H, W)."""
    return (x.numpy().transpose(1, 2, 0) * DEVIATION + MEAN) * 255


@pytest.mark.parametrize("draw", range(8))
def test_image_and_labels_are_cut_at_one_place(draw):
    crops = RandomCrops((16, 24), (1.0, 1.0), flip=False)
    x, y = crops.cut(coded(), generator(draw))
    assert x.shape == (3, 16, 24)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64
    pixels = colours_of(x).round()
    rows, columns = pixels[..., 0] / 4, pixels[..., 1] / 4
    np.testing.assert_array_equal(np.diff(rows, axis=0), 1)
    np.testing.assert_array_equal(np.diff(columns, axis=1), 1)
    np.testing.assert_array_equal(y.numpy(), columns // 6)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.7])
def test_scaled_labels_follow_the_scaled_image(scale):
    crops = RandomCrops((16, 16), (scale, scale), flip=False)
    x, y = crops.cut(coded(), generator(3))
    columns = colours_of(x)[..., 1] / 4
    # Half a pixel of the image at most lies between a label's pixel and the colour's middle.
    distance = np.abs(columns + 0.5 - 6 * (y.numpy() + 0.5))
    assert distance.max() <= 3 + 0.5 / min(scale, 1) + 0.1
    step = np.diff(columns, axis=1)[:, 2:-2].mean()
    assert step == pytest.approx(1 / scale, rel=0.02)


def test_half_of_the_crops_are_mirrored():
    crops = RandomCrops((8, 8), (1.0, 1.0))
    signs = [
        np.sign(np.diff(colours_of(crops.cut(coded(), generator(n))[0])[0, :, 1])[0])
        for n in range(100)
    ]
    assert 35 <= signs.count(1.0) <= 65
    assert signs.count(1.0) + signs.count(-1.0) == 100


def test_every_part_of_the_image_is_seen():
    crops = RandomCrops((16, 24), (1.0, 1.0), flip=False)
    first = {
        tuple(colours_of(crops.cut(coded(), generator(n))[0]).round()[0, 0, :2]) for n in range(400)
    }
    tops, lefts = ({value[axis] / 4 for value in first} for axis in (0, 1))
    assert (min(tops), max(tops)) == (0, 24)
    assert (min(lefts), max(lefts)) == (0, 36)


def test_a_small_image_is_filled_up_with_the_mean_and_ignored():
    crops = RandomCrops((64, 64), (0.5, 0.5), flip=False)
    x, y = crops.cut(coded(), generator(0))
    assert (y[:20, :30] != IGNORE).all()
    assert (y[20:] == IGNORE).all()
    assert (y[:, 30:] == IGNORE).all()
    assert x[:, 20:].abs().sum() == x[:, :, 30:].abs().sum() == 0


def test_the_short_side_is_the_base_of_the_scales():
    crops = RandomCrops((200, 200), (0.5, 0.5), short_side=80, flip=False)
    _, y = crops.cut(coded(), generator(0))
    assert (y[:40, :60] != IGNORE).all()
    assert int((y != IGNORE).sum()) == 40 * 60
    assert crops.describe() == "short side 80 scaled by 0.5 to 0.5, crop 200 x 200"


def test_a_crop_without_labels_is_drawn_again():
    item = coded()
    labels = np.full_like(item.labels, IGNORE)
    labels[:, 40:] = 1  # half of the crops hold none of these columns
    rare = SegmentationImage("rare", item.image, labels)
    crops = RandomCrops((8, 8), (1.0, 1.0))
    found = [bool((crops.cut(rare, generator(n))[1] != IGNORE).any()) for n in range(50)]
    assert all(found)


def test_an_image_without_labels_gives_a_crop_without_labels():
    item = coded()
    nothing = SegmentationImage("nothing", item.image, np.full_like(item.labels, IGNORE))
    x, y = RandomCrops((8, 8)).cut(nothing, generator(0))
    assert torch.isfinite(x).all()
    assert (y == IGNORE).all()


@pytest.mark.parametrize(
    "options",
    [
        {"size": (0, 8)},
        {"size": (8, 8), "scales": (0.0, 1.0)},
        {"size": (8, 8), "scales": (2.0, 1.0)},
        {"size": (8, 8), "short_side": 0},
    ],
)
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match="got"):
        RandomCrops(**options)


def batches_of(data, batch_size=3, key=("crop", 0, 0), workers=2):
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(1))
    return CropBatches(data.train, order, batch_size, RandomCrops((32, 48)), key, workers)


def test_a_batch_depends_on_its_number_alone(data):
    whole = list(batches_of(data))
    assert [len(y) for _, y in whole] == [3, 3, 1]
    assert len(batches_of(data)) == 3
    for step in range(3):
        late = list(batches_of(data, workers=1).starting_at(step))
        assert len(late) == 3 - step
        for (x, y), (other_x, other_y) in zip(late, whole[step:], strict=True):
            assert torch.equal(x, other_x)
            assert torch.equal(y, other_y)
    other = next(iter(batches_of(data, key=("crop", 0, 1))))
    assert not torch.equal(other[0], whole[0][0])


def test_an_epoch_can_be_left_early(data):
    for x, _ in batches_of(data):
        assert x.shape == (3, 3, 32, 48)
        break


def test_whole_images_come_in_their_order(data):
    batches = list(WholeImages(data.test, 2))
    assert [tuple(y.shape) for _, y in batches] == [(2, 128, 128), (2, 128, 128), (1, 128, 128)]
    labels = torch.cat([y for _, y in batches])
    for item, one in zip(data.test, labels, strict=True):
        np.testing.assert_array_equal(item.labels, one.numpy())
    first = colours_of(batches[0][0][0])
    np.testing.assert_allclose(first, data.test[0].image, atol=1e-3)


def test_images_of_other_sizes_come_in_batches_of_their_own():
    part = [coded(40, 60), coded(40, 60), coded(60, 40), coded(40, 60)]
    sizes = [tuple(x.shape) for x, _ in WholeImages(part, 4)]
    assert sizes == [(2, 3, 40, 60), (1, 3, 60, 40), (1, 3, 40, 60)]
    with pytest.raises(ValueError, match="batch_size"):
        WholeImages(part, 0)


def test_the_mean_colour_becomes_zero():
    pixels = np.round(MEAN * 255).astype(np.uint8)
    assert normalised(np.broadcast_to(pixels, (2, 2, 3))).abs().max() < 0.01
