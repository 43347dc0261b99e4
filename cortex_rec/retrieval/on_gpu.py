"""Exact searches on a GPU, while training asks many users: the same items in the same order as here."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from cortex_rec.arrays import F32
from cortex_rec.retrieval import index

if TYPE_CHECKING:
    import torch


@contextmanager
def searching() -> Iterator[None]:
    """Within, exact searches multiply out all vectors on the GPU, where torch sees one; else nothing changes."""
    gpu = _gpu()
    with nullcontext() if gpu is None else index.multiplied_by(Products(gpu)):
        yield


def _gpu() -> "torch.device | None":
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None  # no driver: torch, which takes seconds and memory to load, need not be asked
    from cortex_rec.repeatable import device

    at = device()
    return None if at.type == "cpu" else at


class Products:
    """All inner products of queries with vectors, which stay on the device from one question to the next."""

    def __init__(self, at: "torch.device") -> None:
        self._at = at
        # With the array itself, so that no other one gets its number meanwhile.
        self._there: dict[int, tuple[F32, torch.Tensor]] = {}

    def __call__(self, queries: F32, vectors: F32) -> F32:
        """(m, n) float32 of queries (m, d) with vectors (n, d), in float32 throughout."""
        import torch

        if id(vectors) not in self._there:
            self._there[id(vectors)] = vectors, torch.tensor(vectors, device=self._at)
        with torch.no_grad():
            found: F32 = (torch.tensor(queries, device=self._at) @ self._there[id(vectors)][1].T).cpu().numpy()
        return found
