"""FDConv and FDLinear: what they are at the start, what a sample sees, every awkward input."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
import torch.nn.functional as F
from fdconv_start import neutral
from torch import nn

from repro.nn import FDConv, FDLinear
from repro.nn.kernel_spatial_modulation import local_width

OPTIONS = {"kernel_num": 4, "min_channels": 1}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def stir(layer: nn.Module) -> nn.Module:
    """Move every parameter away from its start, so that nothing is 1 or 0 by chance."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in layer.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.3 * noise.to(parameter))
    return layer


def extra_parameters(C_in: int, C_out: int, K: int, n: int, *, fbm: bool) -> int:
    """The fact sheet's formula of what FDConv adds to a convolution (groups of 1)."""
    att, taps, k1 = max(C_in // 16, 16), K * K, local_width(C_in)
    total = C_in * att + 2 * att + 2 + att * C_in + C_in + att * C_out + C_out + att * n + n
    total += att * taps + taps if K > 1 else 0
    total += C_out * taps * k1 + 2 * C_in + 2 * C_out * K
    return total + (3 * (9 * C_in + 1) if fbm else 0)


@pytest.mark.parametrize(("C_in", "C_out", "K"), [(64, 64, 3), (64, 256, 1), (256, 128, 1)])
@pytest.mark.parametrize("n", [4, 64])
def test_parameters_follow_the_formula(C_in, C_out, K, n):
    conv = nn.Conv2d(C_in, C_out, K, bias=False)
    layer = FDConv.from_conv(conv, kernel_num=n)
    assert count(layer) - count(conv) == extra_parameters(C_in, C_out, K, n, fbm=K == 3)


@pytest.mark.parametrize(
    ("C", "width"), [(64, 5), (128, 5), (256, 5), (512, 5), (1024, 7), (2048, 7)]
)
def test_width_of_the_local_filters_is_that_of_the_fact_sheet(C, width):
    assert local_width(C) == width


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 1},
        {"kernel_size": 5, "stride": 2, "padding": 2, "bias": False},
        {"kernel_size": 7, "padding": "same"},
        {"kernel_size": (1, 3), "padding": (0, 2), "dilation": 2},
        {"kernel_size": 2},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": "same", "padding_mode": "circular"},
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["code", "paper"])
def test_stands_in_for_a_convolution(settings, form):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 8, **settings).double()
    layer = FDConv.from_conv(conv, fbm_form=form, use_fbm=True, **OPTIONS).eval()
    x = torch.randn(3, 6, 11, 9, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-5, atol=1e-5)
    neutral(layer)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-12, atol=1e-12)
    assert layer(x[:0]).shape == conv(x[:0]).shape
    assert layer(x[:1]).shape == conv(x[:1]).shape


def test_a_depthwise_convolution():
    conv = nn.Conv2d(12, 12, 3, padding=1, groups=12)
    layer = FDConv.from_conv(conv, **OPTIONS).eval()
    assert layer.global_modulation.filter_head is None
    x = torch.randn(2, 12, 7, 7)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-5, atol=1e-5)
    stir(layer)(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_a_convolution_of_its_own_for_every_sample():
    torch.manual_seed(0)
    layer = stir(FDConv(6, 4, 3, 2, 1, groups=2, use_fbm=False, **OPTIONS)).double().eval()
    x = torch.randn(3, 6, 9, 8, dtype=torch.float64)
    out = layer(x)
    weights = layer.weights(x.mean((2, 3)))
    for n in range(3):
        expected = F.conv2d(x[n : n + 1], weights[n], layer.bias, 2, 1, groups=2)
        torch.testing.assert_close(out[n : n + 1], expected)
    assert not torch.allclose(weights[0], weights[1])


def test_with_nothing_to_predict_all_samples_share_one_weight():
    conv = nn.Conv2d(6, 4, 3, 2, 1, groups=2)
    plain = {"kernel_num": 1, "use_ksm_global": False, "use_ksm_local": False, "use_fbm": False}
    layer = FDConv.from_conv(conv, **(OPTIONS | plain))
    assert layer.is_static
    assert {name for name, _ in layer.named_parameters()} == {"dft_weight", "bias"}
    x = torch.randn(3, 6, 9, 8)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer.weights(x.mean((2, 3)))[2], conv.weight, rtol=1e-5, atol=1e-5)


