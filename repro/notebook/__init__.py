"""Notebooks as functions: declared parameters in, an executed copy and a run directory out."""
