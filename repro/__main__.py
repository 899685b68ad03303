"""`python -m repro <verb>`: what the pipeline's stages and a person at a shell call."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence

# Verb -> (module with configure(parser) and run(arguments), one line of help). Only the module of
# the verb that was given is imported: `clean` takes a tenth of a second, torch takes two.
VERBS = {
    "run": ("repro.notebook.command", "execute a notebook with parameters"),
    "clean": ("repro.notebook.clean", "strip outputs and editor marks from a notebook"),
    "scale": ("repro.scale", "show or change the scale in params.yaml"),
    "data": ("repro.data.command", "list the datasets: where each is looked for, found or not"),
    "costs": ("repro.costs", "count parameters and MACs of every full-size system"),
    "models": ("repro.models.command", "list the networks with exact and printed costs"),
    "tune": ("repro.classical.command", "tune the classical upsamplers on training frames"),
    "report": ("repro.report.command", "write tables and verdicts as one HTML page"),
}

# What a wrong argument, a missing file or a broken one raises: the message is meant for people, so
# it is shown without the traceback.
_EXPECTED = (ValueError, OSError, LookupError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the process's exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m repro", description=__doc__)
    parser.add_argument("--debug", action="store_true", help="show tracebacks of expected errors")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    chosen = next((word for word in given if word in VERBS), None)
    for verb, (module, summary) in VERBS.items():
        subparser = verbs.add_parser(verb, help=summary)
        if verb == chosen:
            importlib.import_module(module).configure(subparser)
    parsed = parser.parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        status: int = importlib.import_module(VERBS[parsed.verb][0]).run(parsed)
    except _EXPECTED as error:
        if parsed.debug:
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {message}", file=sys.stderr)
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
