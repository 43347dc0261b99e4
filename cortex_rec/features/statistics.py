"""What is known of items and of stores at one moment, from everybody's purchases before it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import DAY, F32, I32, I64, Bool, extended, find, load_arrays, ratio, rekeyed, save_arrays, sums, vars_of
from cortex_rec.features.groups import ages, group
from cortex_rec.histories import Histories
from cortex_rec.newcomers import Newcomers

#: Days over which purchases are counted.
SPANS = (7, 28, 91)
#: Share of the lines that the best sellers make, beyond which the long tail begins.
HEAD = 0.8


@dataclass(frozen=True)
class Statistics:
    """Arrays by item row, float32, NaN where there is nothing to say.

    Parameters
    ----------
    lines, buyers
        (n_items, len(SPANS)) numbers of lines and of distinct users in the last days.
    days_listed, days_idle
        (n_items,) days since the first and the last purchase by anybody.
    repeat_share
        (n_items,) of the users who bought it in the longest span, the share who bought it twice or more, shrunk to the mean.
    gap_days
        (n_items,) mean days between two purchases by one user, over all pairs that repeated.
    price, discount
        (n_items,) mean in the longest span.
    recent_price, recent_discount
        (n_items,) mean in the shortest span.
    group_price, group_lines
        (n_items,) mean price of the items of its subcategory, and the subcategory's lines in the middle span.
    trials
        (n_items, len(SPANS)) numbers of users who bought it for the first time in the last days.
    unsold_repeat_share
        (1,) the `repeat_share` of an item that nobody bought.
    store_key, store_lines, store_lines_lately
        Lines of an item in a store in the middle and in the shortest span, at ascending `store * n_items + item`.
    store_total
        (n_stores,) lines of a store in the middle span.
    """

    lines: F32
    buyers: F32
    days_listed: F32
    days_idle: F32
    repeat_share: F32
    gap_days: F32
    price: F32
    discount: F32
    recent_price: F32
    recent_discount: F32
    group_price: F32
    group_lines: F32
    trials: F32
    unsold_repeat_share: F32
    store_key: I64
    store_lines: F32
    store_lines_lately: F32
    store_total: F32

    def save(self, path: Path) -> None:
        save_arrays(path, vars_of(self))

    @classmethod
    def load(cls, path: Path) -> "Statistics":
        return cls(**load_arrays(path))

    def widened(self, new: Newcomers) -> Self:
        """Room for further items without a purchase; their groups' figures are those of the other items in them."""
        groups, one_of = np.unique(new.catalogue.codes["subcategory"][: new.n_before], return_index=True)
        place = find(groups.astype(np.int64), new.subcategory)

        def of_group(values: F32) -> F32:
            return np.append(values, np.append(values[one_of], np.float32(np.nan))[place])

        fill = dict.fromkeys(("lines", "buyers", "trials"), 0.0) | {"repeat_share": float(self.unsold_repeat_share[0])}
        unknown = ("days_listed", "days_idle", "gap_days", "price", "discount", "recent_price", "recent_discount")
        fill |= dict.fromkeys(unknown, np.nan)
        return replace(
            self,
            **{name: extended(getattr(self, name), len(new), value) for name, value in fill.items()},
            group_price=of_group(self.group_price),
            group_lines=of_group(self.group_lines),
            store_key=rekeyed(self.store_key, new.n_before, len(new.catalogue)),
        )

    @cached_property
    def unsold(self) -> Bool:
        """(n_items,) bool, whether nobody has bought an item yet."""
        return np.isnan(self.days_listed)

    @cached_property
    def days(self) -> float:
        """Since the first purchase of all; 0 where there is none."""
        return float(np.nanmax(self.days_listed, initial=0.0))

    @cached_property
    def tail(self) -> Bool:
        """(n_items,) bool: all but the best sellers that make `HEAD` of the lines in the middle span."""
        lines = self.lines[:, 1].astype(np.float64)
        order = np.lexsort((np.arange(len(lines)), -lines))
        before = np.cumsum(lines[order]) - lines[order]
        tail = np.ones(len(lines), bool)
        tail[order[before < HEAD * lines.sum()]] = False
        return tail

    def in_store(self, store: I32, item: I32) -> tuple[F32, F32]:
        """(n,) float32 lines of each item in each store in the middle and in the shortest span; NaN where the store is unknown."""
        unknown = np.full(len(item), np.nan, np.float32)
        if len(self.store_key) == 0:
            return unknown, unknown
        at = find(self.store_key, store.astype(np.int64) * len(self.price) + item)
        lines, lately = (np.where(at >= 0, counted[at], np.float32(0)) for counted in (self.store_lines, self.store_lines_lately))
        return np.where(store >= 0, lines, unknown), np.where(store >= 0, lately, unknown)


