"""Randomness that a seed decides and nothing else: not what ran before, not what runs after."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def isolated(deterministic: bool) -> Iterator[None]:
    """Restore every generator and the determinism flags when the block ends.

    A run inside starts with `seed_everything`, so it does not see what its process did before; and
    what its process does next does not see the run.

    Args:
        deterministic: ask for algorithms whose results repeat exactly. Where PyTorch has none it
            warns and goes on.
    """
    state = random_state()
    was_enabled = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    cudnn_flags = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    if deterministic:
        # cuBLAS reads it when it is first used; without it some of its sums change order.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling fresh memory with NaN finds reads of unwritten memory, at the price of a write.
        memory.fill_uninitialized_memory = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_enabled, warn_only=only_warned)
        memory.fill_uninitialized_memory = filled
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn_flags
        set_random_state(state)


def seed_everything(*seeds: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators with one mixture of `seeds`.

    Two lists that differ in any place give unrelated streams: (seed, epoch) does not repeat
    (seed + 1, epoch - 1).
    """
    # With their number in front: NumPy takes (1,) and (1, 0) for the same.
    words = np.random.SeedSequence((len(seeds), *seeds)).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 - libraries below us draw from the global one
    torch.manual_seed(int(words[2]))


def random_state() -> dict[str, Any]:
    """State of every generator, in types that `torch.load(weights_only=True)` reads."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": (
            name,
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if _on_gpu() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator back to a state that `random_state` returned."""
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])


def _on_gpu() -> bool:
    """Whether this process uses a GPU; asking for one's state would start to."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
