"""What was known of the shop's sales at a moment: the part that a day's purchases are held against."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, I64, Array, Bool, distinct, find, ratio
from cortex_rec.features.statistics import SPANS
from cortex_rec.histories import Histories, Past
from cortex_rec.recommender import Recommender

#: No pair of a user and an item.
NONE: Final = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Known:
    """As of a moment, seconds since 1970.

    Parameters
    ----------
    lines, days_idle, price
        (n_items,) float32 lines of the last seven days, days since anybody bought it, and mean price of 91 days: as the features have
        them.
    store_baskets, store_last
        (n_stores,) baskets of the last 28 days, and the second of the last line (0 without any).
    user_last
        (n_users,) int64 second of each user's last purchase, 0 without any.
    pair, pair_last
        Ascending `user * n_items + item` of what was bought, as far as it was asked for, and when last.
    """

    as_of: int
    lines: F32
    days_idle: F32
    price: F32
    store_baskets: F64
    store_last: I64
    user_last: I64
    pair: I64
    pair_last: I64

    @classmethod
    def of(cls, histories: Histories, n_items: int, n_stores: int, as_of: int, pairs: I64 = NONE) -> Self:
        """Sum up purchases before `as_of`; the item's figures are those of `features.statistics`.

        Parameters
        ----------
        pairs
            Ascending, distinct `user * n_items + item` that `pair` and `pair_last` are to tell of: `Lines.pairs`.
        """
        last, lines, priced = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64), np.zeros((2, n_items))
        past = Past(histories, as_of)
        for _, block in past.blocks():
            age = (as_of - block.time) / DAY
            np.maximum.at(last, block.item, block.time)
            lines += np.bincount(block.item[age <= SPANS[0]], minlength=n_items)
            known = (age <= SPANS[2]) & ~np.isnan(block.price)
            # In the order of the events: the same bits in blocks of any size.
            np.add.at(priced[0], block.item[known], block.price[known].astype(np.float64))
            priced[1] += np.bincount(block.item[known], minlength=n_items)
        idle = np.where(last > 0, (as_of - last) / DAY, np.nan).astype(np.float32)
        return cls._with_people(past, n_stores, pairs, lines.astype(np.float32), idle, ratio(*priced).astype(np.float32))

    @classmethod
    def of_release(cls, recommender: Recommender, pairs: I64 = NONE) -> Self:
        """What a release serves: its own item statistics and its histories, however old they are; for `pairs` see `of`."""
        data, statistics = recommender.data, recommender.snapshot.statistics
        parts = statistics.lines[:, 0], statistics.days_idle, statistics.price
        return cls._with_people(Past(data.histories, recommender.snapshot.as_of), len(data.stores), pairs, *parts)

    @classmethod
    def _with_people(cls, past: Past, n_stores: int, pairs: I64, lines: F32, idle: F32, price: F32) -> Self:
        store_last, user_last = np.zeros(n_stores, np.int64), np.zeros(past.n_users, np.int64)
        store_baskets, pair_last = np.zeros(n_stores), np.zeros(len(pairs), np.int64)
        for first, block in past.blocks():
            some = np.flatnonzero(np.diff(block.pointer))
            user_last[first + some] = block.time[block.pointer[some + 1] - 1]
            stored = block.store >= 0
            np.maximum.at(store_last, block.store[stored], block.time[stored])
            recent = stored & (block.time >= past.as_of - SPANS[1] * DAY)
            width = int(block.basket.max(initial=0)) + 1
            basket = distinct((block.owner * width + block.basket)[recent] * max(n_stores, 1) + block.store[recent])
            store_baskets += np.bincount(basket % max(n_stores, 1), minlength=n_stores)
            own = slice(*np.searchsorted(pairs, np.array([first, first + block.n_users]) * len(lines)))
            at = find(pairs[own], (first + block.owner) * len(lines) + block.item)
            # Of several purchases of one item by one user the last one stays: they are in the order of time.
            pair_last[own][at[at >= 0]] = block.time[at >= 0]
        bought = pair_last > 0
        return cls(past.as_of, lines, idle, price, store_baskets, store_last, user_last, pairs[bought], pair_last[bought])

    def buyers(self, user: I64) -> Bool:
        """(n,) bool who bought something before the moment."""
        inside = (user >= 0) & (user < len(self.user_last))
        known: Bool = inside & (self.user_last[np.where(inside, user, 0)] > 0)
        return known

    def of_item(self, values: Array, item: Array) -> F64:
        """(n,) float64 of each item, NaN for one that is not listed."""
        listed = (item >= 0) & (item < len(values))
        found: F64 = np.where(listed, values[np.where(listed, item, 0)], np.nan).astype(np.float64)
        return found

    def skew(self, truth: "Known") -> dict[str, float]:
        """How far what is served lies from what the shop's purchases before the same moment say, each between 0 (the same) and 1.

        Parameters
        ----------
        truth
            Summed up anew, of the same items and users.
        """
        return {
            "skew_item_lines": _apart(self.lines, truth.lines),
            "skew_item_days_idle": _apart(self.days_idle, truth.days_idle),
            "skew_item_price": _apart(self.price, truth.price),
            "skew_buyer_last_came": float(np.mean((self.user_last != truth.user_last)[truth.user_last > 0])),
        }


def _apart(served: F32, true: F32) -> float:
    """1 less what two lists of figures share: the sum of the smaller ones over that of the larger ones."""
    low, high = (np.nansum(np.nan_to_num(choice(served, true)).astype(np.float64)) for choice in (_smaller, np.fmax))
    return float(1 - low / high) if high > 0 else 0.0


def _smaller(one: F32, other: F32) -> F32:
    """The smaller figure; none where either has none."""
    smaller: F32 = np.minimum(one, other)
    return smaller