def fit(histories: Histories, subcategory: I32, n_items: int, n_stores: int, *, as_of: int) -> Statistics:
    """Count everybody's purchases.

    Parameters
    ----------
    histories
        All purchases before `as_of`.
    subcategory
        (n_items,) int32 codes, -1 where unknown.
    """
    age = ages(histories, as_of)
    pairs = group(histories, histories.item, n_items)
    lines = np.stack([np.bincount(histories.item[age <= span], minlength=n_items) for span in SPANS], axis=1)
    buyers = np.stack([_distinct_users(histories, age <= span, n_items) for span in SPANS], axis=1)

    first = np.full(n_items, np.iinfo(np.int64).max)
    last = np.full(n_items, np.iinfo(np.int64).min)
    np.minimum.at(first, pairs.member, pairs.first)
    np.maximum.at(last, pairs.member, pairs.last)
    sold = np.bincount(pairs.member, minlength=n_items) > 0

    recent = pairs.total((age <= SPANS[2]).astype(np.float64))
    once = np.bincount(pairs.member[recent > 0], minlength=n_items)
    twice = np.bincount(pairs.member[recent > 1], minlength=n_items)
    mean_share = twice.sum() / max(once.sum(), 1)

    by_item = histories.item.astype(np.int64)
    stores = histories.store.astype(np.int64)
    middle = (age <= SPANS[1]) & (stores >= 0)
    store_key, store_lines = np.unique(stores[middle] * n_items + by_item[middle], return_counts=True)

    lately_key = stores[middle & (age <= SPANS[0])] * n_items + by_item[middle & (age <= SPANS[0])]
    lately = np.bincount(np.searchsorted(store_key, lately_key), minlength=len(store_key))
    first_age = (as_of - pairs.first) / DAY
    trials = np.stack([np.bincount(pairs.member[first_age <= span], minlength=n_items) for span in SPANS], axis=1)

    price = _mean(histories.item, histories.price, age <= SPANS[2], n_items)
    width = int(subcategory.max(initial=-1)) + 2
    own_group, priced = subcategory % width, np.isfinite(price)
    group_price = ratio(sums(own_group[priced], price[priced], width), np.bincount(own_group[priced], minlength=width))
    return Statistics(
        lines.astype(np.float32),
        buyers.astype(np.float32),
        _where(sold, (as_of - first) / DAY),
        _where(sold, (as_of - last) / DAY),
        ((twice + 10 * mean_share) / (once + 10)).astype(np.float32),
        _gap(pairs.member, (pairs.last - pairs.first) / DAY, pairs.baskets - 1, n_items),
        price,
        _mean(histories.item, histories.discount, age <= SPANS[2], n_items),
        _mean(histories.item, histories.price, age <= SPANS[0], n_items),
        _mean(histories.item, histories.discount, age <= SPANS[0], n_items),
        _where(subcategory >= 0, group_price[own_group]),
        _where(subcategory >= 0, sums(own_group, lines[:, 1], width)[own_group]),
        trials.astype(np.float32),
        np.array([10 * mean_share / 10], np.float32),
        store_key,
        store_lines.astype(np.float32),
        lately.astype(np.float32),
        np.bincount(stores[middle], minlength=n_stores).astype(np.float32),
    )


def _distinct_users(histories: Histories, mask: np.ndarray, n_items: int) -> I64:
    pairs = np.unique(histories.item[mask].astype(np.int64) * histories.n_users + histories.owner[mask])
    return np.bincount(pairs // max(histories.n_users, 1), minlength=n_items)


def _where(known: np.ndarray, value: np.ndarray) -> F32:
    return np.where(known, value, np.nan).astype(np.float32)


def _gap(member: I32, days: np.ndarray, gaps: np.ndarray, n: int) -> F32:
    """Mean days between purchases: all days between first and last over all gaps."""
    repeated = gaps > 0
    return ratio(sums(member[repeated], days[repeated], n), sums(member[repeated], gaps[repeated], n)).astype(np.float32)


def _mean(item: I32, value: F32, mask: np.ndarray, n_items: int) -> F32:
    known = mask & ~np.isnan(value)
    return ratio(sums(item[known], value[known], n_items), np.bincount(item[known], minlength=n_items)).astype(np.float32)
