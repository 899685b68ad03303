"""Batched augmentation: right shapes, right values, every draw from the generator given."""

from __future__ import annotations

import pytest
import torch

from repro.data import augment


@pytest.fixture
def images():
    return torch.randint(0, 256, (16, 1, 20, 20), generator=augment.generator("images")).float()


DRAWING = {
    "crop": lambda x, random: augment.random_crop(x, 12, random),
    "flip": augment.random_flip,
    "focus": lambda x, random: augment.random_focus(x, 0.8, random),
    "lighting": lambda x, random: augment.random_lighting(x, 0.5, random),
    "noise": lambda x, random: augment.random_noise(x, 0.5, random),
}


@pytest.mark.parametrize("name", DRAWING)
def test_the_generator_alone_decides(images, name):
    torch.manual_seed(0)
    first = DRAWING[name](images, augment.generator("a"))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(first, DRAWING[name](images, augment.generator("a")))
    assert not torch.equal(first, DRAWING[name](images, augment.generator("b")))
    assert torch.equal(state, torch.get_rng_state())


def test_generators_of_neighbouring_keys_differ():
    drawn = {
        torch.randint(
            2**40, (1,), generator=augment.generator("augment", seed, epoch, start)
        ).item()
        for seed in range(3)
        for epoch in range(3)
        for start in range(0, 640, 64)
    }
    assert len(drawn) == 3 * 3 * 10


def test_a_crop_is_a_window_of_its_own_image():
    place = torch.arange(20.0 * 20).view(1, 1, 20, 20)
    images = place + 1000 * torch.arange(32.0)[:, None, None, None]
    crops = augment.random_crop(images, 12, augment.generator(0))
    corner = crops[:, 0, 0, 0] % 1000
    rows, columns = corner // 20, corner % 20
    for n in range(32):
        top, left = int(rows[n]), int(columns[n])
        assert torch.equal(crops[n], images[n, :, top : top + 12, left : left + 12])
    assert set(rows.tolist()) | set(columns.tolist()) == set(range(9))


def test_a_crop_of_the_whole_image_is_the_image(images):
    assert torch.equal(augment.random_crop(images, 20, augment.generator(0)), images)


def test_flip_mirrors_some_images_and_leaves_the_others(images):
    flipped = augment.random_flip(images, augment.generator(0))
    same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 0 < sum(mirrored) < len(images)


def test_standardise_gives_mean_zero_and_deviation_one_and_keeps_flat_images_finite(images):
    images[3] = 7
    result = augment.standardise(images)
    varied = torch.arange(16) != 3
    assert result[3].abs().max() == 0
    assert result[varied].mean((1, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(result[varied].flatten(1).std(1, unbiased=False), torch.ones(15))


def test_equalise_keeps_the_order_of_pixels_and_nothing_else_of_their_levels():
    dark = torch.randint(0, 40, (1, 1, 32, 32), generator=augment.generator(0)).to(torch.uint8)
    stretched = 3 * dark + 100
    result = augment.equalise(dark)
    assert torch.equal(result, augment.equalise(stretched))
    order = dark.flatten().argsort(stable=True)
    assert (result.flatten()[order].long().diff() >= 0).all()
    assert result.double().mean() == pytest.approx(127.5, abs=1)


def test_focus_keeps_flat_images_and_changes_the_sharpness_of_others(images):
    flat = torch.full((4, 1, 8, 8), 5.0)
    torch.testing.assert_close(augment.random_focus(flat, 0.8, augment.generator(0)), flat)
    before = images.diff(dim=-1).square().mean((1, 2, 3))
    after = augment.random_focus(images, 0.8, augment.generator(0)).diff(dim=-1).square()
    ratio = after.mean((1, 2, 3)) / before
    assert ratio.min() < 0.9
    assert ratio.max() > 1.1


def test_noise_grows_across_the_image():
    still = torch.zeros(400, 1, 16, 16)
    noise = augment.random_noise(still, 1.0, augment.generator(0))
    edges = torch.stack([noise[..., 0], noise[..., -1], noise[..., 0, :], noise[..., -1, :]])
    energy = edges.square().mean((2, 3))  # (4, N)
    assert (energy.max(0).values > 2 * energy.min(0).values).double().mean() > 0.9


def test_strength_zero_changes_nothing(images):
    for disturb in (augment.random_focus, augment.random_lighting, augment.random_noise):
        assert torch.equal(disturb(images, 0.0, augment.generator(0)), images)
