"""A stricter scheduler for the CUDA simulator of numba-cuda.

The simulator runs every CUDA thread as a thread of the operating system and lets it run to its next
barrier, mostly in order: slow, and a missing barrier usually goes unnoticed. Here the threads of a
block take turns in one thread, in a random order that `seed` fixes, and

- shared and local arrays start as NaN (integers as -1), fresh for every block;
- a barrier that some threads of a block do not reach is an error, as it is on a GPU;
- warp shuffles exist.

`install()` replaces parts of the simulator, for this process; it needs NUMBA_ENABLE_CUDASIM=1.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet
from numba.cuda import types
from numba.cuda.core import config
from numba.cuda.np import numpy_support
from numba.cuda.simulator import kernel as simulator_kernel
from numba.cuda.simulator import kernelapi

WARP = 32


class DivergentBarrierError(RuntimeError):
    """Some threads of a block wait at a barrier that others will never reach."""


class Thread:
    """A CUDA thread: where it is, and what it waits for."""

    def __init__(self, block: Block, number: int) -> None:
        x, y, _ = block.shape
        self.threadIdx = kernelapi.Dim3(number % x, number // x % y, number // x // y)
        self.blockIdx = block.position
        self.number = number
        self.lane = number % WARP
        self.waits_for: str | None = None  # None, "block" or "warp"
        self.value: Any = None  # given to, then taken from, the other lanes of the warp
        self.body = greenlet(lambda: block.function(*block.arguments), block.scheduler)

    def wait(self, what: str, value: Any = None) -> Any:
        """Let other threads run until all of the block, or of the warp, have come this far.

        Returns:
            what all of them brought, by thread or by lane
        """
        self.waits_for, self.value = what, value
        self.body.parent.switch()
        return self.value


class Block:
    """Runs the threads of one block; stands in for the simulator's BlockManager."""

    running: Thread
    random = random.Random(0)

    def __init__(self, function: Any, grid: Any, shape: tuple[int, int, int], debug: bool) -> None:
        self.function = function
        self.shape = shape

    def run(self, position: tuple[int, int, int], *arguments: Any) -> None:
        self.position = kernelapi.Dim3(*position)
        self.arguments = arguments
        self.scheduler = getcurrent()
        simulator_kernel._get_kernel_context()._shared._allocations.clear()
        threads = [Thread(self, number) for number in range(int(np.prod(self.shape)))]
        ready = list(threads)
        while ready:
            self.random.shuffle(ready)
            for thread in ready:
                Block.running = thread
                thread.waits_for = None
                thread.body.switch()
            ready = release(threads)


def release(threads: list[Thread]) -> list[Thread]:
    """The threads that may go on: warps that are complete, else the whole block; none at the end.

    Raises:
        DivergentBarrierError: threads wait, and nothing can release them.
    """
    alive = [thread for thread in threads if not thread.body.dead]
    ready = []
    for first in range(0, len(threads), WARP):
        warp = [thread for thread in threads[first : first + WARP] if not thread.body.dead]
        if warp and all(thread.waits_for == "warp" for thread in warp):
            values = {thread.lane: thread.value for thread in warp}
            for thread in warp:
                thread.value = values
            ready += warp
    if ready or not alive:
        return ready
    if len(alive) < len(threads) or any(thread.waits_for != "block" for thread in alive):
        stuck = {thread.number: thread.waits_for for thread in alive}
        gone = [thread.number for thread in threads if thread.body.dead]
        raise DivergentBarrierError(f"threads wait for {stuck}; threads that ended: {gone}")
    values = {thread.number: thread.value for thread in alive}
    for thread in alive:
        thread.value = values
    return alive


def shuffle(source: Any) -> Any:
    """A warp shuffle in which a lane takes the value of lane `source(lane, argument)`."""

    def shuffled(self: Any, mask: int, value: Any, argument: int) -> Any:
        thread = Block.running
        values = thread.wait("warp", value)
        return values.get(source(thread.lane, argument), value)

    return shuffled


def poisoned(shape: Any, dtype: Any) -> np.ndarray:
    """An array in which everything that is read before it is written shows."""
    if isinstance(dtype, types.Type):
        dtype = numpy_support.as_dtype(dtype)
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind in "fc" else -1, dtype)


def shared_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray:
    """One array per line of source and block, as in the simulator."""
    caller = sys._getframe(1)
    key = (caller.f_code.co_filename, caller.f_lineno)
    if key not in self._allocations:
        self._allocations[key] = poisoned(shape, dtype)
    return self._allocations[key]


def local_array(self: Any, shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray:
    return poisoned(shape, dtype)


def install(seed: int = 0) -> None:
    """Make `kernel[blocks, threads](...)` run under this scheduler, in the order `seed` gives.

    Raises:
        RuntimeError: the process was not started with NUMBA_ENABLE_CUDASIM=1.
    """
    if not config.ENABLE_CUDASIM:
        raise RuntimeError("the simulator is off: start Python with NUMBA_ENABLE_CUDASIM=1")
    Block.random = random.Random(seed)
    simulator_kernel.BlockManager = Block
    kernelapi.FakeCUDAShared.array = shared_array
    kernelapi.FakeCUDALocal.array = local_array
    module = kernelapi.FakeCUDAModule
    module.threadIdx = property(lambda self: Block.running.threadIdx)
    module.blockIdx = property(lambda self: Block.running.blockIdx)
    module.laneid = property(lambda self: Block.running.lane)
    module.syncthreads = lambda self: Block.running.wait("block")
    module.syncthreads_and = lambda self, value: all(Block.running.wait("block", value).values())
    module.syncwarp = lambda self, mask=0xFFFFFFFF: Block.running.wait("warp")
    module.shfl_sync = shuffle(lambda lane, source: source % WARP)
    module.shfl_up_sync = shuffle(lambda lane, delta: lane - delta)
    module.shfl_down_sync = shuffle(lambda lane, delta: lane + delta)
    module.shfl_xor_sync = shuffle(lambda lane, mask: lane ^ mask)
