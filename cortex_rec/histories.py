"""Purchases by user as arrays: what features and retrievers read, offline for a million users or online for one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from cortex_rec import columns
from cortex_rec.arrays import F32, I32, I64, NO_ROW, Bool, Ragged, consecutive, owners, pointers, ranges
from cortex_rec.ids import IdMap

#: What is kept of each event, in the order of the fields of `Histories`.
EVENT: Final[dict[str, type[np.generic]]] = {
    "item": np.int32,
    "time": np.int64,
    "basket": np.int64,
    "store": np.int32,
    "quantity": np.float32,
    "price": np.float32,
    "discount": np.float32,
}
#: Lines that are worked on at once, as far as they are not of a single user.
BLOCK: Final = 2_000_000


@dataclass(frozen=True)
class Histories:
    """Events sorted by user, then time, then basket, then item.

    Parameters
    ----------
    pointer
        (n_users + 1,) int64; the events of user `u` are `pointer[u]:pointer[u + 1]`.
    item, store
        int32 rows of their id maps; store is -1 where unknown.
    time
        int64 seconds since 1970 in the shop's own time zone.
    basket
        int64; equal for the lines of one basket, rising with time within a user.
    quantity, price, discount
        float32, NaN where unknown; price of one unit after discounts, discount as a share of the shelf price.
    """

    pointer: I64
    item: I32
    time: I64
    basket: I64
    store: I32
    quantity: F32
    price: F32
    discount: F32

    @property
    def n_users(self) -> int:
        return len(self.pointer) - 1

    @cached_property
    def owner(self) -> I64:
        """(n_events,) int64, the user of each event."""
        return owners(self.pointer)

    @cached_property
    def baskets(self) -> I64:
        """(n_users,) int64, the number of baskets of each user."""
        result = np.zeros(self.n_users, np.int64)
        np.maximum.at(result, self.owner, self.basket + 1)
        return result

    def before(self, as_of: int) -> "Histories":
        """Only what happened before the moment `as_of`."""
        return self._keep(lambda time: time < as_of)

    def between(self, start: int, end: int) -> "Histories":
        """Only what happened in [start, end)."""
        return self._keep(lambda time: (time >= start) & (time < end))

    def blocks(self) -> Iterator[tuple[int, "Histories"]]:
        """Consecutive users with about `BLOCK` lines together: the first one's row, and their histories, which share the memory of these.

        A sum over blocks takes the working memory of one of them, whatever the shop's size. Without a user there is one, which is empty.
        """
        for first, last in consecutive(self.pointer, BLOCK):
            lines = slice(self.pointer[first], self.pointer[last])
            pointer = self.pointer[first : last + 1] - self.pointer[first]
            yield first, Histories(pointer, *(getattr(self, field.name)[lines] for field in fields(self)[1:]))

    def numbers_before(self, as_of: int) -> I64:
        """(n_users,) int64, how many events of each user happened before a moment."""
        found = np.zeros(self.n_users, np.int64)
        for first, block in self.blocks():
            so_far = pointers(block.time < as_of)
            found[first : first + block.n_users] = so_far[block.pointer[1:]] - so_far[block.pointer[:-1]]
        return found

    def came_before(self, users: I32, moment: int) -> Bool:
        """(n,) bool, which of these users have a purchase before the moment; a negative row has none."""
        came = (users >= 0) & (self.pointer[users + 1] > self.pointer[users])
        # A user's first purchase is the first of the user's events.
        came[came] = self.time[self.pointer[users[came]]] < moment
        return came

    def take(self, users: I32) -> "Histories":
        """The histories of some users, in the given order; a negative row gives an empty history."""
        known = np.maximum(users, 0).astype(np.int64)
        counts = np.where(users >= 0, self.pointer[known + 1] - self.pointer[known], 0)
        return self._at(ranges(self.pointer[known], counts), pointers(counts))

    def latest(self, n: int) -> "Histories":
        """Only the last `n` events of each user; baskets are numbered anew, as if nothing had been before."""
        counts = np.minimum(np.diff(self.pointer), n)
        kept = self._at(ranges(self.pointer[1:] - counts, counts), pointers(counts))
        width = int(kept.basket.max(initial=0)) + 1
        baskets, place = np.unique(kept.owner * width + kept.basket, return_inverse=True)
        return replace(kept, basket=place - np.searchsorted(baskets, kept.owner * width))

    def followed_by(self, later: "Histories") -> "Histories":
        """Each user's events with those of `later` after them, as further baskets; `later` has the same users and no earlier time."""
        if len(later.item) == 0:
            return self
        added = np.diff(later.pointer)
        at = np.repeat(self.pointer[1:], added)
        numbered = replace(later, basket=later.basket + np.repeat(self.baskets, added))
        joined = [np.insert(getattr(self, field.name), at, getattr(numbered, field.name)) for field in fields(self)[1:]]
        return Histories(self.pointer + later.pointer, *joined)

    def mapped(self, users: I32, items: I32, stores: I32) -> "Histories":
        """The same purchases by the rows of other id maps, whose ids are in the same order as far as these know them.

        Parameters
        ----------
        users
            (n,) int32, for each user of the other map the row here, -1 for one without a purchase here.
        items, stores
            Rows of the other maps by those here, all of which are known there.
        """
        taken = self.take(users)
        store = np.append(stores, NO_ROW).astype(np.int32)[taken.store]
        return replace(taken, item=items[taken.item], store=store)

    def _keep(self, wanted: Callable[[I64], Bool]) -> "Histories":
        """The events at wanted times; these histories themselves where that is all of them."""
        starts = range(0, len(self.time), BLOCK)
        parts = [at + np.flatnonzero(wanted(self.time[at : at + BLOCK])) for at in starts]
        kept = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.int64), *parts])
        if len(kept) == len(self.time):
            return self
        return self._at(kept, np.searchsorted(kept, self.pointer))

    def _at(self, positions: I64, pointer: I64) -> "Histories":
        return Histories(pointer, *(getattr(self, field.name)[positions] for field in fields(self)[1:]))


