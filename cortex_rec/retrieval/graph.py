"""LightGCN's vectors in FAISS: users and items that are near in the graph of purchases.

The training is in `lightgcn.py`, which needs torch and DGL; answering needs neither.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import faiss
import numpy as np

from cortex_rec.arrays import F32, I64, Array, Ragged, extended, load_arrays, save_arrays
from cortex_rec.config import Graph as GraphConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval import index as flat
from cortex_rec.retrieval.protocol import Evidence

HALF_LIFE_DAYS = 30.0


@dataclass(frozen=True)
class Graph:
    """A user's vector against those of the items sold so far, by inner product.

    Parameters
    ----------
    users
        (n_users, d) float32 propagated vectors; zeros for users without a purchase.
    index
        Propagated vectors of the items in `sold`.
    sold
        (k,) int64 rows of the items with a purchase, ascending.
    base_users, base_items
        The trained parameters before propagation, (n_users, d) and (n_items, d) float32: where a later fit starts from.
    """

    users: F32
    index: faiss.IndexFlatIP
    sold: I64
    base_users: F32
    base_items: F32

    @cached_property
    def items(self) -> F32:
        """(n_items, d) float32 propagated vectors; zeros for items without a purchase."""
        result = np.zeros_like(self.base_items)
        result[self.sold] = flat.vectors_of(self.index)
        return result

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        return flat.search(self.index, self.sold, self._vectors(queries), n)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        return flat.inner_products(self._vectors(queries)[lists.owner], self.items[lists.item])

    def _vectors(self, queries: Queries) -> F32:
        """(n, d) float32: the trained vector of a known user, else the decayed mean of the items in the history."""
        vectors = self.users[queries.users]
        strangers = np.flatnonzero((queries.users < 0) | ~np.any(vectors != 0, axis=1))
        weight = queries.weights(HALF_LIFE_DAYS).astype(np.float32) if len(strangers) else np.zeros(0, np.float32)
        for i in strangers:
            own = slice(queries.items_pointer[i], queries.items_pointer[i + 1])
            total = weight[own].sum()
            mean = weight[own] @ self.items[queries.items.member[own]]
            vectors[i] = mean / total if total > 0 else 0
        return vectors

    def widened(self, new: Newcomers) -> Self:
        return replace(self, base_items=extended(self.base_items, len(new), 0))

    def save(self, folder: Path) -> None:
        flat.save(self.index, folder / "graph.faiss")
        arrays: dict[str, Array] = {"users": self.users, "sold": self.sold, "base_users": self.base_users, "base_items": self.base_items}
        save_arrays(folder / "graph.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(index=flat.load(folder / "graph.faiss"), **load_arrays(folder / "graph.safetensors"))


def fit(evidence: Evidence, config: GraphConfig, *, start: Graph | None = None) -> Graph:
    """Train LightGCN on the distinct (user, item) pairs before `as_of`; from `start`'s parameters a few steps do."""
    # Imported here so that a service that only answers never loads torch and DGL.
    from cortex_rec.retrieval import lightgcn
    from cortex_rec.splits import distinct

    pairs = distinct(evidence.histories)
    base = None if start is None else (start.base_users, start.base_items)
    trained = lightgcn.train(pairs, evidence.n_items, config, seed=evidence.seed, start=base)
    sold = np.unique(pairs.item).astype(np.int64)
    return Graph(trained.users, flat.build(trained.items[sold]), sold, trained.base_users, trained.base_items)
