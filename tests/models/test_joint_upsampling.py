"""Joint upsampling networks: shapes, sizes, gradients, and that each learns a crop."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from repro.data.low_resolution import interpolate
from repro.models.joint_upsampling import (
    UPSAMPLERS,
    build_upsampler,
    learned_names,
    upsampler_costs,
)
from repro.models.joint_upsampling.encoders import guidance_by_stage
from repro.names import UnknownNameError
from repro.nn import DDFUp, PACTransposed

ALL = learned_names(variants=True)


def build(method, factor, **options):
    torch.manual_seed(0)
    return build_upsampler(method, factor, **options)


def crop(factor, size=32, number=1):
    """Two planes with an edge where the image has one, sampled at pixel (factor - 1) // 2."""
    h, w = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    near = (h + 2 * w > 1.4 * size).float()
    depth = (0.2 + 0.3 * h / size) * (1 - near) + 0.8 * near
    rgb = torch.stack([near, 1 - near, 0.5 * near + 0.3 * (w / size)])
    first = (factor - 1) // 2
    depth = depth[None, None].repeat(number, 1, 1, 1)
    return depth[:, :, first::factor, first::factor], rgb.repeat(number, 1, 1, 1), depth


def test_table_7_and_the_ablation_are_there():
    assert learned_names() == ["dmsg", "djf", "djf_plus", "pac_net", "pac_net_lite", "ddf_up_net"]
    variants = ["no_guidance", "spatial_only", "kernel_5", "add", "narrow", "l1"]
    assert [*learned_names(), *(f"ddf_up_net_{name}" for name in variants)] == ALL
    assert all(entry.label and entry.source for entry in UPSAMPLERS.values())


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("method", ALL)
def test_the_output_is_as_large_as_the_image(method, factor):
    low, rgb = torch.rand(2, 1, 2, 3), torch.rand(2, 3, 2 * factor, 3 * factor)
    with torch.no_grad():
        out = build(method, factor)(low, rgb)
    assert out.shape == (2, 1, 2 * factor, 3 * factor)
    assert out.isfinite().all()


# The authors' sizes of PAC-Net, lite and DJF; the others' are ours to choose.
PARAMS = {
    "dmsg": (326404, 454660, 582916),
    "djf": (56323, 56323, 56323),
    "djf_plus": (56323, 56323, 56323),
    "pac_net": (183489, 221937, 260385),
    "pac_net_lite": (55509, 56273, 55777),
    "ddf_up_net": (153465, 176901, 200337),
}


@pytest.mark.parametrize("method", PARAMS)
def test_parameter_counts(method):
    counts = [upsampler_costs(method, factor)["params"] for factor in (4, 8, 16)]
    assert tuple(counts) == PARAMS[method]


def test_operations_of_an_upsampling_layer_are_those_of_its_formula():
    low, high = 4 * 6, 4 * (4 * 6)  # pixels before and after
    encoders = 25 * (low * (32 + 2 * 32 * 32) + high * (3 * 32 + 32 * 32 + 32 * 16 + 32 * 32 + 32))
    pac = upsampler_costs("pac_net", 2, 8, 12)["macs"]
    assert pac == encoders + 25 * 32 * 32 * low
    ddf_up = upsampler_costs("ddf_up_net", 2, 8, 12)["macs"]
    spatial, channel = high * 16 * 9, 4 * (32 * 6 + 6 * 32 * 9)
    assert ddf_up == encoders + spatial + channel + high * 32 * 9


