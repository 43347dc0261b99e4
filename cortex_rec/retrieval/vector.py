"""Items that say and show what the user's history does: content vectors in FAISS, asked with the history's mean."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import faiss
import numpy as np

from cortex_rec.arrays import F32, Ragged, load_arrays, save_arrays
from cortex_rec.config import Vector as VectorConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import index as flat
from cortex_rec.retrieval.protocol import Evidence


@dataclass(frozen=True)
class Vector:
    """Exact search over all items of the catalogue, sold or not: what nobody bought yet can be found.

    Parameters
    ----------
    index
        Unit vectors of the items by row.
    half_life_days
        Of a purchase's weight in the user's mean vector.
    """

    index: faiss.IndexFlatIP
    half_life_days: float

    @cached_property
    def items(self) -> F32:
        """(n_items, d) float32 unit vectors."""
        return flat.vectors_of(self.index)

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        return flat.search(self.index, np.arange(self.index.ntotal), taste(queries, self.items, self.half_life_days), n)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        return flat.inner_products(taste(queries, self.items, self.half_life_days)[lists.owner], self.items[lists.item])

    def widened(self, new: Newcomers) -> Self:
        return type(self)(flat.build(np.concatenate([self.items, new.content.vectors])), self.half_life_days)

    def save(self, folder: Path) -> None:
        flat.save(self.index, folder / "vector.faiss")
        save_arrays(folder / "vector.safetensors", {"half_life_days": np.array([self.half_life_days])})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(flat.load(folder / "vector.faiss"), float(load_arrays(folder / "vector.safetensors")["half_life_days"][0]))


def fit(evidence: Evidence, config: VectorConfig, *, start: object = None) -> Vector:
    """Put the content vectors into an index."""
    return Vector(flat.build(evidence.content.vectors), config.half_life_days)


def taste(queries: Queries, vectors: F32, half_life_days: float) -> F32:
    """(n, d) float32 unit vectors: the decayed mean of the item vectors (n_items, d) in each history, zeros for an empty one."""
    weight = queries.weights(half_life_days).astype(np.float32)
    total = np.zeros((len(queries), vectors.shape[1]), np.float32)
    for i in range(len(queries)):
        own = slice(queries.items_pointer[i], queries.items_pointer[i + 1])
        total[i] = weight[own] @ vectors[queries.items.member[own]]
    length = np.sqrt(flat.inner_products(total, total))[:, None]
    return np.divide(total, length, out=np.zeros_like(total), where=length > 0)
