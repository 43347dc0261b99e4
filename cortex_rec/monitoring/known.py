"""What was known of the shop's sales at a moment: the part that a day's purchases are held against."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, I64, Array, Bool, ratio, sums
from cortex_rec.features.statistics import SPANS
from cortex_rec.histories import Histories
from cortex_rec.recommender import Recommender


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
        Ascending `user * n_items + item` of what was bought, and when last.
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
    def of(cls, histories: Histories, n_items: int, n_stores: int, as_of: int) -> Self:
        """Sum up purchases before `as_of`; the item's figures are those of `features.statistics`."""
        before = histories.before(as_of)
        age = (as_of - before.time) / DAY
        last = np.zeros(n_items, np.int64)
        np.maximum.at(last, before.item, before.time)
        priced = (age <= SPANS[2]) & ~np.isnan(before.price)
        price = ratio(sums(before.item[priced], before.price[priced], n_items), np.bincount(before.item[priced], minlength=n_items))
        lines = np.bincount(before.item[age <= SPANS[0]], minlength=n_items)
        idle = np.where(last > 0, (as_of - last) / DAY, np.nan)
        return cls._with_people(before, n_stores, as_of, lines.astype(np.float32), idle.astype(np.float32), price.astype(np.float32))

    @classmethod
    def of_release(cls, recommender: Recommender) -> Self:
        """What a release serves: its own item statistics and its histories, however old they are."""
        data, snapshot = recommender.data, recommender.snapshot
        statistics, before = snapshot.statistics, data.histories.before(snapshot.as_of)
        parts = statistics.lines[:, 0], statistics.days_idle, statistics.price
        return cls._with_people(before, len(data.stores), snapshot.as_of, *parts)

    @classmethod
    def _with_people(cls, before: Histories, n_stores: int, as_of: int, lines: F32, idle: F32, price: F32) -> Self:
        stored = before.store >= 0
        recent = stored & (before.time >= as_of - SPANS[1] * DAY)
        store_last, user_last = np.zeros(n_stores, np.int64), np.zeros(before.n_users, np.int64)
        np.maximum.at(store_last, before.store[stored], before.time[stored])
        np.maximum.at(user_last, before.owner, before.time)
        # Of several purchases of one item by one user the last one stays: they are in the order of time.
        key = before.owner * len(lines) + before.item
        order = np.lexsort((before.time, key))
        pair, pair_time = key[order], before.time[order]
        ends = np.flatnonzero(np.append(pair[1:] != pair[:-1], True)) if len(pair) else np.zeros(0, np.int64)
        width = int(before.basket.max(initial=0)) + 1
        basket = np.unique((before.owner * width + before.basket)[recent] * max(n_stores, 1) + before.store[recent])
        store_baskets = np.bincount(basket % max(n_stores, 1), minlength=n_stores).astype(np.float64)
        return cls(as_of, lines, idle, price, store_baskets, store_last, user_last, pair[ends], pair_time[ends])

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
