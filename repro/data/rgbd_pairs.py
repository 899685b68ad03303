"""What every RGB-D dataset gives: pairs of a photograph and its depth, decoded when used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from repro.data.errors import DataError


@dataclass(frozen=True)
class RGBDPair:
    """A photograph and the depth, or disparity, of each of its pixels.

    Attributes:
        name: of the frame, unique in its dataset.
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32, above zero; NaN where it is unknown.
    Raises:
        ValueError: another type or shape, sizes that differ, or depth that is neither above zero
            and finite nor NaN (`mask_unknown` makes it so).
    """

    name: str
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[2] != 3:
            raise ValueError(
                f"{self.name}: rgb must be (H, W, 3) uint8, got {self.rgb.shape} {self.rgb.dtype}"
            )
        if self.depth.dtype != np.float32 or self.depth.shape != self.rgb.shape[:2]:
            raise ValueError(
                f"{self.name}: depth must be {self.rgb.shape[:2]} float32, the size of rgb, got "
                f"{self.depth.shape} {self.depth.dtype}"
            )
        wrong = int((~np.isfinite(self.depth) | (self.depth <= 0)).sum()) - self.unknown
        if wrong:
            raise ValueError(
                f"{self.name}: {wrong} depths are infinite or not above zero; unknown is NaN"
            )

    @property
    def unknown(self) -> int:
        """How many pixels have no known depth."""
        return int(np.isnan(self.depth).sum())


@dataclass(frozen=True)
class LazyPairs(Sequence[RGBDPair]):
    """Pairs that are read each time they are asked for; a slice reads nothing.

    Attributes:
        names: one a pair.
        read: makes a pair from its name.
    """

    names: tuple[str, ...]
    read: Callable[[str], RGBDPair]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[RGBDPair]:
        return map(self.read, self.names)

    @overload
    def __getitem__(self, index: int) -> RGBDPair: ...

    @overload
    def __getitem__(self, index: slice) -> LazyPairs: ...

    def __getitem__(self, index: int | slice) -> RGBDPair | LazyPairs:
        if isinstance(index, slice):
            return replace(self, names=self.names[index])
        return self.read(self.names[index])

    def chosen(self, indices: Iterable[int]) -> LazyPairs:
        """The pairs of these indices, in this order."""
        return replace(self, names=tuple(self.names[index] for index in indices))


@dataclass(frozen=True)
class RGBDData:
    """Pairs split into train and test.

    Attributes:
        name: as `load_rgbd` takes it.
        unit: of the errors that are reported: "cm", "px" (disparity) or "grey levels".
        unit_scale: a stored depth times this is in `unit`.
        train, test: the pairs; `train` is empty where the set is for testing alone.
        fingerprint: sha256 that differs where pixels or their order differ.
        note: what a reader of the numbers must know of the data.
    """

    name: str
    unit: str
    unit_scale: float
    train: Sequence[RGBDPair]
    test: Sequence[RGBDPair]
    fingerprint: str
    note: str

    def require_train(self) -> Sequence[RGBDPair]:
        """The training pairs.

        Raises:
            DataError: there are none.
        """
        if not self.train:
            raise DataError(
                f"{self.name} is for testing alone: it has no training pairs; train on another "
                f"dataset, its {len(self.test)} pairs are in .test"
            )
        return self.train


def mask_unknown(depth: NDArray[np.generic]) -> NDArray[np.float32]:
    """Depth with NaN wherever it is not finite or not above zero: sensors write 0 for a hole."""
    known = depth.astype(np.float32)
    known[~np.isfinite(known) | (known <= 0)] = np.nan
    return known


def count_unknown(pairs: Iterable[RGBDPair]) -> int:
    """How many pixels of all these pairs have no known depth; reads every pair."""
    return sum(pair.unknown for pair in pairs)


def crop_to_multiple(pair: RGBDPair, multiple: int) -> RGBDPair:
    """Cut the pair, at its right and bottom, to sides that are multiples of `multiple`.

    Raises:
        ValueError: nothing would be left.
    """
    height, width = (size // multiple * multiple for size in pair.depth.shape)
    if not height or not width:
        raise ValueError(
            f"{pair.name}: {pair.depth.shape[0]} x {pair.depth.shape[1]} pixels cannot be cut to a "
            f"multiple of {multiple}"
        )
    return replace(pair, rgb=pair.rgb[:height, :width], depth=pair.depth[:height, :width])


def limited(data: RGBDData, train_images: int | None, test_images: int | None) -> RGBDData:
    """A smaller version of a dataset, for a first look or a test.

    Args:
        train_images, test_images: how many pairs to keep, evenly spaced; None keeps all.
    Raises:
        ValueError: a number out of range.
    """
    if train_images is not None:
        train = _evenly(data, "train", data.require_train(), train_images)
        data = replace(data, train=train, fingerprint=_cut(data, "train", train_images))
    if test_images is not None:
        test = _evenly(data, "test", data.test, test_images)
        data = replace(data, test=test, fingerprint=_cut(data, "test", test_images))
    return data


def _evenly(data: RGBDData, part: str, pairs: Sequence[RGBDPair], count: int) -> Sequence[RGBDPair]:
    if not 1 <= count <= len(pairs):
        raise ValueError(
            f"{part}_images must be from 1 to the {len(pairs)} of {data.name}, got {count}"
        )
    indices = [number * len(pairs) // count for number in range(count)]
    if isinstance(pairs, LazyPairs):
        return pairs.chosen(indices)
    return tuple(pairs[index] for index in indices)


def _cut(data: RGBDData, part: str, count: int) -> str:
    return hashlib.sha256(f"{data.fingerprint} {part} {count}".encode()).hexdigest()
