"""Where torch trains, and that it gives the same bits again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# cuBLAS gives the same bits again only so, and reads it once.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
import torch


def device() -> torch.device:
    """Where training runs: a GPU if torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def fixed_order() -> Iterator[None]:
    """Sum gradients in a fixed order: by default the threads add to a shared row in the order in which they come."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def repeatable(seed: int, threads: int) -> Iterator[None]:
    """A fixed order of sums, a fixed number of threads and a generator of its own, all restored after."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with fixed_order(), torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
