"""Latency and peak memory of operators and layers, measured side by side.

All cases of one measurement take turns, round by round, in one process, so that a busy machine
slows all of them; ratios between them are what to trust. Peak memory is that of a fresh process for
each case. See `measure`.
"""

from repro.bench.cases import CASES
from repro.bench.measure import (
    COLUMNS,
    measure,
    parse_shape,
    read_rows,
    write_rows,
    write_table,
)

__all__ = ["CASES", "COLUMNS", "measure", "parse_shape", "read_rows", "write_rows", "write_table"]
