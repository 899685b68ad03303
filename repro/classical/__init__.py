"""Joint depth upsampling without learning: the classical rows of DDF's Table 7."""

from repro.classical.methods import METHODS, ClassicalMethod, upsample

__all__ = ["METHODS", "ClassicalMethod", "upsample"]
