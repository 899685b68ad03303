"""MaskDINO: detection and segmentation with the same queries.

Mask DINO: Towards A Unified Transformer-based Framework for Object Detection and Segmentation (Li
et al., CVPR 2023, arXiv 2206.02777). No library has it: this one is ours, on the transformers
library's backbones and Deformable DETR layers. Section by section:

    3.1  DINO: queries with boxes, refined by every layer            decoder
    3.4  segmentation branch: pixel embeddings, shared mask head     pixel_decoder, heads
    3.5  unified query selection, anchors from masks                 selection
    3.6  denoising of labels, boxes and masks                        denoising
         hybrid matching by class, box and mask; losses              matching, losses, points
         decoupled box prediction of stuff                           not here, see `MaskDINO`
"""

from repro.models.segmentation.mask_dino.model import MaskDINO
from repro.models.segmentation.mask_dino.settings import COCO_INSTANCES, SETTINGS, Settings

__all__ = ["COCO_INSTANCES", "SETTINGS", "MaskDINO", "Settings"]
