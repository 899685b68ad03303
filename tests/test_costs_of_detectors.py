"""What `python -m repro costs` writes of detectors."""

from __future__ import annotations

from repro import costs
from repro.models import rows
from repro.models.detection import costs as detection_costs


def test_a_plain_detector_counts_as_a_whole(monkeypatch):
    base, other = "fdconv.table1.faster_rcnn_r50", "fdconv.table1.faster_rcnn_fdconv"
    backbones = {base: {"network": "resnet50", "costs": {}}, other: {"network": "fdconv_resnet50"}}
    whole = {base: {"network": "faster_rcnn_r50", "costs": {"params_m": {}}}}
    monkeypatch.setattr(rows, "describe", lambda: backbones)
    monkeypatch.setattr(detection_costs, "describe", lambda: whole)
    printed = costs.printed_costs()
    assert printed[base]["network"] == "faster_rcnn_r50"
    assert printed[other]["network"] == "fdconv_resnet50"
