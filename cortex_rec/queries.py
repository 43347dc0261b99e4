"""What is asked: whose purchases are known up to which moment, and from which store."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

import numpy as np

from cortex_rec.arrays import F64, I32, I64, NO_ROW, Bool
from cortex_rec.features.groups import Groups, ages, decayed, group, mean_of
from cortex_rec.histories import Histories

_Model = TypeVar("_Model")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Queries:
    """One or many shoppers at one moment.

    Parameters
    ----------
    histories
        Their purchases before `as_of`, one list a query.
    users
        (n,) int32 rows of the user id map, -1 for a shopper that training did not see.
    as_of
        The moment, seconds since 1970 in the shop's time zone.
    store
        (n,) int32 row of the store that they shop in, -1 where unknown.
    n_items
        Size of the catalogue.
    """

    histories: Histories
    users: I32
    as_of: int
    store: I32
    n_items: int

    def __len__(self) -> int:
        return len(self.users)

    def one(self, i: int) -> "Queries":
        """Query `i` alone."""
        at = np.array([i], np.int32)
        return Queries(self.histories.take(at), self.users[at], self.as_of, self.store[at], self.n_items)

    @cached_property
    def strangers(self) -> Bool:
        """(n,) bool, who has no history at all."""
        none: Bool = np.diff(self.histories.pointer) == 0
        return none

    @cached_property
    def age(self) -> F64:
        """(n_events,) float64 days from each purchase to `as_of`."""
        return ages(self.histories, self.as_of)

    @cached_property
    def items(self) -> Groups:
        """The purchases summed up by (query, item)."""
        return group(self.histories, self.histories.item, self.n_items)

    @cached_property
    def items_pointer(self) -> I64:
        """(n + 1,) int64: the entries of `items` that belong to query `i` are `items_pointer[i]:items_pointer[i + 1]`."""
        return np.searchsorted(self.items.key, np.arange(len(self) + 1) * self.n_items)

    @cached_property
    def paid(self) -> F64:
        """(n_entries,) float64 mean price paid for one unit, of each entry of `items`; NaN where unknown."""
        return mean_of(self.histories.price, self.items)

    def weights(self, half_life_days: float) -> F64:
        """(n_entries,) float64 decayed number of purchases of each entry of `items`."""
        if half_life_days not in self.kept:
            self.kept[half_life_days] = self.items.total(decayed(self.age, half_life_days))
        weights: F64 = self.kept[half_life_days]
        return weights

    @cached_property
    def kept(self) -> dict[Hashable, Any]:
        """What several parts of the request path need of these queries, computed by the first: see `once`."""
        return {}


def once(method: Callable[[_Model, Queries], _Answer]) -> Callable[[_Model, Queries], _Answer]:
    """A method of a frozen model that is computed once for the same queries, however often it is called."""

    @wraps(method)
    def answer(model: _Model, queries: Queries) -> _Answer:
        key = (method, id(model))
        if key not in queries.kept:
            # The model is kept, too: while it is there no other can have its id.
            queries.kept[key] = (model, method(model, queries))
        found: _Answer = queries.kept[key][1]
        return found

    return answer


def ask(histories: Histories, users: I32, as_of: int, n_items: int, store: I32 | None = None) -> Queries:
    """Queries for known users.

    Parameters
    ----------
    histories
        Purchases of all users; what is not before `as_of` is left out here.
    users
        (n,) int32 rows.
    store
        (n,) int32; the store of each user's latest habit when absent.
    """
    own = histories.take(users).before(as_of)
    return Queries(own, users, as_of, usual_store(own, as_of) if store is None else store, n_items)


def usual_store(histories: Histories, as_of: int, half_life_days: float = 30.0) -> I32:
    """(n_users,) int32 the store with the largest decayed number of lines, -1 without any."""
    n = histories.n_users
    if len(histories.store) == 0 or histories.store.max() < 0:
        return np.full(n, NO_ROW, np.int32)
    stores = group(histories, histories.store, int(histories.store.max()) + 1)
    weight = stores.total(decayed(ages(histories, as_of), half_life_days))
    order = np.lexsort((-weight, stores.owner))
    result = np.full(n, NO_ROW, np.int32)
    best, at = np.unique(stores.owner[order], return_index=True)
    result[best] = stores.member[order][at]
    return result
