"""What is asked: whose purchases are known up to which moment, and from which store."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cortex_rec.arrays import F64, I32, I64, NO_ROW
from cortex_rec.features.groups import Groups, ages, decayed, group, mean_of
from cortex_rec.histories import Histories


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
        return self.items.total(decayed(self.age, half_life_days))


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