@dataclass(frozen=True)
class Past:
    """What happened before a moment, of more users than fit into memory: some of them, or all in blocks.

    Parameters
    ----------
    histories
        Purchases of all users; what is not before `as_of` is never given out.
    as_of
        The moment, seconds since 1970.
    """

    histories: Histories
    as_of: int

    @property
    def n_users(self) -> int:
        return self.histories.n_users

    @property
    def buyers(self) -> Bool:
        """(n_users,) bool, who bought something."""
        return self.histories.came_before(np.arange(self.n_users, dtype=np.int32), self.as_of)

    def take(self, users: I32) -> Histories:
        """See `Histories.take`."""
        return self.histories.take(users).before(self.as_of)

    def blocks(self, start: int | None = None) -> Iterator[tuple[int, Histories]]:
        """See `Histories.blocks`; nothing before `start`, where it is given."""
        for first, block in self.histories.blocks():
            yield first, block.before(self.as_of) if start is None else block.between(start, self.as_of)

    def whole(self) -> Histories:
        """All of it in memory: for what does not work in blocks."""
        return self.histories.before(self.as_of)


def from_baskets(baskets: Ragged, time: int) -> Histories:
    """One basket a user, none where the list is empty: each item once at one moment, without a store or a price."""
    n = len(baskets.item)
    unknown = np.full(n, np.nan, np.float32)
    return Histories(
        baskets.pointer,
        baskets.item,
        np.full(n, time, np.int64),
        np.zeros(n, np.int64),
        np.full(n, NO_ROW, np.int32),
        np.ones(n, np.float32),
        unknown,
        unknown,
    )


def from_interactions(interactions: pl.DataFrame, users: IdMap, items: IdMap, stores: IdMap) -> Histories:
    """Encode a table of interactions.

    Parameters
    ----------
    interactions
        `columns.INTERACTIONS`; ids that the maps lack are an error of the caller.
    users, items, stores
        Frozen id maps.
    """
    n = interactions.height
    user = users.rows(interactions[columns.USER]).astype(np.int64)
    item = items.rows(interactions[columns.ITEM])
    time = interactions[columns.TIMESTAMP].dt.epoch("s").to_numpy()
    label = _basket_labels(interactions)
    order = np.lexsort((item, label, time, user))
    user, item, time, label = user[order], item[order], time[order], label[order]

    def floats(name: str) -> F32:
        if name not in interactions.columns:
            return np.full(n, np.nan, np.float32)
        return interactions[name].fill_null(float("nan")).to_numpy()[order].astype(np.float32)

    store = stores.rows(interactions[columns.STORE])[order] if columns.STORE in interactions.columns else np.full(n, -1, np.int32)
    return Histories(
        pointers(np.bincount(user, minlength=len(users))),
        item,
        time,
        _baskets_in_time(user, time, label),
        store,
        floats(columns.QUANTITY),
        floats(columns.PRICE),
        floats(columns.DISCOUNT),
    )


def _basket_labels(interactions: pl.DataFrame) -> I64:
    """(n,) int64, equal for lines of one basket; what has no basket id is one basket with the others of its moment."""
    moment = interactions[columns.TIMESTAMP].rank("dense").to_numpy().astype(np.int64)
    if columns.BASKET not in interactions.columns:
        return moment
    named = interactions[columns.BASKET].rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return np.where(named > 0, named, -moment)


def _baskets_in_time(user: I64, time: I64, label: I64) -> I64:
    """Number baskets within a user by their first moment, so that a later basket has a higher number."""
    if len(user) == 0:
        return np.zeros(0, np.int64)
    order = np.lexsort((time, label, user))
    new = np.ones(len(user), bool)
    new[1:] = (user[order][1:] != user[order][:-1]) | (label[order][1:] != label[order][:-1])
    group = np.cumsum(new) - 1
    first_user, first_time = user[order][new], time[order][new]
    rank = np.empty(len(first_user), np.int64)
    by_time = np.lexsort((first_time, first_user))
    start = np.searchsorted(first_user[by_time], first_user[by_time], side="left")
    rank[by_time] = np.arange(len(first_user)) - start
    basket = np.empty(len(user), np.int64)
    basket[order] = rank[group]
    return basket
