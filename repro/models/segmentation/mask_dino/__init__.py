"""MaskDINO: detection and segmentation with the same queries.

Mask DINO: Towards A Unified Transformer-based Framework for Object Detection and Segmentation (Li
et al., CVPR 2023, arXiv 2206.02777). No library has it: this one is ours, on the transformers
library's backbones and Deformable DETR layers. Section by section, under the paper's headings:

    DINO (queries with boxes that every layer refines)           decoder
    Segmentation branch (pixel embeddings, shared mask head)     pixel_decoder, heads
    Unified query selection for mask                             selection
    Mask-enhanced anchor box initialization                      selection
    Unified denoising for mask                                   denoising
    Hybrid matching, and the losses of matched pairs             matching, losses, points
    Decoupled box prediction (no boxes for stuff)                not here, see `MaskDINO`
"""

from repro.models.segmentation.mask_dino.model import MaskDINO
from repro.models.segmentation.mask_dino.settings import COCO_INSTANCES, SETTINGS, Settings

__all__ = ["COCO_INSTANCES", "SETTINGS", "MaskDINO", "Settings"]
