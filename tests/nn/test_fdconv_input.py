"""FDConv on inputs at the edge: each is computed as documented, or refused by name and value."""

from __future__ import annotations

import pytest
import torch
from fdconv_start import neutral
from torch import nn

from repro.models import build
from repro.names import UnknownNameError
from repro.nn import FDConv
from repro.nn.fdconv_conversion import to_fdconv_state_dict
from repro.nn.fdconv_placement import place_fdconv

OPTIONS = {"min_channels": 1, "kernel_num": 4}


@pytest.mark.parametrize(("inputs", "outputs", "kernel_size"), [(7, 8, 3), (9, 5, 1), (3, 3, 5)])
def test_odd_inputs_times_kernel_size(inputs, outputs, kernel_size):
    # The authors' code refuses such sizes.
    conv = nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2)
    layer = FDConv.from_conv(conv, **OPTIONS).eval()
    x = torch.randn(2, inputs, 6, 7)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), [(15, 64), (64, 15), (1, 1)])
def test_below_16_channels_the_layer_is_plain_unless_told_otherwise(inputs, outputs):
    assert FDConv(inputs, outputs, 3).is_plain
    assert not FDConv(inputs, outputs, 3, **OPTIONS).is_plain


@pytest.mark.parametrize("kernel_num", [5, 7, 11])
def test_groups_that_do_not_divide_the_frequencies_are_near_equal(kernel_num):
    layer = FDConv(8, 8, 3, min_channels=1, kernel_num=kernel_num)
    sizes = layer.group_map.flatten().bincount()
    assert len(sizes) == kernel_num
    assert sizes.max() - sizes.min() <= 1
    assert layer(torch.randn(2, 8, 5, 5)).isfinite().all()


@pytest.mark.parametrize("settings", [(8, 6, 4), (6, 8, 4), (8, 8, 3)])
def test_convolution_groups_that_do_not_divide_are_refused(settings):
    inputs, outputs, groups = settings
    message = f"groups must divide in_channels={inputs} and out_channels={outputs}, got {groups}"
    with pytest.raises(ValueError, match=message):
        FDConv(inputs, outputs, 3, groups=groups, **OPTIONS)


def test_a_batch_of_one_trains():
    layer = FDConv(8, 8, 3, padding=1, **OPTIONS).train()
    layer(torch.randn(1, 8, 5, 5)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize("form", ["code", "paper"])
def test_a_map_of_one_pixel_with_band_modulation(form):
    conv = nn.Conv2d(8, 8, 3, padding=1)
    layer = FDConv.from_conv(conv, fbm_form=form, **OPTIONS).eval()
    assert layer.band_modulation is not None
    neutral(layer)
    x = torch.randn(2, 8, 1, 1)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_no_samples_give_no_samples(training):
    layer = FDConv(8, 6, 3, **OPTIONS).train(training)
    out = layer(torch.randn(0, 8, 5, 5, requires_grad=True))
    assert out.shape == (0, 6, 3, 3)
    out.sum().backward()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_map_of_no_pixels_is_refused(size):
    with pytest.raises(ValueError, match=rf"at least 1 x 1, got \(2, 8, {size[0]}, {size[1]}\)"):
        FDConv(8, 8, 3, padding=1, **OPTIONS)(torch.zeros(2, 8, *size))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_num", [4, 40])  # from kept parallel weights, by a transform each
def test_a_nan_in_the_spectrum_reaches_every_output(training, kernel_num):
    layer = FDConv(16, 16, 3, padding=1, min_channels=1, kernel_num=kernel_num).train(training)
    layer.dft_weight.data[0, 5, 3, 1] = float("nan")
    with torch.no_grad():
        assert layer(torch.randn(2, 16, 5, 5)).isnan().all()


def test_state_dicts_that_do_not_fit_are_refused_by_name():
    layer = FDConv(8, 8, 3, **OPTIONS)
    state = layer.state_dict()
    missing = {name: value for name, value in state.items() if name != "dft_weight"}
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "dft_weight"'):
        layer.load_state_dict(missing)
    with pytest.raises(RuntimeError, match=r"size mismatch for dft_weight.*\[1, 24, 12, 2\]"):
        layer.load_state_dict({**state, "dft_weight": state["dft_weight"][:, :, 1:]})


def test_converted_state_dicts_that_do_not_fit_are_refused_by_name_with_both_shapes():
    plain, twin = (build("resnet18", num_classes=5, size="small") for _ in range(2))
    place_fdconv(twin, kernel_num=8)
    state = plain.state_dict()
    name = "layer1.0.conv1.weight"
    with pytest.raises(ValueError, match=rf"{name} must be \(32, 32, 3, 3\), got \(32, 31, 3, 3\)"):
        to_fdconv_state_dict({**state, name: torch.zeros(32, 31, 3, 3)}, twin)
    del state[name]
    with pytest.raises(KeyError, match=r"missing: layer1\.0\.conv1\.dft_weight"):
        to_fdconv_state_dict(state, twin)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"param_ratio": 0}, "param_ratio must be at least 1, got 0"),
        ({"param_reduction": 0}, r"param_reduction must be in \(0, 1\], got 0"),
        ({"kernel_num": 10**4}, "kernel_num must be between 1 and the 312 frequencies"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"dilation": (1, 0)}, "dilation must be at least 1, got 0"),
        ({"temperature": 0.0}, r"temperature must be positive, got 0\.0"),
        ({"kernel_temperature": -1.0}, r"temperature must be positive, got -1\.0"),
        ({"groups": 0}, "groups must be at least 1, got 0"),
        ({"groups": 3}, "groups must divide in_channels=8 and out_channels=8, got 3"),
        ({"fbm_form": "papre"}, "did you mean paper"),
        ({"norm": "batchnorm"}, "did you mean batch_norm"),
        ({"fbm": {"k_list": (4, 2)}}, r"must ascend from at least 2, got \(4, 2\)"),
        ({"fbm": {"map_groups": 3}}, "map_groups must divide 8 channels, got 3"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FDConv(8, 8, 3, **(OPTIONS | arguments))


def test_unknown_names_have_a_type_of_their_own():
    with pytest.raises(UnknownNameError):
        FDConv(8, 8, 3, activation="relu", **OPTIONS)


@pytest.mark.parametrize("shape", [(2, 6, 5, 5), (8, 5, 5)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(N, 8, H, W\), got"):
        FDConv(8, 8, 3, **OPTIONS)(torch.zeros(shape))


@pytest.mark.parametrize("channels", [8, 4])  # a spectrum, and a plain layer
def test_an_input_smaller_than_the_window_is_refused(channels):
    options = {**OPTIONS, "min_channels": 8}
    layer = FDConv(channels, channels, (3, 5), dilation=2, padding=(2, 1), **options)
    assert layer(torch.zeros(1, channels, 1, 7)).shape == (1, channels, 1, 1)
    with pytest.raises(ValueError, match="the window is 5 x 9, the padded input only 5 x 8"):
        layer(torch.zeros(1, channels, 1, 6))
