"""Backbones of the segmenters: ResNet and Swin of the transformers library, full size and small."""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from repro.names import require_known

SIZES = ("full", "small")

# Feature maps at strides 4, 8, 16 and 32.
STAGES = ("stage1", "stage2", "stage3", "stage4")

_RESNET = {"layer_type": "bottleneck"}
# Mask2Former's and MaskDINO's settings of Swin; windows of 12 are those of the 384-pixel weights.
_SWIN = {"window_size": 12, "image_size": 384, "drop_path_rate": 0.3}
# The inner widths of small bottlenecks stay above 16, where FDConv would be a plain convolution.
_SMALL_RESNET = {**_RESNET, "embedding_size": 32, "hidden_sizes": [96, 128, 192, 256]}
_SMALL_SWIN = {"window_size": 4, "image_size": 128, "drop_path_rate": 0.0}

# Size -> name -> family and settings of its configuration.
BACKBONES: Mapping[str, Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "full": {
        "resnet50": ("resnet", {**_RESNET, "depths": [3, 4, 6, 3]}),
        "resnet101": ("resnet", {**_RESNET, "depths": [3, 4, 23, 3]}),
        "swin_t": (
            "swin",
            {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)},
        ),
        "swin_b": (
            "swin",
            {**_SWIN, "embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)},
        ),
        "swin_l": (
            "swin",
            {**_SWIN, "embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
        ),
    },
    "small": {
        "resnet50": ("resnet", {**_SMALL_RESNET, "depths": [1, 1, 1, 1]}),
        "resnet101": ("resnet", {**_SMALL_RESNET, "depths": [1, 1, 3, 1]}),
        "swin_t": (
            "swin",
            {**_SMALL_SWIN, "embed_dim": 24, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)},
        ),
        "swin_b": (
            "swin",
            {**_SMALL_SWIN, "embed_dim": 32, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)},
        ),
        "swin_l": (
            "swin",
            {**_SMALL_SWIN, "embed_dim": 48, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)},
        ),
    },
}

_CONFIGS = {"resnet": "ResNetConfig", "swin": "SwinConfig"}

# Names in a ResNet of torchvision or timm, and in one of transformers.
_RESNET_NAMES = (
    (re.compile(r"^conv1\."), "embedder.embedder.convolution."),
    (re.compile(r"^bn1\."), "embedder.embedder.normalization."),
    (re.compile(r"\.downsample\.0\."), ".shortcut.convolution."),
    (re.compile(r"\.downsample\.1\."), ".shortcut.normalization."),
)
_RESNET_BLOCK = re.compile(r"^layer(\d)\.(\d+)\.(?:(conv|bn)(\d)\.)?")
_KINDS = {"conv": "convolution", "bn": "normalization"}


def transformers(module: str = "transformers") -> Any:
    """The transformers library, or one of its modules, imported when it is first needed.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"segmenters need the package transformers: {error}") from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence the library's remark that it has no Mask2Former weights for ResNet backbones."""
    logging = transformers("transformers.utils.logging")
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def backbone_config(name: str, size: str) -> Any:
    """Configuration of a backbone that gives the feature maps of all four stages.

    Args:
        name: "resnet50", "resnet101", "swin_t", "swin_b" or "swin_l".
        size: "full", or "small": the same layers, fewer and narrower.
    Raises:
        UnknownNameError: no such size or backbone.
        ImportError: transformers is not installed.
    """
    require_known("network size", size, SIZES)
    family, settings = BACKBONES[size][require_known("backbone", name, BACKBONES[size])]
    config = getattr(transformers(), _CONFIGS[family])
    return config(**settings, out_features=list(STAGES))


def from_torchvision_resnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ResNet checkpoint of torchvision or timm under the names that transformers gives.

    The classifier is left out: a segmenter's backbone has none. Other names stay as they are.
    """
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("fc."):
            continue
        for pattern, new in _RESNET_NAMES:
            name = pattern.sub(new, name)
        renamed[_RESNET_BLOCK.sub(_in_block, name)] = tensor
    return renamed


def _in_block(match: re.Match[str]) -> str:
    stage, block, kind, number = match.groups()
    prefix = f"encoder.stages.{int(stage) - 1}.layers.{block}."
    return prefix if kind is None else f"{prefix}layer.{int(number) - 1}.{_KINDS[kind]}."
