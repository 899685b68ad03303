"""What every classical upsampler must do, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from classical_images import GUIDED, middle, random_pair

from repro.classical import METHODS, upsample
from repro.classical.interpolation import bilinear
from repro.names import UnknownNameError
from repro.papers import reading

EVERY = list(METHODS)


def test_rows_are_those_of_the_table():
    rows = {row.id: row.name for row in reading.load("ddf").table("table7").rows}
    classical = {name: method.label for name, method in METHODS.items() if name != "bilinear"}
    assert classical.items() <= rows.items()


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("offset", [0.0, 1.0, 1.5, 3.0, None])
def test_constant_depth_stays_constant(method, offset):
    _, rgb = random_pair((4, 5), 4)
    out = upsample(
        method, np.full((4, 5), 2.7, np.float32), rgb, 4, offset=offset, **middle(method)
    )
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, np.full((16, 20), 2.7), rtol=1e-5)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize(("low_shape", "factor"), [((1, 1), 2), ((1, 3), 4), ((2, 1), 16)])
def test_the_smallest_images_work(method, low_shape, factor):
    low, rgb = random_pair(low_shape, factor)
    out = upsample(method, low, rgb, factor, offset=(factor - 1) // 2, **middle(method))
    assert out.shape == rgb.shape[:2]
    assert np.isfinite(out).all()


@pytest.mark.parametrize("method", EVERY)
def test_depth_in_other_units_is_upsampled_alike(method):
    low, rgb = random_pair((4, 5), 4)
    out = upsample(method, low, rgb, 4, offset=1.0, **middle(method))
    scaled = upsample(method, 100 * low, rgb, 4, offset=1.0, **middle(method))
    np.testing.assert_allclose(scaled, 100 * out, rtol=1e-4)


@pytest.mark.parametrize("method", [name for name in EVERY if name != "fbs"])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1.5])
def test_a_mirrored_scene_is_upsampled_mirrored(method, offset):
    # Not FBS: its cells start at the image's left, so a mirrored image is cut into others.
    low, rgb = random_pair((4, 5), 4)
    out = upsample(method, low, rgb, 4, offset=offset, **middle(method))
    flipped = upsample(
        method,
        low[::-1, ::-1].copy(),
        rgb[::-1, ::-1].copy(),
        4,
        offset=3 - offset,
        **middle(method),
    )
    np.testing.assert_allclose(flipped[::-1, ::-1], out, rtol=2e-3)


@pytest.mark.parametrize("method", EVERY)
def test_two_calls_are_equal_and_change_nothing(method):
    low, rgb = random_pair((4, 5), 4)
    kept = low.copy(), rgb.copy()
    first, second = (upsample(method, low, rgb, 4, offset=1.0, **middle(method)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(low, kept[0])
    np.testing.assert_array_equal(rgb, kept[1])


# Parameters that trust the guidance; the edge lies 5 pixels past a sample and 3 before the next.
SHARP = {
    "mrf": {"data_weight": 1000.0, "sigma_colour": 0.05},
    "gf": {"radius": 6, "epsilon": 1e-4},
    "ham": {"data_weight": 1000.0, "sigma_colour": 0.05, "sigma_depth": 0.2},
    "fbs": {"sigma_spatial": 4.0, "sigma_colour": 0.1, "smoothness": 1.0, "confidence": 0.1},
    "jbu": {"sigma_spatial": 0.5, "sigma_colour": 0.1},
}


@pytest.mark.parametrize("method", GUIDED)
def test_a_depth_edge_follows_the_image(method):
    depth = np.ones((32, 48), np.float32)
    depth[:, 24:] = 3
    rgb = np.where(depth[..., None] == 1, [40, 60, 80], [200, 180, 160]).astype(np.uint8)
    low = depth[3::8, 3::8].copy()
    blurred = bilinear(low, rgb, 8, 3.0)
    out = upsample(method, low, rgb, 8, offset=3.0, **SHARP[method])
    jumps, ramp = (np.diff(image, axis=1).mean(0) for image in (out, blurred))
    assert ramp.max() < 0.3
    assert jumps.argmax() == 23
    assert jumps.max() > 1
    if method != "gf":  # which averages the blur of interpolation over all of a window's side
        error, without = (np.sqrt(np.mean((image - depth) ** 2)) for image in (out, blurred))
        assert error < 0.2 * without


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "mrf", "ham"])
def test_samples_are_kept_where_the_model_says_so(method):
    low, rgb = random_pair((4, 5), 4)
    parameters = middle(method)
    if "data_weight" in parameters:
        parameters["data_weight"] = 1e5
    out = upsample(method, low, rgb, 4, offset=1.0, **parameters)
    np.testing.assert_allclose(out[1::4, 1::4], low, rtol=1e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"method": "mfr"}, "unknown classical method 'mfr'; did you mean mrf"),
        ({"factor": 1}, "factor must be an integer of at least 2, got 1"),
        ({"factor": 4.0}, r"factor must be an integer of at least 2, got 4\.0"),
        ({"offset": -0.5}, r"offset must be from 0 to 3 for factor 4, got -0\.5"),
        ({"offset": float("nan")}, "offset must be from 0 to 3"),
        ({"offset": 4.0}, "offset must be from 0 to 3"),
        ({"low": np.ones((3, 4))}, r"low must be float32 of shape \(h, w\), got float64 \(3, 4\)"),
        ({"low": np.ones((1, 3, 4), np.float32)}, "low must be float32 of shape"),
        ({"low": np.ones((0, 4), np.float32)}, "low must be float32 of shape"),
        ({"low": np.float32([[1, np.nan], [np.inf, 1]])}, "got 2 of 4 pixels that are not; fill"),
        (
            {"rgb": np.zeros((12, 15, 3), np.uint8)},
            r"uint8 of shape \(12, 16, 3\) for low \(3, 4\)",
        ),
        ({"rgb": np.zeros((12, 16), np.uint8)}, r"got uint8 \(12, 16\)"),
        ({"rgb": np.zeros((12, 16, 4), np.uint8)}, r"got uint8 \(12, 16, 4\)"),
        ({"rgb": np.zeros((12, 16, 3), np.uint16)}, "got uint16"),
        ({"rgb": np.zeros((12, 16, 3), np.float32)}, "got float32"),
        ({"sigma_colour": 0.0}, r"sigma_colour of mrf must be above 0 and finite, got 0\.0"),
        ({"sigma_colour": float("inf")}, "above 0 and finite, got inf"),
        ({"sigma_colour": float("nan")}, "above 0 and finite, got nan"),
        ({"sigma_colour": "0.1"}, "sigma_colour of mrf must be a number, got '0.1'"),
        ({"sigma_color": 0.1}, "unknown parameter of mrf 'sigma_color'; did you mean sigma_colour"),
        ({"method": "bilinear"}, "bilinear has no parameters, got data_weight"),
        ({"method": "gf", "radius": 2.0, "epsilon": 0.1}, "unknown parameter of gf 'data_weight'"),
    ],
)
def test_bad_arguments_are_refused(changed, message):
    arguments = {
        "method": "mrf",
        "low": np.ones((3, 4), np.float32),
        "rgb": np.zeros((12, 16, 3), np.uint8),
        "factor": 4,
        "offset": 1.0,
        "data_weight": 10.0,
        "sigma_colour": 0.1,
    }
    with pytest.raises(ValueError, match=message):
        upsample(**{**arguments, **changed})


def test_parameters_that_are_missing_or_not_whole_are_refused():
    low, rgb = random_pair((3, 4), 4)
    with pytest.raises(ValueError, match="mrf needs a value for sigma_colour"):
        upsample("mrf", low, rgb, 4, offset=1.0, data_weight=10.0)
    with pytest.raises(ValueError, match=r"radius of gf must be an integer, got 2\.0"):
        upsample("gf", low, rgb, 4, offset=1.0, radius=2.0, epsilon=0.1)


def test_an_unknown_method_is_an_unknown_name():
    low, rgb = random_pair((3, 4), 4)
    with pytest.raises(UnknownNameError):
        upsample("ddf", low, rgb, 4, offset=1.0)
