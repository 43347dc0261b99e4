"""How this user shops."""

import numpy as np

from cortex_rec.arrays import DAY, F32, F64, Array, Ragged, ratio, sums
from cortex_rec.features.statistics import Statistics
from cortex_rec.queries import Queries


def features(queries: Queries, lists: Ragged, statistics: Statistics) -> dict[str, F32]:
    """Baskets, their size and rhythm, taste for what is known, for discounts and for dear items."""
    histories, n, owner = queries.histories, len(queries), queries.histories.owner
    new = np.ones(len(owner), bool)
    new[1:] = (owner[1:] != owner[:-1]) | (histories.basket[1:] != histories.basket[:-1])
    baskets = histories.baskets
    lines = np.bincount(owner, minlength=n).astype(np.float64)
    first, last = _bounds(queries)
    distinct = np.diff(queries.items_pointer).astype(np.float64)
    columns: dict[str, Array] = {
        "user_baskets": baskets,
        "user_baskets_28": np.bincount(owner[new & (queries.age <= 28)], minlength=n),
        "user_since_last": last,
        "user_since_first": first,
        "user_gap": ratio(first - last, baskets - 1),
        "user_lines_a_basket": ratio(lines, baskets),
        "user_items": distinct,
        "user_repeat_share": 1 - ratio(distinct, lines),
        "user_trial_share_28": ratio(_trials(queries, 28), np.bincount(owner[queries.age <= 28], minlength=n)),
        "user_discount": _mean(histories.discount, owner, n),
        "user_price_level": _mean(histories.price / np.maximum(statistics.price[histories.item], 0.01), owner, n),
        "user_price": _mean(histories.price, owner, n),
    }
    return {name: values.astype(np.float32)[lists.owner] for name, values in columns.items()}


def _bounds(queries: Queries) -> tuple[F64, F64]:
    """Days since the first and since the last purchase, NaN for an empty history."""
    pointer, time = queries.histories.pointer, queries.histories.time
    some = pointer[1:] > pointer[:-1]
    first, last = np.full(len(queries), np.nan), np.full(len(queries), np.nan)
    first[some] = (queries.as_of - time[pointer[:-1][some]]) / DAY
    last[some] = (queries.as_of - time[pointer[1:][some] - 1]) / DAY
    return first, last


def _trials(queries: Queries, days: float) -> F64:
    """(n,) float64 items that each user bought for the first time in the last days."""
    lately = queries.as_of - queries.items.first <= days * DAY
    return np.bincount(queries.items.owner[lately], minlength=len(queries)).astype(np.float64)


def _mean(values: Array, owner: Array, n: int) -> F64:
    known = np.isfinite(values)
    return ratio(sums(owner[known], values[known], n), np.bincount(owner[known], minlength=n))
