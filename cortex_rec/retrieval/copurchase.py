"""What lies in one basket with the user's items more often than chance would put it there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp

from cortex_rec.arrays import DAY, F32, F64, I32, NO_ROW, extended, load_arrays, save_arrays
from cortex_rec.config import Copurchase as CopurchaseConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.added import added
from cortex_rec.retrieval.protocol import Evidence, Scored, ScoresItems, best

HALF_LIFE_DAYS = 30.0
#: Items whose pairs with all others are in memory at once.
BLOCK = 10_000


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
    histories = evidence.histories.between(evidence.as_of - config.window_days * DAY, evidence.as_of)
    n = evidence.n_items
    _, basket = np.unique(histories.owner * (int(histories.basket.max(initial=0)) + 1) + histories.basket, return_inverse=True)
    holds = sp.csr_matrix((np.ones(len(basket), np.float32), (basket, histories.item)), shape=(int(basket.max(initial=-1)) + 1, n))
    holds.data[:] = 1
    size = np.asarray(holds.sum(axis=0)).ravel()
    # An item seen in a handful of baskets has neighbours by accident; shrinking keeps them from looking certain.
    scale = 1 / np.sqrt(size + 5)
    held_by = sp.csr_matrix(holds.T)
    neighbours = np.full((n, config.neighbours), -1, np.int32)
    weights = np.zeros((n, config.neighbours), np.float32)
    for start in range(0, n, BLOCK):
        near = sp.csr_matrix(held_by[start : start + BLOCK] @ holds)
        near.data *= np.repeat(scale[start : start + BLOCK], np.diff(near.indptr))
        near.data *= scale[near.indices]
        near.sort_indices()
        for row in np.flatnonzero(np.diff(near.indptr)):
            cells = slice(near.indptr[row], near.indptr[row + 1])
            items, cosines = near.indices[cells], near.data[cells]
            cosines[items == start + row] = 0
            kept = best(cosines, config.neighbours, items)
            neighbours[start + row, : len(kept)] = kept
            weights[start + row, : len(kept)] = cosines[np.searchsorted(items, kept)]
    return Copurchase(neighbours, weights)
