"""When a (user, member) was bought: recency, frequency, interval, and whether it is due."""

from dataclasses import dataclass

import numpy as np

from cortex_rec.arrays import DAY, F64, ratio
from cortex_rec.features.groups import Groups, decayed
from cortex_rec.queries import Queries


@dataclass(frozen=True)
class Timing:
    """Figures of each entry of some `Groups`, all (n,) float64, NaN where there is nothing to say.

    Parameters
    ----------
    since_last, since_first
        Days to the moment of the query.
    gap
        Mean days between two baskets that hold it; NaN for one basket.
    due
        `since_last` in units of `gap`: 1 when the usual interval has just passed.
    """

    since_last: F64
    since_first: F64
    gap: F64
    due: F64


def timing(groups: Groups, queries: Queries) -> Timing:
    """Recency and interval of every entry."""
    since_last = (queries.as_of - groups.last) / DAY
    since_first = (queries.as_of - groups.first) / DAY
    repeats = groups.baskets - 1
    gap = ratio(since_first - since_last, repeats)
    # Two baskets on one day would be an interval of zero; an hour is as good as that and can be divided by.
    gap = np.maximum(gap, 1 / 24)
    return Timing(since_last, since_first, gap, since_last / gap)


def gap_spread(groups: Groups, queries: Queries) -> F64:
    """(n,) float64 standard deviation of the intervals in units of their mean; NaN for fewer than two intervals."""
    order = groups.order
    time = queries.histories.time[order] / DAY
    entry = groups.of_event[order]
    basket = queries.histories.basket[order]
    step = np.diff(time, prepend=time[:1])
    # Lines of one basket are one purchase: between them lies no interval.
    inside = (np.diff(entry, prepend=-1) == 0) & (np.diff(basket, prepend=-1) != 0)
    count = np.bincount(entry[inside], minlength=len(groups))
    total = np.bincount(entry[inside], step[inside], len(groups))
    square = np.bincount(entry[inside], step[inside] ** 2, len(groups))
    mean = np.divide(total, count, out=np.full(len(groups), np.nan), where=count > 1)
    variance = np.divide(square, count, out=np.full(len(groups), np.nan), where=count > 1) - mean**2
    spread: F64 = np.sqrt(np.maximum(variance, 0)) / np.maximum(mean, 1 / 24)
    return spread


def recent(groups: Groups, queries: Queries, days: float) -> F64:
    """(n,) float64 lines of the last days."""
    return groups.total((queries.age <= days).astype(np.float64))


def decay(groups: Groups, queries: Queries, half_life_days: float) -> F64:
    """(n,) float64 lines, each worth a half after every half-life."""
    return groups.total(decayed(queries.age, half_life_days))
