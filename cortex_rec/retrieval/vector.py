"""Items that say and show what the user's history does: content vectors in FAISS, asked with the history's mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, Ragged, load_arrays, save_arrays
from cortex_rec.config import Vector as VectorConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, once
from cortex_rec.retrieval import index
from cortex_rec.retrieval.index import Index
from cortex_rec.retrieval.protocol import Evidence


@dataclass(frozen=True)
class Vector:
    """A search over all items of the catalogue, sold or not: what nobody bought yet can be found.

    Parameters
    ----------
    items
        Their unit vectors (n_items, d) float32.
    index
        What is searched of them.
    half_life_days
        Of a purchase's weight in the user's mean vector.
    """

    items: F32
    index: Index
    half_life_days: float

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        return index.search(self.index, self._taste(queries), n)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        return index.products_of(self._taste(queries), self.items, lists)

    @once
    def _taste(self, queries: Queries) -> F32:
        return taste(queries, self.items, self.half_life_days)

    def widened(self, new: Newcomers) -> Self:
        others = self.index.with_others(new.content.vectors, np.arange(new.n_before, len(new.catalogue)))
        return type(self)(np.concatenate([self.items, new.content.vectors]), others, self.half_life_days)

    def save(self, folder: Path) -> None:
        index.save(self.items, folder / "vector.faiss")
        self.index.save(folder)
        save_arrays(folder / "vector.safetensors", {"half_life_days": np.array([self.half_life_days])})

    @classmethod
    def load(cls, folder: Path) -> Self:
        items = index.load(folder / "vector.faiss")
        half_life_days = float(load_arrays(folder / "vector.safetensors")["half_life_days"][0])
        return cls(items, Index.load(folder, items, np.arange(len(items))), half_life_days)


def fit(evidence: Evidence, config: VectorConfig, *, start: Vector | None = None) -> Vector:
    """Put the content vectors into an index; `start` has it already where items lie as they did then."""
    vectors = evidence.content.vectors
    if start is not None and np.array_equal(start.items, vectors):
        return Vector(start.items, start.index, config.half_life_days)
    return Vector(vectors, Index.over(vectors, np.arange(evidence.n_items)), config.half_life_days)


def taste(queries: Queries, vectors: F32, half_life_days: float) -> F32:
    """(n, d) float32 unit vectors: the decayed mean of the item vectors (n_items, d) in each history, zeros for an empty one."""
    weight = queries.weights(half_life_days).astype(np.float32)
    total = np.zeros((len(queries), vectors.shape[1]), np.float32)
    for i in range(len(queries)):
        own = slice(queries.items_pointer[i], queries.items_pointer[i + 1])
        total[i] = weight[own] @ vectors.take(queries.items.member[own], axis=0)
    return index.directions(total)
