"""GF: the guided filter, a depth that is linear in the colours of every window.

He, Sun and Tang, Guided Image Filtering, ECCV 2010.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repro.classical.interpolation import bilinear


def guided_filter(
    low: npt.NDArray[np.float32],
    rgb: npt.NDArray[np.uint8],
    factor: int,
    offset: float | None,
    *,
    radius: int,
    epsilon: float,
) -> npt.NDArray[np.float32]:
    """Filter the bilinearly interpolated depth p: out_i = mean over windows k that hold i of
    (a_k . rgb_i + b_k), where a_k and b_k fit p to the colours of window k by least squares, with
    epsilon |a_k|^2 added.

    Args:
        low: (h, w).
        rgb: (H, W, 3).
        radius: of the square windows, in pixels.
        epsilon: of colours in [0, 1]; the paper shows 0.1^2, 0.2^2 and 0.4^2.
    Returns:
        (H, W).
    Raises:
        ImportError: OpenCV with its contributed modules is missing.
    Source: He, Sun and Tang, ECCV 2010, Eqs. 4 to 8, in their form for colours.
    Deviates: at the image's border OpenCV mirrors colours and depth; the paper cuts its windows.
    """
    try:
        from cv2 import ximgproc
    except ImportError as error:
        raise ImportError(
            "the guided filter needs OpenCV with its contributed modules: "
            f"pip install opencv-contrib-python-headless ({error})"
        ) from error
    depth = bilinear(low, rgb, factor, offset)
    # Colours in [0, 255], epsilon with them: of colours in [0, 1] most windows' covariance has a
    # determinant that OpenCV takes for zero, and then filters without the guidance.
    guide = rgb.astype(np.float32)
    result: npt.NDArray[np.float32] = ximgproc.guidedFilter(guide, depth, radius, epsilon * 255**2)
    return result
