"""Training in torch that gives the same bits again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# cuBLAS gives the same bits again only so, and reads it once.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
import torch


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """Fixed order of sums, fixed number of threads and a generator of its own, all restored after."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