def test_counting_is_the_same_the_second_time():
    found = [dict(upsampler_costs.__wrapped__("djf", 4, 32, 32)) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("method", ALL)
def test_gradients_reach_every_parameter(method):
    net = build(method, 4)
    for module in net.modules():  # no ReLU may hide what lies before it
        if isinstance(module, DDFUp):
            for branch in module.channel_branches:
                torch.nn.init.constant_(branch.squeeze.bias, 1.0)
    low, rgb, truth = crop(4, 16)
    F.mse_loss(net(low, rgb), truth).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("method", ALL)
def test_a_crop_is_learnt(method):
    net = build(method, 2)
    low, rgb, truth = crop(2, 24)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = F.mse_loss(net(low, rgb), truth)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.35 * truth.var()
    assert losses[-1] < 0.35 * losses[0]  # a residual network starts near the truth


@pytest.mark.parametrize("method", ALL)
def test_one_image_does_not_see_another(method):
    net = build(method, 4).eval()
    low, rgb, _ = crop(4, number=2)
    low[1] += 0.3
    with torch.no_grad():
        both, alone = net(low, rgb), net(low[:1], rgb[:1])
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(both[0], both[1])


@pytest.mark.parametrize("method", ALL)
def test_a_constant_depth_and_image_stay_finite(method):
    net = build(method, 4)
    low = torch.full((1, 1, 8, 8), 0.5)
    out = net(low, torch.full((1, 3, 32, 32), 0.25))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_the_image_guides_every_method_but_the_one_without():
    low, rgb, _ = crop(4)
    for method in ALL:
        net = build(method, 4)
        with torch.no_grad():
            same = torch.equal(net(low, rgb), net(low, rgb.flip(3)))
        assert same == (method == "ddf_up_net_no_guidance"), method


def test_guidance_of_a_stage_has_its_resolution_and_its_channels():
    guidance = torch.randn(2, 6, 8, 16)
    first, second, third = guidance_by_stage(guidance, 3)
    centre = guidance[:, :2, 1::4, 1::4] + guidance[:, :2, 2::4, 2::4]
    centre += guidance[:, :2, 1::4, 2::4] + guidance[:, :2, 2::4, 1::4]
    torch.testing.assert_close(first, centre / 4)
    torch.testing.assert_close(second, F.avg_pool2d(guidance[:, 2:4], 2))
    assert torch.equal(third, guidance[:, 4:])


@pytest.mark.parametrize(("offset", "taken"), [(None, 1.0), (1.5, 1.5)])
def test_a_residual_network_starts_from_the_enlarged_depth(offset, taken):
    net = build("djf_plus", 4, offset=offset)
    torch.nn.init.zeros_(net.joint[-1].weight)
    torch.nn.init.zeros_(net.joint[-1].bias)
    low, rgb, _ = crop(4)
    assert torch.equal(net(low, rgb), interpolate(low, 4, offset=taken, mode="bicubic"))


def test_depth_shifts_and_scales_with_dmsg_at_the_start():
    net = build("dmsg", 4)
    torch.nn.init.zeros_(net.reconstruct[-1].weight)
    torch.nn.init.zeros_(net.reconstruct[-1].bias)
    low, rgb, _ = crop(4)
    with torch.no_grad():
        torch.testing.assert_close(net(2 * low + 3, rgb), 2 * net(low, rgb) + 3)


@pytest.mark.parametrize("method", ["pac_net", "ddf_up_net", "djf", "dmsg"])
@pytest.mark.parametrize(
    ("low", "rgb", "message"),
    [
        ((1, 1, 4, 4), (1, 3, 8, 16), r"rgb must be \(1, 3, 16, 16\) for low \(1, 1, 4, 4\)"),
        ((1, 1, 4, 4), (1, 1, 16, 16), r"got \(1, 1, 16, 16\)"),
        ((2, 1, 4, 4), (1, 3, 16, 16), r"rgb must be \(2, 3, 16, 16\)"),
        ((1, 2, 4, 4), (1, 3, 16, 16), r"low must be \(N, 1, h, w\), got \(1, 2, 4, 4\)"),
        ((4, 4), (1, 3, 16, 16), r"low must be \(N, 1, h, w\), got \(4, 4\)"),
    ],
)
def test_inputs_that_do_not_belong_together_are_refused(method, low, rgb, message):
    with pytest.raises(ValueError, match=message):
        build(method, 4)(torch.zeros(low), torch.zeros(rgb))


@pytest.mark.parametrize("factor", [0, 1, 3, 12, -4, 4.0, True, "4"])
def test_other_factors_are_refused(factor):
    for method in ALL:
        with pytest.raises(ValueError, match="factor must be a power of two of at least 2, got"):
            build_upsampler(method, factor)


def test_other_names_and_options_are_refused():
    with pytest.raises(UnknownNameError, match="unknown learned upsampling method 'pacnet'"):
        build_upsampler("pacnet", 4)
    with pytest.raises(ValueError, match="factor 8 has 3 stages, got up_widths"):
        build_upsampler("pac_net", 8, up_widths=(32, 32))
    with pytest.raises(ValueError, match="480x640 is no multiple of factor 64"):
        upsampler_costs("djf", 64)


def test_variants_differ_in_what_they_are_named_for():
    ups = {name: build(f"ddf_up_net{name}", 4).upsample[0] for name in ("", "_spatial_only")}
    assert len(ups[""].channel_branches) == 4
    assert len(ups["_spatial_only"].channel_branches) == 0
    assert build("ddf_up_net_kernel_5", 4).upsample[0].kernel_size == 5
    assert build("ddf_up_net_add", 4).upsample[0].kernel_combine == "add"
    assert build("ddf_up_net_narrow", 4).upsample[0].in_channels == 16
    assert build("ddf_up_net_no_guidance", 4).guidance is None
    assert sum(isinstance(m, PACTransposed) for m in build("pac_net", 16).modules()) == 4
