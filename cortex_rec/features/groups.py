"""Events summed up by (user, member), where a member is an item, a subcategory, a brand: the base of every pair feature.

All sums run in the order of the events of one user, so a user's figures are the same bits whoever else is in the batch.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, I32, I64, NO_ROW, Array, find, ratio, sums
from cortex_rec.histories import Histories


@dataclass(frozen=True)
class Groups:
    """One entry a (user, member) that occurs in the histories, ascending by user and member.

    Parameters
    ----------
    width
        Number of possible members; `key = user * width + member`.
    key
        (n,) int64 ascending.
    of_event
        (n_events,) int64 entry of each event, -1 for events without a member.
    order
        Positions of the events that have a member, by entry, then time.
    rows, baskets
        (n,) float64 numbers of lines and of distinct baskets.
    first, last
        (n,) int64 times of the first and the last purchase.
    last_basket
        (n,) int64 number of the user's basket that held the last purchase.
    """

    width: int
    key: I64
    of_event: I64
    order: I64
    rows: F64
    baskets: F64
    first: I64
    last: I64
    last_basket: I64

    def __len__(self) -> int:
        return len(self.key)

    @cached_property
    def owner(self) -> I64:
        return self.key // max(self.width, 1)

    @cached_property
    def member(self) -> I32:
        return (self.key % max(self.width, 1)).astype(np.int32)

    def find(self, owner: I64, member: I32) -> I64:
        """Entry of each (user, member), -1 where there is none or the member is unknown (-1)."""
        return np.where(member >= 0, find(self.key, owner * self.width + member), NO_ROW)

    def total(self, weight: Array) -> F64:
        """(n,) float64 sums of a weight (n_events,) over the events of each entry."""
        grouped = self.of_event >= 0
        if grouped.all():
            return sums(self.of_event, weight, len(self.key))
        return sums(self.of_event[grouped], weight[grouped], len(self.key))


def group(histories: Histories, member: I32, width: int) -> Groups:
    """Sum up events by their user and the given member.

    Parameters
    ----------
    member
        (n_events,) int32, -1 for events that belong to no member.
    width
        One more than the largest possible member.
    """
    key = histories.owner * width + member
    positions = np.flatnonzero(member >= 0)
    order = positions[np.argsort(key[positions], kind="stable")]
    ordered = key[order]
    n = len(order)
    new = np.ones(n, bool)
    new[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], n) - 1
    entry = np.cumsum(new) - 1
    of_event = np.full(len(key), NO_ROW, np.int64)
    of_event[order] = entry
    basket = histories.basket[order]
    new_basket = new.copy()
    new_basket[1:] |= basket[1:] != basket[:-1]
    return Groups(
        width,
        ordered[starts],
        of_event,
        order,
        np.bincount(entry, minlength=len(starts)).astype(np.float64),
        np.bincount(entry[new_basket], minlength=len(starts)).astype(np.float64),
        histories.time[order][starts],
        histories.time[order][ends] if n else np.zeros(0, np.int64),
        basket[ends] if n else np.zeros(0, np.int64),
    )


def decayed(age_days: F64, half_life_days: float) -> F64:
    """Weight of a purchase that is `age_days` old: a half after each half-life."""
    weight: F64 = np.exp2(-age_days / half_life_days)
    return weight


def ages(histories: Histories, as_of: int) -> F64:
    """(n_events,) float64 days from each event to the moment."""
    return (as_of - histories.time) / DAY


def mean_of(values: F32, groups: Groups) -> F64:
    """(n,) float64 mean of an event value by entry, over the events that have one; NaN where none has."""
    known = ~np.isnan(values)
    count = groups.total(known.astype(np.float64))
    return ratio(groups.total(np.where(known, values, 0.0)), count)
