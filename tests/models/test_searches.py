"""Forms that the papers leave open: which were tried, and that the one in use is the nearest."""

from __future__ import annotations

import pytest
import torch

from repro.complexity import count
from repro.models import SYSTEMS, System, build_system
from repro.models.changes import use_dcd_classifier
from repro.nn import DyNet2d


def costs(system: System) -> tuple[float, float]:
    """Millions of parameters, billions of multiply-accumulates."""
    with torch.device("meta"):
        net = build_system(system)
    found = count(net, (1, 3, 224, 224))
    return found.params / 1e6, found.macs / 1e9


def distance(found: tuple[float, float], printed: tuple[float, float]) -> float:
    return max(abs(a / b - 1) for a, b in zip(found, printed, strict=True))


def test_ddf_resnet18():
    printed = (7.7, 0.4)  # Table 4
    tried = {
        ("same channels", sigma): System("resnet18", "ddf", options={"squeeze_ratio": sigma})
        for sigma in (0.2, 0.5)
    } | {
        ("then 1x1", sigma): System(
            "resnet18", "ddf_and_pointwise", "windowed", {"squeeze_ratio": sigma}
        )
        for sigma in (0.2, 0.3, 0.4, 0.5)
    }
    found = {key: costs(system) for key, system in tried.items()}
    # The fact sheet's closed forms of the same.
    assert found["same channels", 0.2] == pytest.approx((4.418, 0.337), abs=6e-4)
    assert found["then 1x1", 0.2] == pytest.approx((4.272, 0.352), abs=6e-4)
    assert found["same channels", 0.5] == pytest.approx((7.576, 0.340), abs=6e-4)
    nearest = min(found, key=lambda key: distance(found[key], printed))
    assert tried[nearest] == SYSTEMS["ddf_resnet18"]
    # No other rounds to both printed figures.
    rounds = [key for key, (p, f) in found.items() if (round(p, 1), round(f, 1)) == printed]
    assert rounds == [nearest]


@pytest.mark.parametrize(
    ("body", "printed"), [("resnet50", (25.8, 4.2)), ("resnet101", (45.4, 8.1))]
)
def test_attention_augmentation(body, printed):
    place = {"layer": "attention_augmented", "stages": (1, None)}
    tried = {
        pooled_at: System(body, options={"pooled_at": pooled_at}, **place)
        for pooled_at in (None, 128, 256)
    }
    rounded = {}
    for pooled_at, system in tried.items():
        params, flops = costs(system)
        rounded[pooled_at] = (round(params, 1), round(flops, 1))
    assert rounded[128] == printed
    assert [key for key, value in rounded.items() if value == printed] == [128]
    assert tried[128] == SYSTEMS[f"aa_{body}"]


def test_condconv_of_fdconvs_table_is_in_the_last_stage():
    base = costs(SYSTEMS["resnet50"])[0]
    tried = {
        (where, first): System("resnet50", "condconv", where, stages=(first, None))
        for where in ("spatial", "residual_blocks", "stages")
        for first in (0, 2, -1)
    }
    added = {key: costs(system)[0] - base for key, system in tried.items()}
    assert [key for key, value in added.items() if round(value, 1) == 90.0] == [
        ("residual_blocks", -1)
    ]
    assert tried["residual_blocks", -1] == SYSTEMS["condconv8x_resnet50"]


def test_dcd_is_counted_with_its_classifier():
    base = costs(SYSTEMS["resnet50"])[0]
    with_classifier = System("resnet50", "dcd", "residual_blocks", change=use_dcd_classifier)
    without = System("resnet50", "dcd", "residual_blocks")
    assert round(costs(with_classifier)[0] - base, 1) == 4.3  # printed
    assert round(costs(without)[0] - base, 1) == 4.0
    assert with_classifier == SYSTEMS["dcd_resnet50"]


def test_dynet_halves_widths_and_keeps_strides_where_its_base_has_them():
    # Printed: R-18 16.6 M and 0.6 G, R-50 1.1 G. DyNet gives its plain ResNet-50 3.89 G, which is
    # the network with the strides in the 1x1 convolutions.
    found = costs(SYSTEMS["dynet_resnet18"])
    assert round(found[1], 1) == 0.6
    dynamic_shortcuts = System("resnet18", "dynet", "stages", width=0.5)
    assert abs(found[0] - 16.6) < abs(costs(dynamic_shortcuts)[0] - 16.6)
    with torch.device("meta"):
        net = build_system(SYSTEMS["dynet_resnet18"])
    fixed = sum(m.weight.numel() for m in net.modules() if isinstance(m, DyNet2d))
    assert round(fixed / 1e6, 2) == 16.53
    assert round(costs(SYSTEMS["dynet_resnet50"])[1], 1) == 1.1
    timms_strides = System("resnet50", "dynet", "residual_blocks", width=0.5)
    assert round(costs(timms_strides)[1], 1) == 1.2


def test_adaptive_kernels_are_in_the_first_two_stages():
    tried = {
        (where, stages): System("resnet18", "adaptive", where, stages=stages)
        for where in ("windowed", "spatial")
        for stages in ((0, 1), (1, 2), (0, 2), (2, 3), (1, 3), (0, 3), (3, None), (0, None))
    }
    found = {key: costs(system)[0] for key, system in tried.items()}
    assert [key for key, value in found.items() if round(value, 1) == 11.1] == [
        ("windowed", (0, 2))
    ]
    assert tried["windowed", (0, 2)] == SYSTEMS["adaptive_resnet18"]
