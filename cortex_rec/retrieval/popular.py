"""Best sellers of the last weeks, of the user's store where it is known."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import F32, I32, I64, Ragged, extended, find, load_arrays, rekeyed, save_arrays, vars_of
from cortex_rec.config import Popular as PopularConfig
from cortex_rec.newcomers import Newcomers
from cortex_rec.queries import Queries
from cortex_rec.retrieval.protocol import Evidence, best, each


@dataclass(frozen=True)
class Popular:
    """Scores an item by its share of its store's lines, plus a little of its share of all.

    Parameters
    ----------
    share
        (n_items,) float32 share of all lines.
    store_key, store_share
        Share of the store's lines, at ascending `store * n_items + item`.
    top
        (n_items of the global list,) rows best first, and
    store_pointer, store_item
        the list of each store, best first: all that it sold.
    """

    share: F32
    store_key: I64
    store_share: F32
    top: I32
    store_pointer: I64
    store_item: I32

    def retrieve(self, queries: Queries, n: int) -> Ragged:
        def answer(i: int) -> I32:
            store = queries.store[i]
            local = self.store_item[self.store_pointer[store] : self.store_pointer[store + 1]][:n] if store >= 0 else self.top[:0]
            if len(local) == n:
                return local
            rest = self.top[~np.isin(self.top, local)][: n - len(local)]
            return np.concatenate([local, rest])

        return each(queries, answer)

    def score(self, queries: Queries, lists: Ragged) -> F32:
        score = np.float32(0.01) * self.share[lists.item]
        if len(self.store_key):
            store = queries.store[lists.owner]
            at = find(self.store_key, store.astype(np.int64) * len(self.share) + lists.item)
            score += np.where((store >= 0) & (at >= 0), self.store_share[at], np.float32(0))
        return score

    def widened(self, new: Newcomers) -> Self:
        key = rekeyed(self.store_key, new.n_before, len(new.catalogue))
        return replace(self, share=extended(self.share, len(new), 0), store_key=key)

    def save(self, folder: Path) -> None:
        save_arrays(folder / "popular.safetensors", vars_of(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        return cls(**load_arrays(folder / "popular.safetensors"))


def fit(evidence: Evidence, config: PopularConfig, *, start: object = None) -> Popular:
    """Rank items by their lines in the middle span of the statistics, over all stores and in each."""
    statistics, n = evidence.statistics, evidence.n_items
    lines = statistics.lines[:, 1]
    share = (lines / max(float(lines.sum()), 1.0)).astype(np.float32)
    store = statistics.store_key // n
    item = (statistics.store_key % n).astype(np.int32)
    store_share = statistics.store_lines / np.maximum(statistics.store_total[store], 1)
    n_stores = len(statistics.store_total)
    lists = []
    for at in np.split(np.arange(len(store)), np.searchsorted(store, np.arange(1, n_stores))) if n_stores else []:
        mixed = store_share[at] + np.float32(0.01) * share[item[at]]
        lists.append(best(mixed, len(at), item[at]))
    pointer = np.concatenate([[0], np.cumsum([len(items) for items in lists])]).astype(np.int64)
    return Popular(
        share,
        statistics.store_key,
        store_share.astype(np.float32),
        best(share, 2 * config.n),
        pointer,
        np.concatenate([*lists, np.zeros(0, np.int32)]).astype(np.int32),
    )
