"""Best sellers of the subcategories that the user buys, and those of them that are promoted this week."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import (
    F32,
    F64,
    I32,
    I64,
    Ragged,
    extended,
    find,
    load_arrays,
    pointers,
    ranges,
    reached,
    rekeyed,
    save_arrays,
    vars_of,
)
from cortex_rec.config import Favourites as FavouritesConfig
from cortex_rec.config import Promoted as PromotedConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries, once
from cortex_rec.retrieval.protocol import Evidence, best, each

HALF_LIFE_DAYS = 60.0
#: Best sellers of each liked subcategory that are looked at before any further ones.
FEW = 8


@dataclass(frozen=True)
class Favourites:
    """Scores an item by the user's share of its subcategory times its share within the subcategory.

    Parameters
    ----------
    group
        (n_items,) int32 subcategory, -1 where unknown.
    share
        (n_items,) float32 share of the subcategory's lines.
    items
        (k,) int32 rows that can be retrieved, ascending: what sold lately.
    offer_key
        (m,) int64 ascending `(store + 1) * n_items + item` that limit what can be retrieved to offers; empty for no limit.
    """

    group: I32
    share: F32
    items: I32
    offer_key: I64

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        liked = self._liked(queries)

        def answer(i: int) -> I32:
            items = self._leading(liked[i], n) if len(self.offer_key) == 0 else self._offered(int(queries.store[i]))
            return best(liked[i][self.group[items]] * self.share[items], n, items)

        return each(queries, answer)

    def _leading(self, liked: F64, n: int) -> I32:
        """The `n` best of each subcategory that is liked (n_groups + 1,): no other item can be among the best of all."""
        items, pointer = self._shelves
        shelves = np.flatnonzero((liked[:-1] > 0) & (np.diff(pointer) > 0))
        start, size = pointer[shelves], pointer[shelves + 1] - pointer[shelves]
        few = np.minimum(size, FEW)
        first = np.repeat(liked[shelves], few) * self.share[items[ranges(start, few)]]
        # Where the last of the few is not among the n best of all those few, no further item of its subcategory is.
        further = first[np.cumsum(few) - 1] >= reached(first, n)
        return items[ranges(start, np.where(further, np.minimum(size, n), few))]

    @cached_property
    def _shelves(self) -> tuple[I32, I64]:
        """`items` by subcategory, the largest share first, equal ones by row; and where each subcategory begins, and the last ends."""
        group = self.group[self.items]
        order = np.lexsort((self.items, -self.share[self.items], group))
        return self.items[order], pointers(np.bincount(group, minlength=int(self.group.max(initial=-1)) + 1))

    def score(self, queries: Queries, lists: Ragged) -> F32:
        liked = self._liked(queries)[lists.owner, self.group[lists.item]]
        score = (liked * self.share[lists.item]).astype(np.float32)
        if len(self.offer_key):
            n = len(self.group)
            store = queries.store[lists.owner].astype(np.int64) + 1
            everywhere = find(self.offer_key[: np.searchsorted(self.offer_key, n)], lists.item) >= 0
            score[~(everywhere | (find(self.offer_key, store * n + lists.item) >= 0))] = 0
        return score

    def _offered(self, store: int) -> I32:
        """Rows of the offers of a store and of those that hold everywhere."""
        n = len(self.group)
        bounds = np.searchsorted(self.offer_key, [0, n, (store + 1) * n, (store + 2) * n])
        everywhere, local = self.offer_key[bounds[0] : bounds[1]], self.offer_key[bounds[2] : bounds[3]]
        if len(everywhere) and len(local):
            return np.unique(np.concatenate([everywhere, local]) % n).astype(np.int32)
        # Either alone is ascending and distinct as it is.
        return (np.concatenate([everywhere, local]) % n).astype(np.int32)

    @once
    def _liked(self, queries: Queries) -> F64:
        """(n, n_groups + 1) float64 decayed share of each subcategory in each query; the last column, for -1, is zero."""
        width = int(self.group.max(initial=-1)) + 2
        group = self.group[queries.items.member] % width
        cells = np.bincount(queries.items.owner * width + group, queries.weights(HALF_LIFE_DAYS), len(queries) * width)
        table = cells.astype(np.float64).reshape(len(queries), width)
        table[:, -1] = 0
        total = table.sum(axis=1, keepdims=True)
        shares: F64 = np.divide(table, total, out=table, where=total > 0)
        return shares

    def widened(self, new: Newcomers) -> Self:
        key = rekeyed(self.offer_key, new.n_before, len(new.catalogue))
        return replace(self, group=np.append(self.group, new.subcategory), share=extended(self.share, len(new), 0), offer_key=key)

    def save(self, folder: Path) -> None:
        save_arrays(folder / "favourites.safetensors", vars_of(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**load_arrays(folder / "favourites.safetensors"))


def fit(evidence: Evidence, config: FavouritesConfig, *, start: object = None) -> Favourites:
    """Shares of lines within each subcategory, over the items sold in the longest span."""
    group = evidence.catalogue.codes["subcategory"]
    lines = evidence.statistics.lines[:, 1] + 0.25 * evidence.statistics.lines[:, 2]
    width = int(group.max(initial=-1)) + 2
    total = np.bincount(group % width, lines, width)
    share = (lines / np.maximum(total[group], 1)).astype(np.float32)
    return Favourites(group, share, np.flatnonzero((lines > 0) & (group >= 0)).astype(np.int32), np.zeros(0, np.int64))


def fit_promoted(evidence: Evidence, config: PromotedConfig, *, start: object = None) -> Favourites:
    """The same, limited to the offers that run at `as_of`, each in its store."""
    every = fit(evidence, FavouritesConfig())
    offers = evidence.promotions
    key = np.unique((offers.store.astype(np.int64) + 1) * evidence.n_items + offers.item)
    sold = np.zeros(evidence.n_items, bool)
    sold[every.items] = True
    key = key[sold[key % evidence.n_items]]
    if len(key) == 0:
        # An empty key would mean that nothing limits the answer; here nothing can be answered.
        return Favourites(every.group, np.zeros_like(every.share), every.items[:0], key)
    return Favourites(every.group, every.share, every.items, key)
