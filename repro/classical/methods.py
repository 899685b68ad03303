"""The upsamplers without learned weights of DDF's Table 7, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from repro.classical.bilateral_solver import bilateral_solver
from repro.classical.guided_filter import guided_filter
from repro.classical.ham import ham
from repro.classical.interpolation import bicubic, bilinear
from repro.classical.joint_bilateral import joint_bilateral
from repro.classical.mrf import mrf
from repro.names import require_known


@dataclass(frozen=True)
class ClassicalMethod:
    """One row of the table.

    Attributes:
        name: row id, as in the fact sheet.
        label: as printed in the paper.
        source: publication.
        grid: parameter -> the values that tuning tries, in order; empty for interpolation.
        function: (low, rgb, factor, offset, **parameters) -> (H, W); checks nothing.
    """

    name: str
    label: str
    source: str
    function: Callable[..., npt.NDArray[np.float32]]
    grid: Mapping[str, tuple[float, ...]]


_SIGMA_COLOUR = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
_DATA_WEIGHT = (10.0, 100.0, 1000.0)  # at 1000, samples are all but kept

_METHODS = (
    ClassicalMethod("bilinear", "Bilinear", "-", bilinear, {}),
    ClassicalMethod("bicubic", "Bicubic", "Keys, IEEE TASSP 1981", bicubic, {}),
    ClassicalMethod(
        "mrf",
        "MRF",
        "Diebel and Thrun, NIPS 2005",
        mrf,
        {"data_weight": _DATA_WEIGHT, "sigma_colour": _SIGMA_COLOUR},
    ),
    ClassicalMethod(
        "gf",
        "GF",
        "He et al., ECCV 2010",
        guided_filter,
        {"radius": (1, 2, 4, 8, 16), "epsilon": (1e-4, 1e-3, 1e-2, 1e-1, 1.0)},
    ),
    ClassicalMethod(
        "ham",
        "Ham et al.",
        "Ham et al., CVPR 2015",
        ham,
        {
            "data_weight": _DATA_WEIGHT,
            "sigma_colour": _SIGMA_COLOUR,
            "sigma_depth": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
        },
    ),
    ClassicalMethod(
        "fbs",
        "FBS",
        "Barron and Poole, ECCV 2016",
        bilateral_solver,
        {
            "sigma_spatial": (1.0, 2.0, 4.0, 8.0),
            "sigma_colour": (0.03, 0.06, 0.12, 0.25),
            "smoothness": (0.1, 0.3, 1.0, 3.0, 10.0),
            "confidence": (0.1, 0.3, 1.0, 3.0, 10.0),
        },
    ),
    ClassicalMethod(
        "jbu",
        "JBU",
        "Kopf et al., SIGGRAPH 2007",
        joint_bilateral,
        {"sigma_spatial": (0.25, 0.35, 0.5, 0.7, 1.0), "sigma_colour": (0.05, 0.1, 0.2, 0.4, 0.8)},
    ),
)

METHODS: Mapping[str, ClassicalMethod] = MappingProxyType({m.name: m for m in _METHODS})


def upsample(
    method: str,
    low: npt.NDArray[np.float32],
    rgb: npt.NDArray[np.uint8],
    factor: int,
    *,
    offset: float | None,
    **parameters: float,
) -> npt.NDArray[np.float32]:
    """Upsample a depth map with the guidance of a colour image.

    Args:
        method: one of METHODS.
        low: (h, w), float32, without NaN (`repro.data.low_resolution.fill_holes`).
        rgb: (factor * h, factor * w, 3), uint8.
        factor: at least 2.
        offset: high-resolution pixel on which the first sample is believed to lie, from 0 to
            factor - 1; None spreads the samples from the first to the last pixel.
        parameters: every parameter of the method's grid, no other; none has a default, since the
            best ones depend on the data and the factor (`repro.classical.tuning`).
    Returns:
        (factor * h, factor * w), float32.
    Raises:
        ValueError: an argument is not as said above; the message names it.
    """
    chosen = METHODS[require_known("classical method", method, METHODS)]
    _check_images(low, rgb, factor, offset)
    _check_parameters(chosen, parameters)
    return chosen.function(low, rgb, factor, offset, **parameters)


def _check_images(
    low: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8], factor: int, offset: float | None
) -> None:
    if isinstance(factor, bool) or not isinstance(factor, int | np.integer) or factor < 2:
        raise ValueError(f"factor must be an integer of at least 2, got {factor!r}")
    if offset is not None and not 0 <= offset <= factor - 1:
        raise ValueError(f"offset must be from 0 to {factor - 1} for factor {factor}, got {offset}")
    if low.ndim != 2 or low.dtype != np.float32 or low.size == 0:
        raise ValueError(f"low must be float32 of shape (h, w), got {low.dtype} {low.shape}")
    unknown = int(low.size - np.isfinite(low).sum())
    if unknown:
        raise ValueError(
            f"low must be finite everywhere, got {unknown} of {low.size} pixels that are not; "
            "fill them first (repro.data.low_resolution.fill_holes)"
        )
    expected = (factor * low.shape[0], factor * low.shape[1], 3)
    if rgb.shape != expected or rgb.dtype != np.uint8:
        raise ValueError(
            f"rgb must be uint8 of shape {expected} for low {low.shape} and factor {factor}, "
            f"got {rgb.dtype} {rgb.shape}"
        )


def _check_parameters(method: ClassicalMethod, parameters: Mapping[str, float]) -> None:
    for name in parameters:
        if not method.grid:
            raise ValueError(f"{method.name} has no parameters, got {name}")
        require_known(f"parameter of {method.name}", name, method.grid)
    missing = [name for name in method.grid if name not in parameters]
    if missing:
        raise ValueError(f"{method.name} needs a value for {', '.join(missing)}")
    for name, value in parameters.items():
        whole = all(isinstance(tried, int) for tried in method.grid[name])
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            kind = "an integer" if whole else "a number"
            raise ValueError(f"{name} of {method.name} must be {kind}, got {value!r}")
        if not 0 < value < math.inf:
            raise ValueError(f"{name} of {method.name} must be above 0 and finite, got {value!r}")
