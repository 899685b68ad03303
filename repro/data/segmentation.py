"""One way to get any segmentation dataset by name."""

from __future__ import annotations

from pathlib import Path

from repro.data import ade20k, camvid, cityscapes, mosaics, nyu39, registry
from repro.data.segmentation_images import (
    IGNORE,
    SegmentationData,
    SegmentationImage,
    limited,
)
from repro.names import require_known

__all__ = [
    "IGNORE",
    "SegmentationData",
    "SegmentationImage",
    "limited",
    "load_segmentation",
    "segmentation_names",
]

MOSAICS = "mosaics"
_READERS = {
    "camvid": camvid.read,
    "cityscapes": cityscapes.read,
    "ade20k": ade20k.read,
    "nyu39": nyu39.read,
}


def segmentation_names() -> list[str]:
    """Every name that `load_segmentation` takes."""
    return [MOSAICS, *_READERS]


def load_segmentation(name: str, *, root: Path | None = None, seed: int = 0) -> SegmentationData:
    """A segmentation dataset.

    Args:
        name: "mosaics" (made from the bundled images), "camvid", "cityscapes", "ade20k" or "nyu39".
        root: the folder that holds the dataset's folder; None is `$REPRO_DATA`, or `data_root` of
            params.yaml. The mosaics need none.
        seed: of the mosaics; the others have nothing random.
    Raises:
        UnknownNameError: no such dataset; says what was probably meant.
        DataError: it is missing or damaged; says where, and how to get it.
    """
    require_known("dataset", name, segmentation_names())
    if name == MOSAICS:
        return mosaics.make(seed)
    return _READERS[name](registry.locate(name, root))
