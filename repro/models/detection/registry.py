"""Which detector each row of DDF's Table 6 and of FDConv's Tables 1 and 3 is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from repro.models.detection.transformers import place_fdlinear, share_feed_forward_warehouses


@dataclass(frozen=True)
class Detector:
    """One detector of the tables.

    Attributes:
        body: a name of `repro.models.SYSTEMS` (a ResNet), or of
            `repro.models.detection.transformers.STAGES`.
        masks: Mask R-CNN rather than Faster R-CNN.
        upsampler: of the FPN, a name of `repro.models.detection.upsamplers.UPSAMPLERS`.
        change: done to the body of a transformer; a ResNet's is part of its system.
        base: the detector that it is compared with; None for a base.
    """

    body: str
    masks: bool = False
    upsampler: str = "nearest"
    change: Callable[[nn.Module], None] | None = None
    base: str | None = None

    @property
    def is_resnet(self) -> bool:
        """Whether the body is a ResNet of `repro.models`."""
        return not self.body.endswith("_t")


def _upsampled(upsampler: str) -> Detector:
    return Detector("resnet50", upsampler=upsampler, base="nearest")


def _faster(body: str) -> Detector:
    return Detector(body, base="faster_rcnn_r50")


def _mask(body: str, change: Callable[[nn.Module], None] | None = None) -> Detector:
    plain = "r50" if body.endswith("resnet50") else body
    return Detector(body, masks=True, change=change, base=f"mask_rcnn_{plain}")


# Row id -> detector; the ids are unique over the three tables.
DETECTORS: Mapping[str, Detector] = {
    # DDF, Table 6: Faster R-CNN
    "nearest": Detector("resnet50"),
    **{name: _upsampled(name) for name in ("bilinear", "deconv", "pixel_shuffle", "carafe")},
    "ddf_up": _upsampled("ddf_up"),
    # FDConv, Table 1
    "faster_rcnn_r50": Detector("resnet50"),
    "faster_rcnn_condconv_8x": _faster("condconv8x_resnet50"),
    "faster_rcnn_dyconv_4x": _faster("dyconv4x_resnet50"),
    "faster_rcnn_dcd": _faster("dcd_resnet50"),
    "faster_rcnn_odconv_4x": _faster("odconv4x_resnet50"),
    "faster_rcnn_fdconv": _faster("fdconv_resnet50"),
    "mask_rcnn_r50": Detector("resnet50", masks=True),
    "mask_rcnn_dyconv_4x": _mask("dyconv4x_resnet50"),
    "mask_rcnn_odconv_4x": _mask("odconv4x_resnet50"),
    "mask_rcnn_kw_1x": _mask("kw1x_resnet50"),
    "mask_rcnn_kw_4x": _mask("kw4x_resnet50"),
    "mask_rcnn_fdconv": _mask("fdconv_resnet50"),
    # FDConv, Table 3. Which linear layers its rows replace is not known; of whole feed-forward
    # parts and of their first or second layers, over consecutive stages, these come nearest to the
    # +3 M of each (2.81 and 3.12). All layers of all stages add 6.0 and 9.0 M, and no one choice
    # fits both: ConvNeXt-T has half as many blocks again as Swin-T
    # (tests/models/test_detector_costs.py).
    "mask_rcnn_convnext_t": Detector("convnext_t", masks=True),
    "mask_rcnn_convnext_t_kw": _mask("convnext_t", share_feed_forward_warehouses),
    "mask_rcnn_convnext_t_fdconv": _mask(
        "convnext_t", partial(place_fdlinear, stages=(2, 3), linears="second")
    ),
    "mask_rcnn_swin_t": Detector("swin_t", masks=True),
    "mask_rcnn_swin_t_fdconv": _mask("swin_t", partial(place_fdlinear, stages=(0, 3))),
}
