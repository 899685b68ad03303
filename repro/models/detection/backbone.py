"""The maps of a classification network's four stages, and the pyramid over them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models._utils import IntermediateLayerGetter

from repro.models.detection.fpn import UpsamplingFPN
from repro.nn.fdconv_conversion import to_fdconv_state_dict
from repro.nn.fourier_weight import FourierWeight
from repro.nn.mixture_conversion import mixtures, to_mixture_state_dict
from repro.nn.state_dicts import checked

# Parts of FDConv that stay trained in a frozen stage: those the authors name KSM and FBM.
MODULATION = ("global_modulation", "local_modulation", "band_modulation")
CLASSIFIERS = ("fc.", "head.", "classifier.", "norm.")  # of timm's and torchvision's networks


class PyramidBackbone(nn.Module):
    """What a detector of torchvision takes as its backbone: body, and FPN.

    Args:
        net: a ResNet of timm or torchvision, or torchvision's ConvNeXt or Swin. Its stages are
            taken out of it; its classifier is left.
        widths: channels of the stages' maps.
        channels: of the pyramid's maps.
        upsampler: a name of `repro.models.detection.upsamplers.UPSAMPLERS`.
        frozen_stages: how many stages keep their weights, and the stem with them; 0 freezes
            nothing. Of an FDConv in a frozen stage the spectrum is frozen, the modulation is not.
        freeze_statistics: batch norm, that of the dynamic layers' attention included, uses its
            running statistics in training as well; its scale and shift are trained all the same.
    Shape:
        (N, 3, H, W) to a mapping: "0" to "3", at strides of 4, 8, 16 and 32, and "pool".
    Source: FPN (arXiv 1612.03144); freezing as in the configurations of FDConv's authors
        (frozen_stages=1, norm_eval=True, need_grad_list=[KSM, FBM]). Stages of ConvNeXt and Swin
        pass a layer norm of their own on the way to the pyramid, as in their authors' detectors.
    """

    def __init__(
        self,
        net: nn.Module,
        widths: Sequence[int],
        channels: int,
        upsampler: str = "nearest",
        *,
        frozen_stages: int = 0,
        freeze_statistics: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = channels
        self.freeze_statistics = freeze_statistics
        is_resnet = hasattr(net, "layer1")
        stages = [f"layer{i}" for i in range(1, 5)] if is_resnet else ["1", "3", "5", "7"]
        names = {stage: str(level) for level, stage in enumerate(stages)}
        self.body = IntermediateLayerGetter(net if is_resnet else net.features, names)
        self.channels_last = hasattr(net, "permute")  # Swin's maps are (N, H, W, C)
        self.norms = None if is_resnet else nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.fpn = UpsamplingFPN(widths, channels, upsampler)
        _freeze(self.body, stages[:frozen_stages])
        self.train(self.training)

    def train(self, mode: bool = True) -> PyramidBackbone:
        super().train(mode)
        if self.freeze_statistics:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        return self.over_maps(self.body(x))

    def over_maps(self, maps: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
        """The pyramid over the body's maps."""
        if self.norms is not None:
            maps = {
                name: norm(map_ if self.channels_last else map_.permute(0, 2, 3, 1))
                for (name, map_), norm in zip(maps.items(), self.norms, strict=True)
            }
            maps = {name: map_.permute(0, 3, 1, 2).contiguous() for name, map_ in maps.items()}
        pyramid: OrderedDict[str, Tensor] = self.fpn(maps)
        return pyramid


def load_weights(net: nn.Module, path: str | Path) -> None:
    """Start a classification network from trained weights; its classifier stays as it is.

    Args:
        net: as built by `repro.models.build` or `build_transformer`.
        path: a state dict, saved by `torch.save`: of `net` itself, or of the plain network that
            `net` was before layers were replaced by FDConv, CondConv, DY-Conv or ODConv, which then
            computes what the plain one computes. DCD and KernelWarehouse need their own.
    Raises:
        KeyError, ValueError: entries are missing, belong to nothing, or have another shape.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    wanted = net.state_dict()
    state = {name: tensor for name, tensor in state.items() if not name.startswith(CLASSIFIERS)}
    state |= {name: tensor for name, tensor in wanted.items() if name.startswith(CLASSIFIERS)}
    if set(state) != set(wanted):
        if any(isinstance(module, FourierWeight) for module in net.modules()):
            state = to_fdconv_state_dict(state, net)
        elif mixtures(net):
            state = dict(to_mixture_state_dict(state, net))
    net.load_state_dict(checked(state, wanted))


def _freeze(body: nn.Module, stages: list[str]) -> None:
    """Freeze everything up to the last of `stages`, the stem included."""
    if not stages:
        return
    for name, part in body.named_children():
        for path, parameter in part.named_parameters():
            parameter.requires_grad_(any(key in path for key in MODULATION))
        if name == stages[-1]:
            return
