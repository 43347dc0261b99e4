"""What lies in one basket with the user's items more often than chance would put it there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import scipy.sparse as sp

from cortex_rec.arrays import DAY, F32, F64, I32, NO_ROW, consecutive, extended, largest, load_arrays, pointers, save_arrays
from cortex_rec.config import Copurchase as CopurchaseConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.added import added
from cortex_rec.retrieval.protocol import Evidence, Scored, ScoresItems

HALF_LIFE_DAYS = 30.0
#: Pairs of items in one basket that are in memory at once.
BLOCK: Final = 20_000_000


@dataclass(frozen=True)
class Copurchase(ScoresItems):
    """Item-item neighbours; a query adds up those of the items in its history.

    Parameters
    ----------
    neighbours
        (n_items, k) int32 rows, -1 where an item has fewer.
    weights
        (n_items, k) float32 cosine of the two items' baskets.
    """

    neighbours: I32
    weights: F32

    def _each(self, queries: Queries) -> Iterator[Scored]:
        weight, k = history_weight(queries), self.neighbours.shape[1]
        for i in range(len(queries)):
            own = slice(queries.items_pointer[i], queries.items_pointer[i + 1])
            start, share = queries.items.member[own].astype(np.int64) * k, weight[own]
            total = share.sum()
            share = share / total if total > 0 else share
            yield Scored(*added(queries.n_items, start, start + k, share, self.neighbours, self.weights))

    def widened(self, new: Newcomers) -> Self:
        return type(self)(extended(self.neighbours, len(new), NO_ROW), extended(self.weights, len(new), 0))

    def save(self, folder: Path) -> None:
        save_arrays(folder / "copurchase.safetensors", {"neighbours": self.neighbours, "weights": self.weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**load_arrays(folder / "copurchase.safetensors"))


def history_weight(queries: Queries) -> F64:
    """How much each item of the histories counts: decayed purchases, one at most."""
    return np.minimum(queries.weights(HALF_LIFE_DAYS), 1.0)


def fit(evidence: Evidence, config: CopurchaseConfig, *, start: object = None) -> Copurchase:
    """Count baskets of the last `window_days` that hold both items, and keep each item's nearest by cosine.

    Source
    ------
    Linden, Smith, York 2003, Amazon.com recommendations: item-to-item collaborative filtering.
    """
    n = evidence.n_items
    holds = sp.vstack(list(_baskets(evidence, config.window_days)), format="csr")
    size = np.bincount(holds.indices, minlength=n).astype(np.float32)
    # An item seen in a handful of baskets has neighbours by accident; shrinking keeps them from looking certain.
    scale = 1 / np.sqrt(size + np.float32(5))
    held_by = sp.csr_matrix(holds.T)
    neighbours = np.full((n, config.neighbours), -1, np.int32)
    weights = np.zeros((n, config.neighbours), np.float32)
    pairs = (held_by @ np.diff(holds.indptr)).astype(np.int64)
    for items in (slice(*block) for block in consecutive(pointers(pairs), BLOCK)):
        near = sp.csr_matrix(held_by[items] @ holds)
        near.data *= np.repeat(scale[items], np.diff(near.indptr))
        near.data *= scale[near.indices]
        for row in np.flatnonzero(np.diff(near.indptr)):
            cells = slice(near.indptr[row], near.indptr[row + 1])
            others, cosines = near.indices[cells], near.data[cells]
            cosines[others == items.start + row] = 0
            kept = largest(cosines, others, config.neighbours)
            kept = kept[cosines[kept] > 0]
            neighbours[items.start + row, : len(kept)] = others[kept]
            weights[items.start + row, : len(kept)] = cosines[kept]
    return Copurchase(neighbours, weights)


def _baskets(evidence: Evidence, days: int) -> Iterator[sp.csr_matrix]:
    """(n_baskets, n_items) float32 ones where a basket of the last days holds an item, block of users after block; some hold none."""
    for _, block in evidence.histories.blocks(evidence.as_of - days * DAY):
        basket = pointers(block.baskets)
        cells = np.ones(len(block.item), np.float32), (basket[block.owner] + block.basket, block.item)
        holds = sp.csr_matrix(cells, shape=(int(basket[-1]), evidence.n_items))
        holds.data[:] = 1
        yield holds
