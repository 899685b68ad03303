"""Plain networks to FDConv and back, and checkpoints under the authors' names."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from fdconv_start import neutral
from torch import nn

from repro.models import build
from repro.nn import (
    DDF,
    FDConv,
    FDLinear,
    from_authors_state_dict,
    place_fdconv,
    to_fdconv,
    to_fdconv_state_dict,
    to_plain,
    to_plain_state_dict,
)
from repro.nn.fdconv_conversion import fourier_layers

OPTIONS = {"kernel_num": 8, "min_channels": 1}


def timm_swin(**options) -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=56,
        embed_dim=24,
        depths=(1, 1),
        num_heads=(2, 2),
        num_classes=5,
        **options,
    )


NETWORKS = {
    "timm resnet50, small": (lambda: build("resnet50", num_classes=5, size="small"), 15, 32),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=5), 16, 32),
    "timm convnext": (
        lambda: timm.create_model(
            "convnext_tiny", depths=(1, 1, 1, 1), dims=(24, 32, 40, 48), num_classes=5
        ),
        8,
        32,
    ),
    "timm convnext, 1x1 convolutions": (
        lambda: timm.create_model(
            "convnext_tiny",
            depths=(1, 1, 1, 1),
            dims=(24, 32, 40, 48),
            num_classes=5,
            conv_mlp=True,
        ),
        8,
        32,
    ),
    "torchvision convnext": (
        lambda: torchvision.models.ConvNeXt(
            [
                torchvision.models.convnext.CNBlockConfig(24, 32, 1),
                torchvision.models.convnext.CNBlockConfig(32, None, 1),
            ],
            num_classes=5,
        ),
        4,
        32,
    ),
    "timm swin": (timm_swin, 4, 56),
    "torchvision swin": (
        lambda: torchvision.models.SwinTransformer(
            [4, 4], 24, [1, 1], [2, 2], [7, 7], num_classes=5
        ),
        4,
        56,
    ),
}


@pytest.fixture(params=NETWORKS.items(), ids=lambda item: item[0])
def network(request):
    """A plain network in eval mode, its twin with FDConv, and an input."""
    make, layers, size = request.param[1]
    torch.manual_seed(0)
    plain = make().eval()
    twin = make().eval()
    report = place_fdconv(twin, **OPTIONS)
    assert len(report) == layers
    channels = next(m for m in plain.modules() if isinstance(m, nn.Conv2d)).in_channels
    return plain, twin, torch.randn(2, channels, size, size)


@pytest.mark.filterwarnings("ignore")
def test_a_whole_checkpoint_there_and_back(network):
    plain, twin, x = network
    twin.load_state_dict(to_fdconv_state_dict(plain.state_dict(), neutral(twin)))
    with torch.no_grad():
        expected = plain(x)
        torch.testing.assert_close(twin(x), expected, rtol=1e-5, atol=1e-5)
    back = to_plain_state_dict(twin)
    assert set(back) == set(plain.state_dict())
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(back[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 8, 3, 2, 1, groups=2),
        nn.Conv2d(5, 7, (1, 3), padding="same", bias=False, padding_mode="circular"),
        nn.Linear(9, 7),
        nn.Linear(9, 7, bias=False),
    ],
    ids=str,
)
def test_a_layer_there_and_back(layer):
    layer = layer.double().eval()
    there = to_fdconv(layer, **OPTIONS)
    assert isinstance(there, FDLinear if isinstance(layer, nn.Linear) else FDConv)
    assert not there.training
    back = to_plain(there)
    assert repr(back) == repr(layer)
    assert back.weight.dtype == torch.float64
    for name, tensor in layer.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], tensor)


def test_other_layers_are_refused():
    with pytest.raises(TypeError, match="takes Conv2d or Linear, got DDF"):
        to_fdconv(DDF(8))
    with pytest.raises(TypeError, match="takes FDConv or FDLinear"):
        to_plain(nn.Conv2d(8, 8, 3))


def small_pair() -> tuple[nn.Module, nn.Module]:
    plain = build("resnet18", num_classes=5, size="small")
    twin = build("resnet18", num_classes=5, size="small")
    place_fdconv(twin, kernel_num=8)
    return plain, twin


def test_entries_that_do_not_fit_are_named():
    plain, twin = small_pair()
    state = plain.state_dict()
    wrong = {**state, "layer1.0.conv1.weight": torch.zeros(32, 31, 3, 3)}
    with pytest.raises(ValueError, match=r"layer1\.0\.conv1\.weight must be \(32, 32, 3, 3\)"):
        to_fdconv_state_dict(wrong, twin)
    missing = {name: v for name, v in state.items() if name != "layer2.0.conv2.weight"}
    with pytest.raises(KeyError, match=r"missing: layer2\.0\.conv2\.dft_weight"):
        to_fdconv_state_dict(missing, twin)
    with pytest.raises(KeyError, match=r"belonging to nothing: head\.weight"):
        to_fdconv_state_dict({**state, "head.weight": torch.zeros(1)}, twin)


def test_a_network_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="Sequential has neither residual blocks nor"):
        place_fdconv(nn.Sequential(nn.Conv2d(3, 8, 3)))


def as_authors_name_it(model: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict under the names and in the shapes of the authors' layer."""
    state = {}
    layers = fourier_layers(model)
    own = {
        "global_modulation.trunk": ("KSM_Global.fc", (1, 1)),
        "global_modulation.norm": ("KSM_Global.bn", ()),
        "global_modulation.activation.scale": ("KSM_Global.relu.scale", ()),
        "global_modulation.activation.shift": ("KSM_Global.relu.bias", ()),
        "global_modulation.channel_head": ("KSM_Global.channel_fc", (1, 1)),
        "global_modulation.filter_head": ("KSM_Global.filter_fc", (1, 1)),
        "global_modulation.spatial_head": ("KSM_Global.spatial_fc", (1, 1)),
        "global_modulation.kernel_head": ("KSM_Global.kernel_fc", (1, 1)),
        "local_modulation.norm": ("KSM_Local.norm", ()),
    }
    for name, tensor in model.state_dict().items():
        prefix = next((p for p in layers if name.startswith(p + ".")), None)
        if prefix is None:
            state[name] = tensor
            continue
        entry = name.removeprefix(prefix + ".")
        if entry == "local_modulation.filter":
            state[f"{prefix}.KSM_Local.conv.weight"] = tensor[:, None]
        elif entry.startswith("band_modulation.maps."):
            for b in range(3):
                kind = entry.rpartition(".")[2]
                state[f"{prefix}.FBM.freq_weight_conv_list.{b}.{kind}"] = tensor[b : b + 1]
        else:
            for ours, (theirs, axes) in own.items():
                if entry.startswith(ours):
                    entry = theirs + entry.removeprefix(ours)
                    tensor = tensor.reshape(*tensor.shape, *axes) if tensor.dim() == 2 else tensor
            state[f"{prefix}.{entry}"] = tensor
    return state


def test_the_authors_names_are_understood():
    _, source = small_pair()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    theirs = as_authors_name_it(source)
    assert any("KSM_Global.fc.weight" in name for name in theirs)
    assert all("modulation" not in name for name in theirs)
    theirs["layer1.0.conv1.FBM.cached_masks"] = torch.zeros(3, 1, 64, 33)
    _, target = small_pair()
    target.load_state_dict(from_authors_state_dict(theirs, target))
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name
    del theirs["layer1.0.conv1.KSM_Local.conv.weight"]
    with pytest.raises(KeyError, match=r"missing: layer1\.0\.conv1\.local_modulation\.filter"):
        from_authors_state_dict(theirs, target)
