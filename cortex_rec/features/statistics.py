"""What is known of items and of stores at one moment, from everybody's purchases before it."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, I32, I64, Bool, extended, find, load_arrays, ratio, rekeyed, save_arrays, sums, vars_of
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
        All purchases; what is not before `as_of` is left out here.
    subcategory
        (n_items,) int32 codes, -1 where unknown.
    """
    counted = _Counted(n_items, n_stores)
    for _, block in histories.blocks():
        counted.add(block.before(as_of), as_of)
    once, twice, lines = counted.once, counted.twice, counted.lines
    mean_share = twice.sum() / max(once.sum(), 1)
    sold = counted.pairs > 0
    price, recent_price = (ratio(total, known).astype(np.float32) for total, known in (counted.price, counted.recent_price))
    discount, recent_discount = (ratio(total, known).astype(np.float32) for total, known in (counted.discount, counted.recent_discount))
    width = int(subcategory.max(initial=-1)) + 2
    own_group, priced = subcategory % width, np.isfinite(price)
    group_price = ratio(sums(own_group[priced], price[priced], width), np.bincount(own_group[priced], minlength=width))
    store_key, store_lines, lately = _added_up(counted.in_store)
    return Statistics(
        lines.astype(np.float32),
        counted.buyers.astype(np.float32),
        _where(sold, (as_of - counted.first) / DAY),
        _where(sold, (as_of - counted.last) / DAY),
        ((twice + 10 * mean_share) / (once + 10)).astype(np.float32),
        ratio(*counted.gap).astype(np.float32),
        price,
        discount,
        recent_price,
        recent_discount,
        _where(subcategory >= 0, group_price[own_group]),
        _where(subcategory >= 0, sums(own_group, lines[:, 1], width)[own_group]),
        counted.trials.astype(np.float32),
        np.array([10 * mean_share / 10], np.float32),
        store_key,
        store_lines.astype(np.float32),
        lately.astype(np.float32),
        counted.store_total.astype(np.float32),
    )


class _Counted:
    """Sums by item over blocks of users. Each is added up in the order of the events, so that blocks of any size give the same bits.

    Attributes
    ----------
    lines, buyers, trials
        (n_items, len(SPANS)) int64.
    pairs
        (n_items,) int64 numbers of users who ever bought it.
    once, twice
        (n_items,) int64 numbers of users who did so in the longest span, and who did twice or more.
    first, last
        (n_items,) int64 times.
    gap, price, discount, recent_price, recent_discount
        (n_items,) float64 sums, and the numbers of what was added up.
    in_store
        Keys, lines in the middle and in the shortest span: those that are added up already, then those of each further block.
    store_total
        (n_stores,) int64.
    """

    def __init__(self, n_items: int, n_stores: int) -> None:
        self.n_items = n_items
        self.lines, self.buyers, self.trials = (np.zeros((n_items, len(SPANS)), np.int64) for _ in range(3))
        self.pairs, self.once, self.twice = (np.zeros(n_items, np.int64) for _ in range(3))
        self.first, self.last = np.full(n_items, np.iinfo(np.int64).max), np.full(n_items, np.iinfo(np.int64).min)
        self.gap, self.price, self.discount, self.recent_price, self.recent_discount = (np.zeros((2, n_items)) for _ in range(5))
        self.in_store: list[tuple[I64, F64, F64]] = []
        self.store_total = np.zeros(n_stores, np.int64)

    def add(self, histories: Histories, as_of: int) -> None:
        """Count the purchases of further users, all before `as_of`."""
        age, item, n_items = ages(histories, as_of), histories.item, self.n_items
        shortest, middle, longest = (age <= span for span in SPANS)
        pairs = group(histories, item, n_items)
        member, first_age, last_age = pairs.member, (as_of - pairs.first) / DAY, (as_of - pairs.last) / DAY
        for at, span in enumerate(SPANS):
            self.lines[:, at] += np.bincount(item[age <= span], minlength=n_items)
            self.buyers[:, at] += np.bincount(member[last_age <= span], minlength=n_items)
            self.trials[:, at] += np.bincount(member[first_age <= span], minlength=n_items)
        self.pairs += np.bincount(member, minlength=n_items)
        recent = pairs.total(longest.astype(np.float64))
        self.once += np.bincount(member[recent > 0], minlength=n_items)
        self.twice += np.bincount(member[recent > 1], minlength=n_items)
        np.minimum.at(self.first, member, pairs.first)
        np.maximum.at(self.last, member, pairs.last)
        repeated = pairs.baskets > 1
        # Mean days between purchases: all days between first and last over all gaps.
        np.add.at(self.gap[0], member[repeated], ((pairs.last - pairs.first) / DAY)[repeated])
        np.add.at(self.gap[1], member[repeated], (pairs.baskets - 1)[repeated])
        for total, value, within in (
            (self.price, histories.price, longest),
            (self.discount, histories.discount, longest),
            (self.recent_price, histories.price, shortest),
            (self.recent_discount, histories.discount, shortest),
        ):
            known = within & ~np.isnan(value)
            np.add.at(total[0], item[known], value[known].astype(np.float64))
            total[1] += np.bincount(item[known], minlength=n_items)
        stored = middle & (histories.store >= 0)
        store = histories.store[stored].astype(np.int64)
        self.in_store.append(_by_key(store * n_items + item[stored], np.ones(len(store)), shortest[stored].astype(np.float64)))
        added_up, *others = (len(key) for key, _, _ in self.in_store)
        if sum(others) > added_up:
            self.in_store = [_added_up(self.in_store)]
        self.store_total += np.bincount(store, minlength=len(self.store_total))


def _by_key(key: I64, lines: F64, lately: F64) -> tuple[I64, F64, F64]:
    """The distinct keys, ascending, and the sums of both numbers for each."""
    keys, place = np.unique(key, return_inverse=True)
    return keys, sums(place, lines, len(keys)), sums(place, lately, len(keys))


def _added_up(parts: list[tuple[I64, F64, F64]]) -> tuple[I64, F64, F64]:
    """Several results of `_by_key` as one."""
    return _by_key(*map(np.concatenate, zip(*parts, strict=True)))


def _where(known: np.ndarray, value: np.ndarray) -> F32:
    return np.where(known, value, np.nan).astype(np.float32)
