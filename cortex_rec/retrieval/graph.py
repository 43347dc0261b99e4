"""LightGCN's vectors in FAISS: users and items that are near in the graph of purchases.

The training is in `lightgcn.py`, which needs torch and DGL; answering needs neither.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import scipy.sparse as sp

from cortex_rec.arrays import F32, I32, I64, Array, Bool, Ragged, load_arrays, save_arrays, vars_of
from cortex_rec.config import Graph as GraphConfig
from cortex_rec.histories import Past
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, once
from cortex_rec.retrieval import index
from cortex_rec.retrieval.index import Index
from cortex_rec.retrieval.protocol import Evidence

HALF_LIFE_DAYS: Final = 30.0
#: As many items of weight one as hold a vector's place towards zero.
RIDGE: Final = 10.0
#: Users whose purchases are propagated at once.
BLOCK: Final = 10_000


@dataclass(frozen=True)
class Graph:
    """A user's vector against those of the items sold so far, by inner product.

    Parameters
    ----------
    users
        (n_users, d) float32 propagated vectors; zeros for users without a purchase, or none of what the learners bought.
    items
        (n_items, d) float32 propagated vectors; where there is no purchase, the place that an item with such content would have.
    index
        The items with a purchase, by row ascending: what is retrieved.
    base_users, base_items
        The parameters before propagation, (n_users, d) and (n_items, d) float32: where a later fit starts from, new items at their place.
        Users who were not learned from have none.
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
        return index.products_of(self._vectors(queries), self.items, lists)

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

    @classmethod
    def load(cls, folder: Path) -> Self:
        arrays = load_arrays(folder / "graph.safetensors")
        sold = arrays.pop("sold")
        return cls(**arrays, index=Index(arrays["items"][sold], sold))


def fit(evidence: Evidence, config: GraphConfig, *, start: Graph | None = None) -> Graph:
    """Train LightGCN on the distinct (user, item) pairs before `as_of`; from `start`'s parameters a few steps do.

    Of a shop with more than `config.users` buyers so many are learned from, those of `start` first. The others have no parameters: their
    vectors are one propagation of their items'. What none of the learners bought is placed by its content, as what nobody bought.
    """
    # Imported here so that a service that only answers never loads torch and DGL.
    from cortex_rec.retrieval import lightgcn
    from cortex_rec.splits import distinct

    histories, content = evidence.histories, evidence.content.vectors
    n_users, n_items = histories.n_users, evidence.n_items
    learners = _learners(histories.buyers, config.users, start, evidence.seed)
    everybody = len(learners) == n_users
    pairs = distinct(histories if everybody else histories.take(learners))
    # Only the items that the learners bought take part: the others would have no gradient and take as much memory.
    known = np.arange(n_items) if everybody else np.unique(pairs.item).astype(np.int64)
    pairs = replace(pairs, item=np.searchsorted(known, pairs.item).astype(np.int32))
    base = None if start is None else (start.base_users[learners], start.base_items[known])
    trained = lightgcn.train(pairs, len(known), config, seed=evidence.seed, start=base)
    buyers = np.zeros(n_items, np.int64)
    buyers[known] = np.bincount(pairs.item, minlength=len(known))
    learned, others = np.flatnonzero(buyers), np.flatnonzero(buyers == 0)
    both, placed = [], []
    for found in (trained.items, trained.base_items):
        vectors = _among(n_items, known, found)
        placing = _ridge(content[learned], vectors[learned], np.sqrt(buyers[learned]))
        vectors[others] = _placed(content[others], placing)
        both.append(vectors)
        placed.append(placing)
    items, base_items = both
    users, base_users = (_among(n_users, learners, found) for found in (trained.users, trained.base_users))
    if not everybody:
        _follow(users, histories, learners, _lent(items, buyers))
    sold = np.flatnonzero(~evidence.statistics.unsold)
    # Without cells, however many there are: lengths differ by a factor of hundreds, so cells find half, and an exact search looks at few.
    return Graph(users, items, Index(items[sold], sold), base_users, base_items, *placed)


def _learners(bought: Bool, most: int, start: Graph | None, seed: int) -> I32:
    """(n,) int32 rows, ascending, of whom is learned from: all, or of too many those with parameters already, then others by chance."""
    from cortex_rec.splits import drawn

    buyers = np.flatnonzero(bought).astype(np.int32)
    if len(buyers) <= most:
        return np.arange(len(bought), dtype=np.int32)
    former = np.any(start.base_users[buyers] != 0, axis=1) if start is not None else np.zeros(len(buyers), np.bool_)
    kept = drawn(buyers[former], most, seed=seed)
    return np.sort(np.append(kept, drawn(buyers[~former], most - len(kept), seed=seed)))


def _among(n: int, rows: Array, vectors: F32) -> F32:
    """(n, d) float32 with the vectors at their rows and zeros elsewhere."""
    found = np.zeros((n, vectors.shape[1]), np.float32)
    found[rows] = vectors
    return found


def _lent(items: F32, buyers: I64) -> F32:
    """(n_items, d) float32: what an item adds to the vector of whoever bought it, nothing where no learner did."""
    scale = np.divide(1, np.sqrt(buyers), out=np.zeros(len(buyers)), where=buyers > 0)
    found: F32 = items * scale[:, None].astype(np.float32)
    return found


def _follow(users: F32, histories: Past, learners: I32, lent: F32) -> None:
    """Give all but the learners one propagation of the items' vectors, times what brings the learners' own nearest to theirs."""
    top, bottom = 0.0, 0.0
    for block in _blocks(learners):
        made = _propagated(histories, block, lent)
        top += float(np.sum(made * users[block], dtype=np.float64))
        bottom += float(np.sum(made * made, dtype=np.float64))
    others = np.setdiff1d(np.arange(histories.n_users, dtype=np.int32), learners, assume_unique=True)
    for block in _blocks(others):
        users[block] = _propagated(histories, block, lent) * np.float32(top / bottom)


def _propagated(histories: Past, users: I32, lent: F32) -> F32:
    """(n, d) float32: of each user the sum of what its distinct items lend, over the root of their number."""
    from cortex_rec.splits import distinct

    pairs = distinct(histories.take(users))
    bought = sp.csr_array((np.ones(len(pairs.item), np.float32), pairs.item, pairs.pointer), shape=(len(users), len(lent)))
    found: F32 = bought @ lent / np.sqrt(np.maximum(np.diff(pairs.pointer), 1)).astype(np.float32)[:, None]
    return found


def _blocks(rows: I32) -> list[I32]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


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