def test_factors_are_those_of_the_equations():
    layer = stir(FDConv(6, 4, 3, padding=1, use_fbm=False, **OPTIONS)).double().eval()
    pooled = torch.randn(2, 6, dtype=torch.float64)
    g, local = layer.global_modulation, layer.local_modulation
    hidden = g.norm(g.trunk(pooled)).relu().square() * g.activation.scale + g.activation.shift
    kernel, channel, filter, spatial = (
        2 * torch.sigmoid(head(hidden))
        for head in (g.kernel_head, g.channel_head, g.filter_head, g.spatial_head)
    )
    parallel = layer.basis().permute(0, 1, 4, 2, 3)  # without the stored scale
    alpha = min(6, 4) // 2 * 4
    mixed = alpha * torch.einsum("ng,goikl->noikl", kernel / 4, parallel)
    sequence = F.layer_norm(pooled, (6,), local.norm.weight, local.norm.bias)
    logits = F.conv1d(sequence[:, None], local.filter[:, None], padding=local.filter.shape[1] // 2)
    dense = 2 * torch.sigmoid(logits).reshape(2, 4, 3, 3, 6).permute(0, 1, 4, 2, 3)
    expected = mixed * dense * channel[:, None, :, None, None] * filter[:, :, None, None, None]
    expected = expected * spatial.reshape(2, 1, 1, 3, 3)
    torch.testing.assert_close(layer.weights(pooled), expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fbm_form": "paper"},
        {"param_ratio": 2},
        {"param_reduction": 0.5},
        {"use_ksm_global": False},
        {"use_ksm_local": False},
        {"activation": "tanh"},
        {"kernel_activation": "softmax"},
        {"norm": "layer_norm"},
        {"kernel_num": 1},
        {"kernel_num": None},
        {"fbm": {"map_groups": 2}},
    ],
    ids=str,
)
def test_gradients_reach_the_input_and_every_parameter(options):
    torch.manual_seed(0)
    layer = stir(FDConv(6, 8, 3, padding=1, **(OPTIONS | options)))
    for batch in (1, 4):
        layer.zero_grad()
        x = torch.randn(batch, 6, 7, 5, requires_grad=True)
        layer(x).square().sum().backward()
        for name, tensor in [("x", x), *layer.named_parameters()]:
            assert tensor.grad.isfinite().all(), name
            assert tensor.grad.abs().sum() > 0, name


def test_gradients_are_those_of_finite_differences():
    for form in ("code", "paper"):
        layer = stir(FDConv(4, 4, 3, padding=1, fbm_form=form, **OPTIONS)).double()
        x = torch.randn(2, 4, 5, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer.train(), (x,), fast_mode=True)


def test_several_copies_start_as_the_same_weight_and_learn_apart():
    conv = nn.Conv2d(8, 8, 3, padding=1).double()
    one, three = (FDConv.from_conv(conv, param_ratio=ratio, **OPTIONS).eval() for ratio in (1, 3))
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(one(x), three(x), rtol=1e-5, atol=1e-5)
    assert three.dft_weight.shape == (3, *one.dft_weight.shape[1:])
    assert three.global_modulation.kernel_head.out_features == 12


def test_a_reduced_spectrum_is_the_lowest_part_of_the_weight():
    conv = nn.Conv2d(8, 8, 3, padding=1)
    layer = FDConv.from_conv(conv, param_reduction=0.25, **OPTIONS)
    assert layer.dft_weight.shape == (1, 24 * 13 // 4, 2)
    weight = layer.static_weight()
    full = FDConv.from_conv(conv, **OPTIONS).spectrum()
    kept = layer.spectrum()
    assert (kept != 0).any(-1).sum() == 24 * 13 // 4
    torch.testing.assert_close(kept[kept != 0], full[kept != 0])
    assert weight.norm() < conv.weight.norm()


def test_small_layers_are_plain_and_the_switch_says_otherwise():
    conv = nn.Conv2d(16, 64, 3, padding=1)
    plain = FDConv.from_conv(conv)
    x = torch.randn(2, 16, 5, 5)
    assert plain.is_plain
    assert count(plain) == count(conv)
    assert torch.equal(plain(x), conv(x))
    assert "plain" in repr(plain)
    assert not FDConv.from_conv(nn.Conv2d(17, 64, 3)).is_plain
    assert not FDConv.from_conv(conv, min_channels=16).is_plain


def test_fbm_belongs_to_3x3_kernels_unless_told_otherwise():
    assert FDConv(8, 8, 3, **OPTIONS).band_modulation is not None
    assert FDConv(8, 8, 1, **OPTIONS).band_modulation is None
    assert FDConv(8, 8, 5, use_fbm=True, **OPTIONS).band_modulation is not None
    assert FDConv(8, 8, 3, use_fbm=False, **OPTIONS).band_modulation is None


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 3)])
def test_tiny_maps(size):
    layer = stir(FDConv(8, 8, 3, padding=1, **OPTIONS)).eval()
    assert layer(torch.randn(2, 8, *size)).isfinite().all()


def test_filter_factors_may_start_as_in_the_authors_code():
    torch.manual_seed(0)
    pooled = torch.randn(4, 32)
    one = FDConv(32, 32, 1).eval().global_modulation(pooled)
    random = FDConv(32, 32, 1, filter_start="random").eval().global_modulation(pooled)
    torch.testing.assert_close(one.filter, torch.ones(4, 32), rtol=0, atol=1e-4)
    assert random.filter.std() > 0.01
    torch.testing.assert_close(random.channel, torch.ones(4, 32), rtol=0, atol=1e-4)
    torch.testing.assert_close(one.kernel, torch.full((4, 64), 1 / 64))


