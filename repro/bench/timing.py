"""Timing: cases take turns, every round runs each of them once."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

from repro.bench.cases import Step

# A kernel that finds its input in the GPU's L2 cache looks faster than it is: this is rewritten
# before each timed step (the H200 has 50 MiB).
_L2_FLUSH_BYTES = 128 * 2**20
_MIN_WARMUP_ROUNDS, _MAX_WARMUP_ROUNDS = 3, 20
_MIN_ROUNDS = 5  # unless fewer were asked for

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one case over the rounds."""

    median_ms: float
    p20_ms: float
    p80_ms: float


def time_interleaved(
    steps: Mapping[Name, Step],
    *,
    rounds: int,
    device: torch.device,
    seconds: float = float("inf"),
) -> dict[Name, Timing]:
    """Time every step `rounds` times, in turns.

    Every round starts with another step, so that none always follows the same one. On the CPU,
    rounds are thrown away until one touches no fresh page: first-touch page faults would otherwise
    cost more than a memory-bound step itself (kept heap: see `repro.bench.processes`).

    Args:
        steps: what to time, by name.
        rounds: at least 1; the median and the 20th and 80th percentile are taken over them.
        seconds: a step that has taken more than its share of so long, the steps' number of equal
            parts, is left out of all rounds behind the fifth. Rounds are no longer thrown away
            after so long either, though not before the third.
        device: where the steps run; on CUDA each is timed by events, after rewriting L2.
    Raises:
        ValueError: rounds < 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    names = list(steps)
    _warm_up(steps, device, seconds)
    taken: dict[Name, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    share = seconds / max(1, len(names))
    try:
        for round_ in range(rounds):
            first = round_ % len(names)
            for name in names[first:] + names[:first]:
                if round_ < _MIN_ROUNDS or sum(taken[name]) < share:
                    taken[name].append(_time_once(steps[name], device))
    finally:
        gc.enable()
    return {name: summarise(values) for name, values in taken.items()}


def summarise(seconds: list[float]) -> Timing:
    """Median, 20th and 80th percentile of some durations, in milliseconds."""
    milliseconds = [1e3 * value for value in seconds]
    if len(milliseconds) == 1:
        return Timing(*milliseconds * 3)
    fifths = statistics.quantiles(milliseconds, n=5, method="inclusive")
    return Timing(statistics.median(milliseconds), fifths[0], fifths[-1])


def _time_once(step: Step, device: torch.device) -> float:
    if device.type != "cuda":
        start = time.perf_counter()
        out = step()
        seconds = time.perf_counter() - start
        del out  # outside the time: giving memory back is not part of the step
        return seconds
    torch.empty(_L2_FLUSH_BYTES, dtype=torch.uint8, device=device).zero_()
    start_event, end_event = (
        torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        for _ in range(2)
    )
    start_event.record()
    step()
    end_event.record()
    end_event.synchronize()
    return float(start_event.elapsed_time(end_event)) / 1e3


def _warm_up(steps: Mapping[Name, Step], device: torch.device, seconds: float) -> None:
    start = time.perf_counter()
    for round_ in range(_MAX_WARMUP_ROUNDS):
        if round_ >= _MIN_WARMUP_ROUNDS and time.perf_counter() - start > seconds:
            return
        faults = page_faults()
        for step in steps.values():
            step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        # One round at least, for what is compiled or chosen at the first call. A step of a few
        # pages may fault in a stray one; a 100 MiB map faults in 30 000.
        if page_faults() - faults < 100:
            return


def page_faults() -> int:
    """Pages this process has touched for the first time; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource  # Unix only

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
