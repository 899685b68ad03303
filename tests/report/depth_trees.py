"""Results of joint depth upsampling made up for the tests, shaped as its stages write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from repro.files import read_json, write_json, write_text

SEEDS = (0, 1, 2)
FACTORS = (4, 8, 16)
IMAGES = 12
DETAILS: dict[str, Any] = {
    "dataset": "nyu_depth_v2",
    "unit": "cm",
    "sampling": "centre",
    "alignment": "exact",
    "border": 6,
    "convention": "per_image",
    "train_images": 1000,
    "test_images": 449,
    "steps": 20000,
}
# Error at 4x; 8x and 16x follow. Only the last seven are trained.
AT_X4 = {
    "bilinear": 5.4,
    "bicubic": 5.6,
    "mrf": 5.2,
    "gf": 4.9,
    "ham": 4.5,
    "fbs": 4.1,
    "jbu": 4.0,
    "dmsg": 3.6,
    "djf": 3.0,
    "djf_plus": 2.9,
    "pac_net_lite": 2.6,
    "pac_net": 2.4,
    "ddf_up_net": 2.17,
}
CLASSICAL = ("bilinear", "bicubic", "mrf", "gf", "ham", "fbs", "jbu")
VARIANTS = {
    "ddf_up_net": 4.4,
    "ddf_up_net_no_guidance": 5.9,
    "ddf_up_net_spatial_only": 4.5,
    "ddf_up_net_kernel_5": 4.4,
    "ddf_up_net_add": 4.6,
    "ddf_up_net_narrow": 4.7,
    "ddf_up_net_l1": 4.5,
}
GROWTH = {4: 1.0, 8: 2.0, 16: 3.6}  # with the factor
LEARNED = [name for name in AT_X4 if name not in CLASSICAL]
COSTS = {
    f"{name}_x{factor}": {"params": 183_000 + 50_000 * factor, "macs": 40_000_000_000}
    for name in (*LEARNED, *VARIANTS)
    for factor in FACTORS
} | {
    "pac_up_layer": {"params": 590_000, "macs": 98_000_000_000},
    "ddf_up_layer": {"params": 60_000, "macs": 1_200_000_000},
}


def whole(root: Path) -> None:
    """Both stages, and the sampling study of the first."""
    write(root)
    write_sampling(root)
    write(root, "ablate_joint_upsampling", VARIANTS, factors=(8,))


def write(
    root: Path,
    folder: str = "joint_upsampling",
    errors: Mapping[str, float] = AT_X4,
    *,
    factors: tuple[int, ...] = FACTORS,
    seeds: tuple[int, ...] = SEEDS,
    **changes: Any,
) -> Path:
    """metrics.json and per_image.csv of one stage; `errors` are those at its first factor."""
    variants: dict[str, dict[str, Any]] = {}
    lines = ["method,factor,seed,image,rmse,edge_rmse,pixels,edge_pixels"]
    for method, error in errors.items():
        own = (None,) if method in CLASSICAL else seeds
        variants[method] = {
            "kind": "classical" if method in CLASSICAL else "learned",
            "deterministic": method in CLASSICAL,
            "seeds": [0 if seed is None else seed for seed in own],
        }
        for factor in factors:
            scale = GROWTH[factor] / GROWTH[factors[0]]
            found = [image_errors(error * scale, seed) for seed in own]
            variants[method][f"rmse_x{factor}"] = [rmse.mean() for rmse in found]
            variants[method][f"edge_rmse_x{factor}"] = [2.5 * rmse.mean() for rmse in found]
            for seed, rmse in zip(own, found, strict=True):
                start = f"{method},{factor},{'' if seed is None else seed}"
                lines += [
                    f"{start},{image:04d},{value!r},{2.5 * value!r},300000,{20000 + image}"
                    for image, value in enumerate(rmse.tolist())
                ]
    content = {**DETAILS, "factors": list(factors), "seeds": list(seeds), "variants": variants}
    write_json(root / folder / "metrics.json", {**content, **changes})
    write_text(root / folder / "per_image.csv", "\n".join(lines) + "\n")
    return root / folder


def break_down(root: Path, method: str, factor: int, *seeds: int) -> None:
    """Some seeds of a method that was trained lose their figures at one factor."""
    path = root / "joint_upsampling" / "metrics.json"
    content = read_json(path)
    for seed in seeds:
        content["variants"][method][f"rmse_x{factor}"][seed] = None
        content["variants"][method][f"edge_rmse_x{factor}"][seed] = None
    write_json(path, content)
    path = path.with_name("per_image.csv")
    starts = tuple(f"{method},{factor},{seed}," for seed in seeds)
    lines = [line for line in path.read_text().splitlines() if not line.startswith(starts)]
    write_text(path, "\n".join(lines) + "\n")


def image_errors(error: float, seed: int | None) -> np.ndarray:
    """Some images are harder than others, for all methods alike; seeds differ by 1 %."""
    hardness = 1 + 0.3 * np.sin(np.arange(IMAGES))
    wobble = 0.0 if seed is None else 0.01 * np.cos(seed + np.arange(IMAGES))
    return error * (hardness / hardness.mean() + wobble)


def write_sampling(root: Path) -> Path:
    """A study with two samplings."""
    lines = ["method,sampling,alignment,factor,convention,rmse"]
    for sampling, error in (("centre", 5.4), ("last", 8.2)):
        for factor in FACTORS:
            value = error * GROWTH[factor]
            lines.append(f"bicubic,{sampling},exact,{factor},per_image,{value!r}")
    path = root / "joint_upsampling" / "sampling.csv"
    write_text(path, "\n".join(lines) + "\n")
    return path