def test_no_kernel_num_means_half_the_outputs_and_a_soft_attention():
    layer = FDConv(8, 12, 3, kernel_num=None, param_ratio=2, min_channels=1)
    assert layer.kernel_num == 6
    assert layer.global_modulation.kernel_temperature == pytest.approx(math.sqrt(12))
    assert layer.global_modulation.temperature == pytest.approx(math.sqrt(12))


def test_the_basis_is_kept_in_evaluation_and_made_again_when_the_spectrum_changes():
    layer = stir(FDConv(8, 8, 3, padding=1, **OPTIONS)).eval()
    x = torch.randn(4, 8, 5, 5)
    expected = layer(x)  # with gradients: a transform per sample
    assert layer._basis is None
    with torch.no_grad():
        first = layer(x)
        kept = layer._basis[1]
        layer(x)
        assert layer._basis[1] is kept
        torch.testing.assert_close(first, expected)
        layer.dft_weight.mul_(2)
        torch.testing.assert_close(layer(x), 2 * expected - layer.bias[:, None, None])
        assert layer._basis[1] is not kept
        layer.load_state_dict(FDConv(8, 8, 3, padding=1, **OPTIONS).state_dict())
        assert layer(x).sub(expected).abs().max() > 1e-3
        layer.double()
        assert layer(x.double()).dtype == torch.float64
    layer.train()
    assert layer._basis is None
    limited = FDConv(8, 8, 3, basis_mib=0, **OPTIONS).eval()
    with torch.no_grad():
        limited(x)
    assert limited._basis is None


def test_large_batches_go_through_the_basis_in_training_too():
    torch.manual_seed(0)
    layer = stir(FDConv(6, 6, 3, padding=1, use_fbm=False, **OPTIONS)).double()
    pooled = torch.randn(6, 6, dtype=torch.float64)
    layer.eval()
    assert layer._takes_basis(6)
    assert not layer._takes_basis(4)
    grads = []
    for parts in (pooled.split(6), pooled.split(3)):
        loss = sum(layer.weights(part).square().sum() for part in parts)
        grads.append(torch.autograd.grad(loss, layer.dft_weight)[0])
    torch.testing.assert_close(*grads)


def test_state_goes_to_a_copy_a_pickle_and_a_file():
    layer = stir(FDConv(8, 8, 3, padding=1, **OPTIONS)).eval()
    x = torch.randn(2, 8, 5, 5)
    with torch.no_grad():
        expected = layer(x)
    other = FDConv(8, 8, 3, padding=1, **OPTIONS).eval()
    other.load_state_dict(layer.state_dict())
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for twin in (other, copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert twin._basis is None
        with torch.no_grad():
            assert torch.equal(twin(x), expected)


def test_made_on_meta_it_is_filled_by_a_checkpoint():
    layer = stir(FDConv(8, 8, 3, padding=1, param_reduction=0.5, **OPTIONS)).eval()
    with torch.device("meta"):
        empty = FDConv(8, 8, 3, padding=1, param_reduction=0.5, **OPTIONS)
    empty.to_empty(device="cpu")
    empty.reset_buffers()
    empty.load_state_dict(layer.state_dict())
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(empty.eval()(x), layer(x))


@pytest.mark.parametrize("form", ["code", "paper"])
def test_under_autocast_and_in_half_precision(form):
    torch.manual_seed(0)
    layer = FDConv(32, 32, 3, padding=1, fbm_form=form).eval()
    x = torch.randn(2, 32, 6, 6)
    expected = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
        out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)
    assert layer.dft_weight.grad.dtype == torch.float32
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.filterwarnings("ignore")  # the compiler's own warnings differ from version to version
@pytest.mark.parametrize("form", ["code", "paper"])
def test_compiles_as_one_graph(form):
    layer = stir(FDConv(8, 8, 3, padding=1, fbm_form=form, **OPTIONS))
    x = torch.randn(2, 8, 6, 5, requires_grad=True)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
    compiled(x).sum().backward()
    assert x.grad.isfinite().all()
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x))


def test_a_linear_layer_over_tokens():
    torch.manual_seed(0)
    linear = nn.Linear(20, 24).double()
    layer = neutral(FDLinear.from_linear(linear, kernel_num=8)).eval()
    for shape in ((3, 20), (3, 5, 20), (3, 4, 5, 20), (0, 5, 20)):
        x = torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(layer(x), linear(x))
    stir(layer)
    x = torch.randn(3, 4, 5, 20, dtype=torch.float64)
    conv = FDConv(20, 24, 1, kernel_num=8).double().eval()
    conv.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), conv(x.movedim(-1, 1)).movedim(1, -1))
    assert FDLinear(8, 8).is_plain
