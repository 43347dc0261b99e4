"""LightGCN's vectors in FAISS: users and items that are near in the graph of purchases.

The training is in `lightgcn.py`, which needs torch and DGL; answering needs neither.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import F32, I32, Array, Ragged, load_arrays, save_arrays, vars_of
from cortex_rec.config import Graph as GraphConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, once
from cortex_rec.retrieval import index
from cortex_rec.retrieval.index import Index
from cortex_rec.retrieval.protocol import Evidence

HALF_LIFE_DAYS: Final = 30.0
#: As many items of weight one as hold a vector's place towards zero.
RIDGE: Final = 10.0


@dataclass(frozen=True)
class Graph:
    """A user's vector against those of the items sold so far, by inner product.

    Parameters
    ----------
    users
        (n_users, d) float32 propagated vectors; zeros for users without a purchase.
    items
        (n_items, d) float32 propagated vectors; where there is no purchase, the place that an item with such content would have.
    index
        The items with a purchase, by row ascending: what is retrieved.
    base_users, base_items
        The parameters before propagation, (n_users, d) and (n_items, d) float32: where a later fit starts from, new items at their place.
    placing, base_placing
        (d_content, d) float32, from what an item says and shows to its vector, propagated and before.
    """

    users: F32
    items: F32
    index: Index
    base_users: F32
    base_items: F32
    placing: F32
    base_placing: F32

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        return index.search(self.index, self._vectors(queries), n)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        return index.inner_products(self._vectors(queries)[lists.owner], self.items[lists.item])

    @once
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
        items = np.concatenate([self.items, _placed(new.content.vectors, self.placing)])
        return replace(self, items=items, base_items=np.concatenate([self.base_items, _placed(new.content.vectors, self.base_placing)]))

    def restarted(self, users: I32, items: I32, content: F32) -> Self:
        """The same as a start for a fit by other id maps: new users have no parameters yet, new items those that their content gives.

        Parameters
        ----------
        users, items
            (n,) int32, for each row of the other maps the row here, -1 for what is not here.
        content
            (len(items), d_content) float32 places of all items by what they say and show.
        """
        base_users, base_items = self.base_users[users], self.base_items[items]
        base_users[users < 0] = 0
        base_items[items < 0] = _placed(content[items < 0], self.base_placing)
        return replace(self, base_users=base_users, base_items=base_items)

    def save(self, folder: Path) -> None:
        arrays = vars_of(self)
        del arrays["index"]
        save_arrays(folder / "graph.safetensors", arrays | {"sold": self.index.rows})
        self.index.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        arrays = load_arrays(folder / "graph.safetensors")
        sold = arrays.pop("sold")
        return cls(**arrays, index=Index.load(folder, arrays["items"][sold], sold))


def fit(evidence: Evidence, config: GraphConfig, *, start: Graph | None = None) -> Graph:
    """Train LightGCN on the distinct (user, item) pairs before `as_of`; from `start`'s parameters a few steps do."""
    # Imported here so that a service that only answers never loads torch and DGL.
    from cortex_rec.retrieval import lightgcn
    from cortex_rec.splits import distinct

    pairs = distinct(evidence.histories)
    base = None if start is None else (start.base_users, start.base_items)
    trained = lightgcn.train(pairs, evidence.n_items, config, seed=evidence.seed, start=base)
    buyers = np.bincount(pairs.item, minlength=evidence.n_items)
    sold, unsold = np.flatnonzero(buyers), np.flatnonzero(buyers == 0)
    placed = []
    for vectors in (trained.items, trained.base_items):
        placing = _ridge(evidence.content.vectors[sold], vectors[sold], np.sqrt(buyers[sold]))
        vectors[unsold] = _placed(evidence.content.vectors[unsold], placing)
        placed.append(placing)
    return Graph(trained.users, trained.items, Index.over(trained.items[sold], sold), trained.base_users, trained.base_items, *placed)


def _ridge(content: F32, vectors: F32, weight: Array) -> F32:
    """(d_content, d) float32: the weighted least squares of the vectors on the content, held towards zero where few items tell."""
    given = content.astype(np.float64)
    gram = given.T @ (given * weight[:, None]) + RIDGE * np.eye(given.shape[1])
    found: F32 = np.linalg.solve(gram, given.T @ (vectors * weight[:, None])).astype(np.float32)
    return found


def _placed(content: F32, placing: F32) -> F32:
    """(n, d) float32, each row from its own row alone, which a matrix product of BLAS does not promise."""
    found: F32 = np.einsum("ij,jk->ik", content, placing)
    return found
