"""How many threads and channels make a block, in one place for kernels and for their callers."""

from __future__ import annotations

WARP = 32
ALL_LANES = 0xFFFFFFFF  # of a warp, as shuffles take it

# Threads of a block in every kernel: whole warps, and a power of two for sums over a block.
THREADS = 128

# The most channels that a fast kernel runs through with the spatial taps it loaded once. Their
# channel filters take 1.5 KiB of shared memory with K = 3.
CHANNELS = 32

# Where the sums of all taps wait in shared memory: at most 25 KiB, with K = 7 in float64.
SUMMED_CHANNELS = 16

# Of the general kernels.
GENERAL_CHANNELS = 16

# Blocks that keep a large GPU busy: four on each of 132 multiprocessors. Where there would be
# fewer, each does less.
WANTED = 528
