"""Data: one file per kind of source, one registry, one check that what is shipped is unharmed."""

from repro.data.batches import Batch, Batches, ClassificationData
from repro.data.bundled import verify_bundled
from repro.data.classification import classification_names, load_classification
from repro.data.errors import DataError
from repro.data.patches import prepare_patches

__all__ = [
    "Batch",
    "Batches",
    "ClassificationData",
    "DataError",
    "classification_names",
    "load_classification",
    "prepare_patches",
    "verify_bundled",
]
