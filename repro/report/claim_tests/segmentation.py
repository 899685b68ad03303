"""The claims of FDConv on semantic segmentation: Tables 2, 4 and 5, and its modulation maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from repro.report.cells import Measured
from repro.report.class_areas import miou_difference
from repro.report.evidence import Evidence, Test
from repro.report.result_files import BrokenResultError, MissingResultError, missing, shown
from repro.report.runs import SEGMENTATION
from repro.report.segmentation_notes import describe
from repro.report.verdicts import Direction, Effect, point
from repro.stats import FloatArray, image_bootstrap

_COLUMNS = ["method", "seed", "layer", "band", "image", "inside", "elsewhere", "deviation"]


def _upernet(e: Evidence) -> list[Effect]:
    mine = "upernet_r50_fdconv"
    return [
        _gain(
            e, "mIoU, FDConv − base (UPerNet R50)", mine, "upernet_r50", e.claim.size("baseline")
        ),
        _gain(
            e,
            "mIoU, FDConv − ODConv 4x (UPerNet R50)",
            mine,
            "upernet_r50_odconv_4x",
            e.claim.size("odconv"),
        ),
    ]


def _mask2former(e: Evidence) -> list[Effect]:
    base = "mask2former_r50"
    name = "mIoU, FDConv − base (Mask2Former R50)"
    return [_gain(e, name, f"{base}_fdconv", base, e.claim.size())]


def _large(e: Evidence) -> list[Effect]:
    rows = {
        "maskdino_swin_l_22k": ("MaskDINO Swin-L", e.claim.size()),
        "mask2former_swin_l_22k": ("Mask2Former Swin-L", None),
    }
    return [
        _gain(e, f"mIoU, FDConv − base ({name})", f"{base}_fdconv", base, size)
        for base, (name, size) in rows.items()
    ]


def _maps_vary(e: Evidence) -> list[Effect]:
    """The least of the bands' deviations over an image: every band's map has to vary."""
    name, expected = "least deviation of a band's map over the image", Direction(above=True)
    try:
        table, basis = _boundaries(e)
    except MissingResultError as error:
        return [Effect(name, expected, reason=str(error))]
    deviations = _by_band(table, table["deviation"])
    least = min(deviations.values(), key=lambda values: float(values.mean()))
    found = image_bootstrap(least, np.zeros(least.shape[1]))
    return [Effect(name, expected, None, Measured.estimated(found), basis)]


def _boundaries_emphasised(e: Evidence) -> list[Effect]:
    names = (
        "map of the highest band, at boundaries over elsewhere, − 1",
        "that ratio, highest band − lowest",
    )
    expected = Direction(above=True)
    try:
        table, basis = _boundaries(e)
    except MissingResultError as error:
        return [Effect(name, expected, reason=str(error)) for name in names]
    ratios = _by_band(table, table["inside"] / table["elsewhere"])
    highest, lowest = ratios[min(ratios)], ratios[max(ratios)]
    found = (
        image_bootstrap(highest, np.ones(highest.shape[1])),
        image_bootstrap(highest, lowest),
    )
    return [
        Effect(name, expected, None, Measured.estimated(one), basis)
        for name, one in zip(names, found, strict=True)
    ]


def _gain(e: Evidence, name: str, method: str, base: str, size: float | None) -> Effect:
    expected = Direction(True, point(size))
    try:
        run = e.results.run(SEGMENTATION, method)
        found = miou_difference(e.results, SEGMENTATION, method, base)
    except MissingResultError as error:
        return Effect(name, expected, size, reason=str(error))
    if found is None:
        return Effect(name, expected, size, reason=f"no seed of {method} and {base} finished")
    return Effect(name, expected, size, Measured.estimated(found), describe(run))


def _boundaries(e: Evidence) -> tuple[pd.DataFrame, str]:
    """boundaries.csv of the UPerNet row, and what it was measured on."""
    path: Path = e.results.root / SEGMENTATION.folder / "boundaries.csv"
    run = e.results.run(SEGMENTATION, "upernet_r50_fdconv")
    if not path.is_file():
        raise missing(path, SEGMENTATION.stage)
    table = pd.read_csv(path)
    absent = [name for name in _COLUMNS if name not in table]
    if absent:
        raise BrokenResultError(f"{shown(path)} lacks the columns {', '.join(absent)}")
    own = table[table["method"] == run.method]
    if own.empty:
        raise MissingResultError(f"{shown(path)} has no line of {run.method}")
    return own, f"UPerNet R50 + FDConv, {describe(run)}"


def _by_band(table: pd.DataFrame, values: pd.Series) -> dict[int, FloatArray]:
    """Band -> (seeds, images), the mean over layers; images without one of the values left out."""
    named = table.assign(value=values)
    whole = named.pivot_table(
        index=["band", "seed"], columns="image", values="value", aggfunc="mean"
    )
    whole = whole.dropna(axis="columns")
    if whole.empty:
        raise MissingResultError("boundaries.csv has no image with a boundary in every map")
    bands = sorted(set(whole.index.get_level_values("band")))
    return {band: whole.loc[band].to_numpy() for band in bands}


TESTS: Mapping[str, Test] = {
    "fdconv.f10": _upernet,
    "fdconv.f13": _mask2former,
    "fdconv.f14": _large,
    "fdconv.f20": _maps_vary,
    "fdconv.f21": _boundaries_emphasised,
}
