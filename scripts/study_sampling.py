"""Which sampling of NYU Depth V2, and which belief of the interpolation, give the printed errors?

Every sampling and alignment on all test frames, with and without PAC's border of 6 pixels. Notebook
21 shows the same for the dataset it runs on.

Writes results/upsampling_sampling.csv: method, sampling, alignment, factor, convention, rmse (in
the dataset's unit), border.

Usage: PYTHONPATH=.:numba_cuda python scripts/study_sampling.py [--dataset nyu_depth_v2]
"""

from __future__ import annotations

import argparse

import pandas as pd

from repro import files
from repro.data.rgbd import load_rgbd
from repro.paths import resolve
from repro.tasks.depth_error import BORDER
from repro.tasks.sampling_study import sampling_study


def main() -> None:
    parser = argparse.ArgumentParser(description="Samplings and alignments of coarse depth.")
    parser.add_argument("--dataset", default="nyu_depth_v2")
    options = parser.parse_args()
    data = load_rgbd(options.dataset)
    table = pd.concat(
        pd.DataFrame(sampling_study(data, border=border)).assign(border=border)
        for border in (BORDER, 0)
    )
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    files.write_text(resolve("results/upsampling_sampling.csv"), text)


if __name__ == "__main__":
    main()
