"""Networks that upsample a depth map with the help of an image, one family a file."""

from repro.models.joint_upsampling.registry import (
    UPSAMPLERS,
    Upsampler,
    build_upsampler,
    learned_names,
    upsampler_costs,
)

__all__ = ["UPSAMPLERS", "Upsampler", "build_upsampler", "learned_names", "upsampler_costs"]
