"""The operators in plain PyTorch: any device, any floating dtype, differentiable twice."""

from repro.ops.reference.ddf import ddf_reference

__all__ = ["ddf_reference"]
