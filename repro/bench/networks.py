"""Whole networks to be measured: a training step without the optimiser's.

A registry of its own (see `repro.bench.measure`), so that operators are measured without the
networks' dependencies.
"""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from repro.bench.cases import Call, Case
from repro.models import build
from repro.ops import ddf
from repro.ops.reference.ddf import ddf_unfold


def _network(name: str, operator: Callable[..., Tensor] = ddf) -> Callable[[Tensor, int], Call]:
    """The loss of a classifier of images x, with `operator` in the place of `repro.ops.ddf`."""

    def prepare(x: Tensor, kernel_size: int) -> Call:
        net = build(name, in_channels=x.shape[1]).to(x.device, x.dtype)
        labels = torch.zeros(len(x), dtype=torch.long, device=x.device)

        def loss() -> Tensor:
            with mock.patch("repro.nn.ddf.ddf", operator):
                return F.cross_entropy(net(x), labels)

        return Call(loss, list(net.parameters()))

    return prepare


# Their kernel size is what they are built with.
CASES: dict[str, Case] = {
    "resnet50": Case("pytorch", _network("resnet50")),
    "ddf_resnet50": Case(None, _network("ddf_resnet50")),
    "ddf_resnet50_unfold": Case("unfold", _network("ddf_resnet50", ddf_unfold)),
}
