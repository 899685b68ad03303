"""One way to get any RGB-D dataset by name."""

from __future__ import annotations

from pathlib import Path

from repro.data import middlebury, nyu_depth_v2, registry, rendered_scenes
from repro.data.rgbd_pairs import (
    LazyPairs,
    RGBDData,
    RGBDPair,
    count_unknown,
    crop_to_multiple,
    limited,
    mask_unknown,
)
from repro.names import require_known

__all__ = [
    "LazyPairs",
    "RGBDData",
    "RGBDPair",
    "count_unknown",
    "crop_to_multiple",
    "limited",
    "load_rgbd",
    "mask_unknown",
    "rgbd_names",
]

BUNDLED = "bundled_rgbd"
_READERS = {"nyu_depth_v2": nyu_depth_v2.read, "middlebury": middlebury.read}


def rgbd_names() -> list[str]:
    """Every name that `load_rgbd` takes."""
    return [BUNDLED, *_READERS]


def load_rgbd(name: str, *, root: Path | None = None, seed: int = 0) -> RGBDData:
    """An RGB-D dataset.

    Args:
        name: "bundled_rgbd" (the stereo pair of scikit-image and scenes rendered with the bundled
            photographs), "nyu_depth_v2" or "middlebury" (for testing alone).
        root: the folder that holds the dataset's folder; None is `$REPRO_DATA`, or `data_root` of
            params.yaml. The bundled data needs none.
        seed: of the rendered scenes; the others have nothing random.
    Raises:
        UnknownNameError: no such dataset; says what was probably meant.
        DataError: it is missing or damaged; says where, and how to get it.
    """
    require_known("dataset", name, rgbd_names())
    if name == BUNDLED:
        return rendered_scenes.bundled_rgbd(seed)
    return _READERS[name](registry.locate(name, root))
