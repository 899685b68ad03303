"""`python -m repro scale`: show or change the size at which the pipeline runs."""

from __future__ import annotations

import argparse

from repro.params import SCALES, load, set_scale


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scale", nargs="?", help=f"{', '.join(SCALES)}; none shows the present one")


def run(arguments: argparse.Namespace) -> int:
    if arguments.scale is None:
        print(load()["scale"])
    else:
        set_scale(arguments.scale)
    return 0
