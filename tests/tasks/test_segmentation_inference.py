"""Prediction at one scale and at several: sizes, padding, mirroring, averaging."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from repro.data.segmentation import IGNORE
from repro.tasks.segmentation import MULTI_SCALES
from repro.tasks.segmentation_inference import Inference, image_areas


class Recorder(nn.Module):
    """Three classes whose scores are the image's channels; remembers what it was shown."""

    def __init__(self, coarser=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen, self.coarser = [], coarser

    def forward(self, images):
        self.seen.append(images)
        return (images * self.weight)[..., :: self.coarser, :: self.coarser]


def images(height=48, width=80, count=2):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(48, 80), (33, 17), (1, 1), (32, 64)])
def test_at_one_scale_every_pixel_keeps_its_scores(size):
    x = images(*size)
    model = Recorder()
    with torch.no_grad():
        scores = Inference().probabilities(model, x)
    torch.testing.assert_close(scores, x.softmax(1))
    (seen,) = model.seen
    assert seen.shape[2] % 32 == seen.shape[3] % 32 == 0
    assert seen[..., size[0] :, :].abs().sum() == seen[..., size[1] :].abs().sum() == 0


def test_sizes_are_multiples_of_the_stride():
    assert Inference(scales=MULTI_SCALES).sizes(360, 480) == [
        (192, 256),  # 180 x 240 lie at 5.6 and 7.5 strides
        (256, 352),
        (384, 480),  # filled up, not resized
        (448, 608),
        (544, 704),
        (640, 832),
    ]
    assert Inference(scales=(0.1,)).sizes(64, 64) == [(32, 32)]
    assert Inference(stride=1, scales=(0.5, 1.0)).sizes(9, 11) == [(4, 6), (9, 11)]


def test_the_short_side_is_the_base_of_the_scales():
    inference = Inference(scales=(0.5, 1.0), short_side=512)
    assert inference.sizes(683, 1024) == [(256, 384), (512, 768)]
    assert inference.sizes(512, 700) == [(256, 352), (512, 704)]
    with torch.no_grad():
        assert inference.probabilities(Recorder(), images(100, 150)).shape == (2, 3, 100, 150)


def test_mirrored_predictions_are_mirrored_back():
    x = images(33, 47)
    model = Recorder()
    with torch.no_grad():
        scores = Inference(flip=True).probabilities(model, x)
    torch.testing.assert_close(scores, x.softmax(1))
    torch.testing.assert_close(model.seen[1][..., :33, :47], x.flip(-1))


def test_probabilities_are_averaged_over_scales_and_mirrorings():
    class Sided(nn.Module):
        """Certain of class 0 on the left half, of class 1 on the right, by width alone."""

        def forward(self, x):
            left = torch.arange(x.shape[-1]) < x.shape[-1] // 2
            scores = torch.stack([left, ~left]).float() * 8
            return scores[None, :, None].expand(len(x), -1, x.shape[2], -1)

    x = images(64, 64)
    once = Inference().probabilities(Sided(), x)
    assert once[0, 0, 0, 0] > 0.99
    both = Inference(flip=True).probabilities(Sided(), x)
    torch.testing.assert_close(both, torch.full_like(both, 0.5))
    many = Inference(MULTI_SCALES).probabilities(Sided(), x)
    torch.testing.assert_close(many.sum(1), torch.ones(2, 64, 64))


def test_a_smooth_image_looks_alike_at_all_scales():
    ramp = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128) * torch.tensor(
        [[[[1.0]], [[2]], [[3]]]]
    )
    with torch.no_grad():
        scores = Inference(MULTI_SCALES, flip=True).probabilities(Recorder(), ramp)
    middle = slice(16, -16)  # at the edges, resizing leaves a ramp
    torch.testing.assert_close(
        scores[..., middle, middle], ramp.softmax(1)[..., middle, middle], rtol=0, atol=1e-4
    )


def test_an_output_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"size of its input, \(64, 96\), got \(32, 48\)"):
        Inference().probabilities(Recorder(coarser=2), images())


@pytest.mark.parametrize(
    "options", [{"scales": ()}, {"scales": (0.0,)}, {"stride": 0}, {"short_side": 0}]
)
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match="got"):
        Inference(**options)


def test_images_of_all_batches_are_counted_in_order():
    x, large = images(count=3), images(64, 96, count=1)
    batches = [(x[:2], x[:2].argmax(1)), (x[2:], 2 - x[2:].argmax(1)), (large, large.argmax(1))]
    batches[0][1][1] = IGNORE
    areas = image_areas(Recorder(), batches, 3, Inference())
    assert areas.true.sum(1).tolist() == [48 * 80, 0, 48 * 80, 64 * 96]
    assert areas.right.sum(1).tolist()[::3] == [48 * 80, 64 * 96]
    assert areas.right.sum(1)[2] < 48 * 80
    with pytest.raises(ValueError, match="no image"):
        image_areas(Recorder(), [], 3, Inference())
